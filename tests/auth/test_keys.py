"""Signing keys rotate while tokens stay good; expired rows go; nothing is stored in the clear."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from joserfc import jws

from apps.auth.cleanup import EXPIRED, clean_up
from apps.auth.encryption import DecryptionError, decrypt, encrypt
from apps.auth.keys import advance_keys, select_key_ring, withdraw_keys
from apps.kit.database import DatabaseSettings, open_database
from tests.auth.conftest import Auth

pytestmark = pytest.mark.integration

SECRET = b"k" * 32
MakeDatabase = Callable[[str], AbstractContextManager[tuple[str, str]]]


async def states(connection: Any) -> list[str]:
    rows = await connection.fetch("SELECT state FROM signing_keys ORDER BY created_at, state")
    return [row["state"] for row in rows]


async def age(connection: Any, column: str, state: str, by: timedelta) -> None:
    changed = f"UPDATE signing_keys SET {column} = now() - $2::interval WHERE state = $1"  # noqa: S608
    await connection.execute(changed, state, by)


async def test_key_goes_from_next_to_active_to_retired_to_gone(connection: Any) -> None:
    await connection.execute("DELETE FROM signing_keys")
    await advance_keys(connection, SECRET, "RS256")
    first = await select_key_ring(connection, SECRET)
    await advance_keys(connection, SECRET, "RS256")
    assert await states(connection) == ["active"]
    await age(connection, "activated_at", "active", timedelta(days=91))
    await age(connection, "created_at", "active", timedelta(days=91))
    await advance_keys(connection, SECRET, "RS256")
    await advance_keys(connection, SECRET, "RS256")
    assert await states(connection) == ["active", "next"], "published before it signs"
    await age(connection, "created_at", "next", timedelta(minutes=16))
    await advance_keys(connection, SECRET, "RS256")
    assert await states(connection) == ["retired", "active"]
    second = await select_key_ring(connection, SECRET)
    assert first and second and first.active.id != second.active.id
    assert {key["kid"] for key in second.published["keys"]} == {first.active.id, second.active.id}
    await age(connection, "retired_at", "retired", timedelta(hours=25))
    await advance_keys(connection, SECRET, "RS256")
    assert await states(connection) == ["active"]


async def test_other_algorithm_comes_by_rotation(connection: Any) -> None:
    await connection.execute("DELETE FROM signing_keys")
    await advance_keys(connection, SECRET, "RS256")
    await advance_keys(connection, SECRET, "ES256")
    await age(connection, "created_at", "next", timedelta(minutes=16))
    await advance_keys(connection, SECRET, "ES256")
    ring = await select_key_ring(connection, SECRET)
    assert ring and ring.active.algorithm == "ES256" and len(ring.published["keys"]) == 2


async def test_withdrawn_keys_are_gone_at_once(connection: Any) -> None:
    await connection.execute("DELETE FROM signing_keys")
    await advance_keys(connection, SECRET, "RS256")
    before = await select_key_ring(connection, SECRET)
    await withdraw_keys(connection, SECRET, "RS256")
    after = await select_key_ring(connection, SECRET)
    assert before and after and before.active.id not in str(after.published)


async def test_key_opens_under_the_services_key_alone(connection: Any) -> None:
    await connection.execute("DELETE FROM signing_keys")
    await advance_keys(connection, SECRET, "RS256")
    with pytest.raises(DecryptionError):
        await select_key_ring(connection, b"x" * 32)
    stored = str([tuple(row) for row in await connection.fetch("SELECT * FROM signing_keys")])
    assert "PRIVATE" not in stored and '"d":' not in stored


def test_sealed_value_does_not_open_elsewhere() -> None:
    sealed = encrypt(SECRET, b"secret", "row-1")
    assert decrypt(SECRET, sealed, "row-1") == b"secret"
    flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for changed, purpose in (
        (sealed, "row-2"),
        (flipped, "row-1"),
        (b"", "row-1"),
        (b"x" * 40, "row-1"),
    ):
        with pytest.raises(DecryptionError):
            decrypt(SECRET, changed, purpose)


async def test_replicas_starting_at_once_make_one_key(make_database: MakeDatabase) -> None:
    with make_database("auth") as (url, _):
        connections = [await asyncpg.connect(url) for _ in range(4)]
        await asyncio.gather(
            *(advance_keys(connection, SECRET, "RS256") for connection in connections)
        )
        assert await states(connections[0]) == ["active"]
        for connection in connections:
            await connection.close()


def test_every_token_names_its_key(auth: Auth) -> None:
    token = auth.token_for(auth.client("system/*.rs")).json()["access_token"]
    kid = jws.extract_compact(token.encode()).headers()["kid"]
    assert kid in [
        key["kid"] for key in httpx.get(f"{auth.url}/.well-known/jwks.json").json()["keys"]
    ]


async def test_expired_rows_go_and_the_others_stay(auth: Auth) -> None:
    user, client = auth.user("analyst"), auth.client("system/*.rs")[0]
    auth.sql(
        "INSERT INTO sessions (token_hash, user_id, methods, pending, expires_at) SELECT "
        "decode(md5(n::text), 'hex'), "
        "$1, '{}', false, now() - interval '1 minute' + (n % 2) * interval '1 hour' FROM "
        "generate_series(1, 1200) n",
        user.id,
    )
    auth.sql(
        "INSERT INTO revocations (kind, id, expires_at) VALUES ('client', $1, now() - interval '1 "
        "second'), "
        "('token', $1, now() + interval '1 hour')",
        client,
    )
    async with open_database(DatabaseSettings(auth.settings.database.url)) as database:
        await clean_up(database)
    assert len(auth.sql("SELECT 1 FROM sessions WHERE user_id = $1", user.id)) == 600
    assert [
        row["kind"] for row in auth.sql("SELECT kind FROM revocations WHERE id = $1", client)
    ] == ["token"]


def test_every_table_that_expires_is_cleaned(auth: Auth) -> None:
    rows = auth.sql(
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'expires_at' AND "
        "table_schema = 'public'"
    )
    assert {row["table_name"] for row in rows} == EXPIRED.keys()


def test_audit_can_be_added_to_and_read_alone(auth: Auth) -> None:
    for statement in ("DELETE FROM audit", "UPDATE audit SET event = 'x'", "TRUNCATE audit"):
        with pytest.raises(Exception, match="permission denied"):
            auth.sql(statement)
