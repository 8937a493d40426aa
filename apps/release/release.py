"""What must be true before services start: databases and roles, secrets, migrations, the services' own clients."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import asyncpg

from apps.catalogue import DATABASES
from apps.release import visitors
from apps.release.bootstrap import (
    RUNTIME_CONNECTIONS,
    DatabaseRoles,
    PasswordOf,
    bootstrap,
    drop,
    preview_databases,
)
from apps.release.migrate import migrate
from apps.release.secrets import SecretStore, fill_secrets, service_clients
from apps.release.sign_in import register_sign_in_clients

CONNECT_TIMEOUT_SECONDS = 10.0
# Many previews share one instance.
PREVIEW_CONNECTIONS = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a release goes: this machine or AWS. URLs carry all that a connection needs, TLS included.

    `admin_url(database)` is the administrator's, on the instance that holds the database of that catalogue name;
    `owner_url(database, roles)` the owner's; `password_of` is None where roles sign in by IAM.
    `public_url`: where people and applications reach the platform.
    """

    admin_url: Callable[[str], str]
    owner_url: Callable[[str, DatabaseRoles], str]
    password_of: PasswordOf
    secrets: SecretStore
    public_url: str
    runtime_connections: int = RUNTIME_CONNECTIONS


def release(place: Place, *, prefix: str = "") -> dict[str, str]:
    """Brings everything to what this version needs and gives the secrets by name. Safe to repeat, and two at once."""
    make_databases(place, prefix=prefix)
    return bring_up(place, prefix=prefix)


def make_databases(place: Place, *, prefix: str = "") -> None:
    """What only an administrator may do: a preview's code never does it, its base's release does it for it."""
    connections = (
        min(place.runtime_connections, PREVIEW_CONNECTIONS) if prefix else place.runtime_connections
    )
    for admin_url, names in by_instance(place):
        bootstrap(
            admin_url,
            names,
            prefix=prefix,
            password_of=place.password_of,
            runtime_connections=connections,
        )


def bring_up(place: Place, *, prefix: str = "") -> dict[str, str]:
    """What a database's owner may do: secrets that are empty, migrations, the services' own clients."""
    secrets = fill_secrets(place.secrets)
    for name in DATABASES:
        roles = DatabaseRoles(prefix + name)
        revision = migrate(place.owner_url(name, roles), name, runtime_role=roles.runtime)
        log.info("migrated", extra={"database": roles.database, "revision": revision})
    auth_url = place.owner_url("auth", DatabaseRoles(prefix + "auth"))
    asyncio.run(register_clients(auth_url, service_clients(secrets)))
    asyncio.run(register_sign_in_clients(auth_url, place.public_url, secrets))
    if prefix:
        secrets |= let_visitors_in(place, auth_url)
    return secrets


def let_visitors_in(place: Place, auth_url: str) -> dict[str, str]:
    """A preview is there to be tried out: who reviews it signs in, and what tests it calls."""
    secrets = fill_secrets(place.secrets, visitors.SECRETS)
    password, client_secret = secrets[visitors.PASSWORD.name], secrets[visitors.CLIENT_SECRET.name]
    asyncio.run(
        visitors.insert_visitors(
            auth_url, visitors.Visitors(visitors.PREVIEW_CLIENT, client_secret, password)
        )
    )
    return secrets


def drop_preview(place: Place, *, prefix: str) -> None:
    """Drops a preview's databases and roles; refuses any prefix but `pr_<n>_`."""
    for admin_url, _ in by_instance(place):
        drop(admin_url, prefix=prefix)


def list_previews(place: Place) -> list[str]:
    """The databases that are some preview's, on any instance."""
    return sorted(
        {name for admin_url, _ in by_instance(place) for name in preview_databases(admin_url)}
    )


def by_instance(place: Place) -> list[tuple[str, tuple[str, ...]]]:
    located = sorted((place.admin_url(name), name) for name in DATABASES)
    return [
        (url, tuple(name for _, name in group))
        for url, group in groupby(located, key=lambda pair: pair[0])
    ]


async def register_clients(auth_url: str, clients: dict[str, str]) -> None:
    """Registers each service's own OAuth client, whose secret is known to it alone."""
    from apps.auth.oauth.clients import register_service_clients

    connection = await asyncpg.connect(auth_url, timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        await register_service_clients(connection, clients)
    finally:
        await connection.close()
