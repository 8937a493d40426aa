"""The release on AWS: RDS's own master secret, roles that sign in by IAM token, secrets in Secrets
Manager.

Its environment is made by infrastructure/ecs/release_task.py: `<NAME>_DATABASE_HOST` and, except in
a preview, `<NAME>_MASTER_SECRET_ARN` of each database; `<SECRET>_ARN` of each secret of the
catalogue, which may be a member of a secret (`apps/release/secret_places.py`);
`RUNTIME_CONNECTIONS`, the most that a service's role may open; `SECRETS_VERSION`; `PUBLIC_URL`. A
preview's code never holds a master secret.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import boto3

from apps.catalogue import DATABASES
from apps.release.bootstrap import RUNTIME_CONNECTIONS, DatabaseRoles, connects
from apps.release.release import ReleaseTarget
from apps.release.secret_places import read_place, split_place

PORT = 5432
# Secrets Manager takes 32 to 64 characters.
VERSION_PREFIX = "patient-management-secret-version-"
VERSION_ID = re.compile(re.escape(VERSION_PREFIX) + r"([0-9]{6})(-[0-9a-f]{16})?")
# Amazon's own authority signs RDS's certificates; the image brings it.
AUTHORITIES = "/etc/ssl/certs/rds.pem"
# The database that every instance has.
MAINTENANCE = "postgres"


log = logging.getLogger(__name__)


class NotHere(Exception):
    """The release's environment lacks what this action needs; names the variable."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Reads and writes the catalogue's secrets in Secrets Manager; one without a version is empty.

    The id of a version in Secrets Manager carries our version: of two releases at once one writes.
    """

    client: Any
    environ: Mapping[str, str]

    def read(self, name: str) -> str | None:
        try:
            return read_place(self.client, self.place(name))
        except self.client.exceptions.ResourceNotFoundException:
            # What Secrets Manager says of a secret that was made and never filled; the write below
            # tells, where it is the secret itself that is missing.
            return None

    def version(self, name: str) -> int:
        arn, _ = split_place(self.place(name))
        found = VERSION_ID.fullmatch(self.client.get_secret_value(SecretId=arn)["VersionId"])
        return int(found[1]) if found else 1

    def write_all(self, values: Mapping[str, str], version: int = 1) -> None:
        objects: dict[str, dict[str, str]] = {}
        for name, value in values.items():
            arn, member = split_place(self.place(name))
            if member is None:
                self.put(arn, value, f"{VERSION_PREFIX}{version:06d}")
            else:
                objects.setdefault(arn, {})[member] = value
        for arn, members in objects.items():
            whole = {**self.read_object(arn), **members}
            # A secret that the catalogue has since is another object of the same version.
            names = hashlib.sha256(",".join(sorted(whole)).encode()).hexdigest()[:16]
            self.put(arn, json.dumps(whole), f"{VERSION_PREFIX}{version:06d}-{names}")

    def put(self, arn: str, value: str, token: str) -> None:
        try:
            self.client.put_secret_value(SecretId=arn, SecretString=value, ClientRequestToken=token)
        except self.client.exceptions.ResourceExistsException:
            # Another release wrote this version: its value stands.
            log.info("secret was written already", extra={"secret": arn, "version": token})

    def read_object(self, arn: str) -> dict[str, str]:
        try:
            held: dict[str, str] = json.loads(
                self.client.get_secret_value(SecretId=arn)["SecretString"]
            )
        except self.client.exceptions.ResourceNotFoundException:
            return {}
        return held

    def place(self, name: str) -> str:
        return need(self.environ, f"{name}_ARN")


@dataclass(frozen=True, slots=True)
class Instances:
    """`admits`: whether an URL opens a connection."""

    rds: Any
    secrets: Any
    environ: Mapping[str, str]
    admits: Callable[[str], bool]
    # By host, for one release's length: RDS rotates the password.
    found: dict[str, str] = field(default_factory=dict)

    def admin_url(self, database: str) -> str:
        """Returns the administrator's URL: with a token where RDS lets it in so, else its password
        (docs/decisions/0110).
        """
        host = self.host(database)
        if host not in self.found:
            arn = need(self.environ, f"{database.upper()}_MASTER_SECRET_ARN")
            master = json.loads(self.secrets.get_secret_value(SecretId=arn)["SecretString"])
            by_token = self.token_url(master["username"], host, MAINTENANCE)
            by_password = url(master["username"], master["password"], host, MAINTENANCE)
            self.found[host] = by_token if self.admits(by_token) else by_password
        return self.found[host]

    def owner_url(self, database: str, roles: DatabaseRoles) -> str:
        return self.token_url(roles.owner, self.host(database), roles.database)

    def token_url(self, role: str, host: str, database: str) -> str:
        """Returns a URL with a token that is good for fifteen minutes to connect with."""
        token = self.rds.generate_db_auth_token(DBHostname=host, Port=PORT, DBUsername=role)
        return url(role, token, host, database)

    def host(self, database: str) -> str:
        return need(self.environ, f"{database.upper()}_DATABASE_HOST")


def open_target(
    environ: Mapping[str, str] = os.environ, admits: Callable[[str], bool] = connects
) -> ReleaseTarget:
    secrets = boto3.client("secretsmanager")
    instances = Instances(boto3.client("rds"), secrets, environ, admits)
    for database in DATABASES:
        instances.host(database)
    return ReleaseTarget(
        admin_url=instances.admin_url,
        owner_url=instances.owner_url,
        password_of=None,
        secrets=Secrets(secrets, environ),
        public_url=need(environ, "PUBLIC_URL"),
        runtime_connections=int(environ.get("RUNTIME_CONNECTIONS", RUNTIME_CONNECTIONS)),
        secrets_version=int(environ.get("SECRETS_VERSION", "1")),
    )


def url(role: str, password: str, host: str, database: str) -> str:
    secret = quote(password, safe="")
    return f"postgresql://{role}:{secret}@{host}:{PORT}/{database}?sslmode=verify-full&sslrootcert={AUTHORITIES}"


def need(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise NotHere(f"{name} is required")
    return value
