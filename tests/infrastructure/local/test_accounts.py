"""The first administrator and client: what the banner, the loader and the file say is what signs
in.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from apps.auth.oauth.client_changes import rotate_client_secret
from apps.auth.oauth.clients import select_client
from infrastructure.local.accounts import (
    CHANGED_PASSWORD,
    CHANGED_SECRET,
    CLIENT_ID,
    make_accounts,
    read_accounts,
)
from infrastructure.local.home import LocalSecrets

pytestmark = pytest.mark.integration


@pytest.fixture
def auth_url(make_database: Any) -> Iterator[str]:
    with make_database("auth") as (runtime_url, _):
        yield runtime_url


def run(auth_url: str, function: Any) -> Any:
    async def connected() -> Any:
        connection = await asyncpg.connect(auth_url)
        try:
            return await function(connection)
        finally:
            await connection.close()

    return asyncio.run(connected())


def works(auth_url: str, secret: str | None) -> bool:
    client = run(auth_url, lambda connection: select_client(connection, CLIENT_ID))
    return bool(client.check_client_secret(str(secret)))


def test_accounts_are_made_once_and_kept(auth_url: str, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = make_accounts(auth_url, LocalSecrets(path))
    assert works(auth_url, first.client_secret)
    assert make_accounts(auth_url, LocalSecrets(path)) == first
    assert first.password not in repr(first)


def test_secret_that_was_rotated_elsewhere_is_replaced_at_the_next_start(
    auth_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "secrets.json"
    make_accounts(auth_url, LocalSecrets(path))
    run(auth_url, lambda connection: rotate_client_secret(connection, CLIENT_ID))
    # A running platform's file is not changed under it: what it has is said not to work.
    assert read_accounts(auth_url, LocalSecrets(path)).client_secret == CHANGED_SECRET
    accounts = make_accounts(auth_url, LocalSecrets(path))
    assert works(auth_url, accounts.client_secret)
    assert LocalSecrets(path).read("PLATFORM_CLIENT_SECRET") == accounts.client_secret


def test_password_that_a_person_changed_is_not_shown(auth_url: str, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    make_accounts(auth_url, LocalSecrets(path))
    run(auth_url, lambda connection: connection.execute("UPDATE users SET password_hash = NULL"))
    assert make_accounts(auth_url, LocalSecrets(path)).password == CHANGED_PASSWORD
