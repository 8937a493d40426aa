"""What a release writes into the auth database: the services' own clients and, for a trial, the
first accounts.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from apps.auth.oauth.client_changes import create_client
from apps.auth.oauth.clients import select_client
from apps.auth.oauth.service_clients import register_service_clients
from apps.auth.people.users import create_user, select_user_by_email
from apps.auth.reencryption import reencrypt_secrets
from apps.catalogue import TRIAL_CLIENT_SCOPES, TRIAL_USER
from apps.kit.database import Connection
from apps.kit.encryption_keys import decode_key

CONNECT_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialAccess:
    """The first administrator and the first client of a platform that somebody tries out."""

    client_id: str
    client_secret: str = field(repr=False)
    password: str = field(repr=False)
    user: str = TRIAL_USER


async def register_clients(auth_url: str, clients: Mapping[str, str]) -> None:
    """Registers each service's own OAuth client, whose secret is known to it alone."""
    async with connect(auth_url) as connection:
        await register_service_clients(connection, clients)


async def move_to_newest_key(auth_url: str, secret: str) -> int:
    """Encrypts what auth keeps under the newest key in `secret`; returns how many values were under
    another.
    """
    keys = b"".join(decode_key(part) for part in secret.split(","))
    async with connect(auth_url) as connection:
        return await reencrypt_secrets(connection, keys)


async def insert_trial_access(auth_url: str, access: TrialAccess) -> None:
    """Makes the administrator and the client if they are missing; those that exist keep what they
    have.
    """
    async with connect(auth_url) as connection:
        if await select_user_by_email(connection, access.user) is None:
            await create_user(
                connection,
                email=access.user,
                name="Administrator",
                password=access.password,
                roles=("admin",),
            )
        if await select_client(connection, access.client_id) is None:
            await create_client(
                connection,
                client_id=access.client_id,
                name="First client of this platform",
                secret=access.client_secret,
                scopes=TRIAL_CLIENT_SCOPES,
                grant_types=("client_credentials",),
            )


@asynccontextmanager
async def connect(auth_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(auth_url, timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        yield connection
    finally:
        await connection.close()
