"""The administrator and the client that a platform on this machine starts with."""

import asyncio
from dataclasses import dataclass

import asyncpg

from infrastructure.local.home import LocalSecrets

USER = "admin@example.org"
CLIENT_ID = "local"
CLIENT_SCOPES = ("system/*.cruds", "billing.read", "billing.write", "analytics.read")
CONNECT_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Accounts:
    user: str
    password: str
    client_id: str
    client_secret: str


def make_accounts(auth_url: str, secrets: LocalSecrets) -> Accounts:
    """Makes those that are missing."""
    accounts = Accounts(USER, secrets.make("PLATFORM_PASSWORD"), CLIENT_ID, secrets.make("PLATFORM_CLIENT_SECRET"))
    asyncio.run(insert_missing(auth_url, accounts))
    return accounts


async def insert_missing(auth_url: str, accounts: Accounts) -> None:
    from apps.auth.clients import create_client, select_client
    from apps.auth.users import create_user, select_user_by_email

    connection = await asyncpg.connect(auth_url, timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        if await select_user_by_email(connection, accounts.user) is None:
            await create_user(
                connection,
                email=accounts.user,
                name="Local administrator",
                password=accounts.password,
                roles=("admin",),
            )
        if await select_client(connection, accounts.client_id) is None:
            await create_client(
                connection,
                client_id=accounts.client_id,
                name="Client of the platform on this machine",
                secret=accounts.client_secret,
                scopes=CLIENT_SCOPES,
                grant_types=("client_credentials",),
            )
    finally:
        await connection.close()
