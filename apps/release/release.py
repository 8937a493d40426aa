"""What must be true before services start: databases and roles, secrets, migrations, the services'
own clients.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

from apps.catalogue import (
    DATABASES,
    PREVIEW_CLIENT,
    SECRETS,
    TRIAL_CLIENT_SECRET,
    TRIAL_PASSWORD,
    TRIAL_SECRETS,
)
from apps.release.auth_setup import (
    TrialAccess,
    insert_trial_access,
    move_to_newest_key,
    register_clients,
)
from apps.release.bootstrap import (
    RUNTIME_CONNECTIONS,
    DatabaseRoles,
    PasswordOf,
    bootstrap,
    drop,
    preview_databases,
)
from apps.release.migrate import migrate
from apps.release.secrets import SecretStore, fill_secrets, is_due, service_clients
from apps.release.sign_in import register_sign_in_clients

# Many previews share one instance.
PREVIEW_CONNECTIONS = 10

# It encrypts signing keys and second factors.
AUTH_KEY = "AUTH_KEY_ENCRYPTION_KEY"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReleaseTarget:
    """Where a release goes: this machine or AWS.

    URLs carry all that a connection needs, TLS included.

    `admin_url(database)` is the administrator's, on the instance that holds the database of that
    catalogue name; `owner_url(database, roles)` the owner's; `password_of` is None where roles sign
    in by IAM. `public_url`: where people and applications reach the platform.
    """

    admin_url: Callable[[str], str]
    owner_url: Callable[[str, DatabaseRoles], str]
    password_of: PasswordOf
    secrets: SecretStore
    public_url: str
    runtime_connections: int = RUNTIME_CONNECTIONS
    secrets_version: int = 1


def release(target: ReleaseTarget, *, prefix: str = "") -> dict[str, str]:
    """Brings everything to what this version needs and gives the secrets by name.

    Safe to repeat, and two at once.
    """
    make_databases(target, prefix=prefix)
    return bring_up(target, prefix=prefix)


def make_databases(target: ReleaseTarget, *, prefix: str = "") -> None:
    """Does what only an administrator may: a preview's code never does it, its base's release
    does it for it.
    """
    connections = (
        min(target.runtime_connections, PREVIEW_CONNECTIONS)
        if prefix
        else target.runtime_connections
    )
    for admin_url, names in by_instance(target):
        bootstrap(
            admin_url,
            names,
            prefix=prefix,
            password_of=target.password_of,
            runtime_connections=connections,
        )


def bring_up(target: ReleaseTarget, *, prefix: str = "") -> dict[str, str]:
    """Does what a database's owner may: migrations, secrets, the services' own clients.

    Returns the secrets.
    """
    for name in DATABASES:
        roles = DatabaseRoles(prefix + name)
        revision = migrate(target.owner_url(name, roles), name, runtime_role=roles.runtime)
        log.info("migrated", extra={"database": roles.database, "revision": revision})
    auth_url = target.owner_url("auth", DatabaseRoles(prefix + "auth"))

    if is_due(target.secrets, SECRETS[AUTH_KEY], target.secrets_version):
        # The value before the last goes now: nothing may be left under it.
        moved = asyncio.run(move_to_newest_key(auth_url, target.secrets.read(AUTH_KEY) or ""))
        log.info("re-encrypted", extra={"rows": moved})
    secrets = fill_secrets(target.secrets, version=target.secrets_version)

    asyncio.run(register_clients(auth_url, service_clients(secrets)))
    asyncio.run(register_sign_in_clients(auth_url, target.public_url, secrets))
    if prefix:
        secrets |= give_trial_access(target, auth_url)
    return secrets


def give_trial_access(target: ReleaseTarget, auth_url: str) -> dict[str, str]:
    """Makes the accounts by which a preview's reviewer signs in and its tests call.

    Returns their secrets.
    """
    secrets = fill_secrets(target.secrets, TRIAL_SECRETS)
    access = TrialAccess(
        client_id=PREVIEW_CLIENT,
        client_secret=secrets[TRIAL_CLIENT_SECRET.name],
        password=secrets[TRIAL_PASSWORD.name],
    )
    asyncio.run(insert_trial_access(auth_url, access))
    return secrets


def drop_preview(target: ReleaseTarget, *, prefix: str) -> None:
    """Drops a preview's databases and roles; refuses any prefix but `pr_<n>_`."""
    for admin_url, _ in by_instance(target):
        drop(admin_url, prefix=prefix)


def list_previews(target: ReleaseTarget) -> list[str]:
    """Returns the databases that are some preview's, on any instance."""
    return sorted(
        {name for admin_url, _ in by_instance(target) for name in preview_databases(admin_url)}
    )


def by_instance(target: ReleaseTarget) -> list[tuple[str, tuple[str, ...]]]:
    located = sorted((target.admin_url(name), name) for name in DATABASES)
    return [
        (url, tuple(name for _, name in group))
        for url, group in groupby(located, key=lambda pair: pair[0])
    ]
