"""The administrator and the client that a platform on this machine starts with."""

import asyncio
from dataclasses import dataclass, field

import asyncpg

from apps.auth.oauth.client_changes import rotate_client_secret
from apps.auth.oauth.clients import select_client
from apps.auth.people.passwords import verify_password
from apps.auth.people.users import select_user_by_email
from apps.catalogue import TRIAL_USER
from apps.release.auth_setup import TrialAccess, insert_trial_access
from infrastructure.local.home import LocalSecrets

CLIENT_ID = "local"
CONNECT_SECONDS = 10.0
CHANGED_PASSWORD = "(the one that you set)"  # noqa: S105
CHANGED_SECRET = "(rotated elsewhere: scripts/operate clients rotate-secret local)"  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The accounts that sign in; a password or secret that was changed elsewhere is replaced by a
    hint.
    """

    user: str
    password: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)


def make_accounts(auth_url: str, secrets: LocalSecrets) -> Accounts:
    """Creates those that are missing.

    A client whose secret was rotated elsewhere gets a new one, kept in `secrets`.
    """
    password = secrets.make("PLATFORM_PASSWORD")
    secret = secrets.make("PLATFORM_CLIENT_SECRET")
    access = TrialAccess(client_id=CLIENT_ID, client_secret=secret, password=password)
    asyncio.run(insert_trial_access(auth_url, access))
    accounts = read_accounts(auth_url, secrets)
    if accounts.client_secret != CHANGED_SECRET:
        return accounts
    # The loader and the demo go by the file: it must hold what the client has.
    rotated = asyncio.run(rotate(auth_url))
    if rotated is not None:
        secrets.write("PLATFORM_CLIENT_SECRET", rotated)
    return read_accounts(auth_url, secrets)


def read_accounts(auth_url: str, secrets: LocalSecrets) -> Accounts:
    """Returns the accounts, each password and secret compared with what the auth service has."""
    password = secrets.read("PLATFORM_PASSWORD") or ""
    secret = secrets.read("PLATFORM_CLIENT_SECRET") or ""
    knows_password, knows_secret = asyncio.run(compare(auth_url, password, secret))
    return Accounts(
        user=TRIAL_USER,
        password=password if knows_password else CHANGED_PASSWORD,
        client_id=CLIENT_ID,
        client_secret=secret if knows_secret else CHANGED_SECRET,
    )


async def compare(auth_url: str, password: str, secret: str) -> tuple[bool, bool]:
    """Tells whether the user still has this password, and the client this secret."""
    connection = await asyncpg.connect(auth_url, timeout=CONNECT_SECONDS)
    try:
        user = await select_user_by_email(connection, TRIAL_USER)
        client = await select_client(connection, CLIENT_ID)
    finally:
        await connection.close()
    return (
        user is not None and verify_password(user.password_hash, password),
        client is not None and client.check_client_secret(secret),
    )


async def rotate(auth_url: str) -> str | None:
    connection = await asyncpg.connect(auth_url, timeout=CONNECT_SECONDS)
    try:
        return await rotate_client_secret(connection, CLIENT_ID)
    finally:
        await connection.close()
