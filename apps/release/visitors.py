"""The first administrator and the first client of a platform that somebody tries out: a preview's, or a machine's."""

from dataclasses import dataclass, field

import asyncpg

from apps.catalogue import Secret

USER = "admin@example.org"
PREVIEW_CLIENT = "preview"
CLIENT_SCOPES = ("system/*.cruds", "billing.read", "billing.write", "analytics.read")
CONNECT_TIMEOUT_SECONDS = 10.0
# A preview's, filled by its release. An environment has neither: its people are made by its operators.
PASSWORD = Secret("PLATFORM_PASSWORD", 24)
CLIENT_SECRET = Secret("PLATFORM_CLIENT_SECRET", 32)
SECRETS = (CLIENT_SECRET, PASSWORD)


@dataclass(frozen=True, slots=True)
class Visitors:
    client_id: str
    client_secret: str = field(repr=False)
    password: str = field(repr=False)
    user: str = USER


async def insert_visitors(auth_url: str, visitors: Visitors) -> None:
    """Makes those that are missing; the others keep what they have."""
    from apps.auth.oauth.clients import create_client, select_client
    from apps.auth.people.users import create_user, select_user_by_email

    connection = await asyncpg.connect(auth_url, timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        if await select_user_by_email(connection, visitors.user) is None:
            await create_user(
                connection,
                email=visitors.user,
                name="Administrator",
                password=visitors.password,
                roles=("admin",),
            )
        if await select_client(connection, visitors.client_id) is None:
            await create_client(
                connection,
                client_id=visitors.client_id,
                name="First client of this platform",
                secret=visitors.client_secret,
                scopes=CLIENT_SCOPES,
                grant_types=("client_credentials",),
            )
    finally:
        await connection.close()
