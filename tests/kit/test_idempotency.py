"""`Idempotency-Key`: what a key may be, and for how long it names its request."""

from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg
import pytest
from starlette.requests import Request

from apps.kit.context import new_id
from apps.kit.errors import BadRequest, Conflict, Unprocessable
from apps.kit.idempotency import (
    KEPT_HOURS,
    MAX_KEY_CHARS,
    Claim,
    claim_key,
    delete_old_keys,
    insert_key,
    read_claim,
)
from apps.kit.scopes import Principal
from tests.undone import undone

PRINCIPAL = Principal("user", "client", "a", frozenset(), (), "t", 0, 0)


def request_of(key: str | None, **headers: str) -> Request:
    given = {**({"idempotency-key": key} if key is not None else {}), **headers}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/a b",
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in given.items()
        ],
        "state": {"principal": PRINCIPAL},
    }
    return Request(scope)


@pytest.mark.parametrize("key", ["k", "k" * MAX_KEY_CHARS, "a b"])
def test_key_is_printable_ascii_of_up_to_255_characters(key: str) -> None:
    claim = read_claim(request_of(key), b"body")
    assert claim is not None
    assert claim.identity == ("client", "user", "POST", "/a%20b", key)


@pytest.mark.parametrize("key", ["", "k" * (MAX_KEY_CHARS + 1), "é", "a\tb"])
def test_other_key_is_refused(key: str) -> None:
    with pytest.raises(BadRequest):
        read_claim(request_of(key), b"body")


def test_request_without_a_key_claims_nothing() -> None:
    assert read_claim(request_of(None), b"body") is None


def test_condition_is_part_of_what_is_asked() -> None:
    claims = [
        read_claim(request_of("k", if_match=condition), body, "if-match")
        for condition, body in (('W/"1"', b"x"), ('W/"2"', b"x"), ('W/"1"', b"y"), ('W/"1"', b"x"))
    ]
    hashes = [claim.body_sha256 for claim in claims if claim]
    assert len(set(hashes)) == 3 and hashes[0] == hashes[3]


def claim_of(key: str = "", body: str = "0" * 64) -> Claim:
    return Claim("client", "user", "POST", "/path", key or new_id(), body)


@pytest.fixture
async def connection(auth_database: str) -> AsyncIterator[Any]:
    """A connection whose changes are undone at the end."""
    async with undone(auth_database) as connection:
        yield connection


@pytest.mark.integration
async def test_key_gives_what_its_first_request_made(connection: Any) -> None:
    claim = claim_of()
    assert await claim_key(connection, claim) is None
    await insert_key(connection, claim, "made/1")
    assert await claim_key(connection, claim) == "made/1"
    with pytest.raises(Unprocessable):
        await claim_key(connection, claim_of(claim.key, "1" * 64))


@pytest.mark.integration
async def test_key_is_claimed_by_one_at_a_time(connection: Any, auth_database: str) -> None:
    claim = claim_of()
    other = await asyncpg.connect(auth_database)
    try:
        async with other.transaction():
            assert await claim_key(other, claim) is None
            with pytest.raises(Conflict):
                await claim_key(connection, claim)
        assert await claim_key(connection, claim) is None
    finally:
        await other.close()


async def insert_old(connection: Any, claim: Claim, hours: int, seconds: int = 0) -> None:
    await connection.execute(
        "INSERT INTO idempotency_key (client_id, subject, method, path, key, body_sha256, "
        "reference, created_at) VALUES ($1, $2, $3, $4, $5, $6, 'made/1', "
        "now() - make_interval(hours => $7, secs => $8))",
        *claim.identity,
        claim.body_sha256,
        hours,
        float(seconds),
    )


@pytest.mark.integration
async def test_key_may_be_used_again_after_its_time(connection: Any) -> None:
    kept, expired = claim_of(), claim_of()
    await insert_old(connection, kept, KEPT_HOURS)
    await insert_old(connection, expired, KEPT_HOURS, 1)
    assert await claim_key(connection, kept) == "made/1"
    assert await claim_key(connection, expired) is None
    await insert_key(connection, expired, "made/2")
    assert await claim_key(connection, expired) == "made/2"


@pytest.mark.integration
async def test_old_keys_are_deleted_a_bounded_number_at_once(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.kit.idempotency.CLEANED_ROWS", 2)
    claims = [claim_of() for _ in range(4)]
    await insert_key(connection, claims[0], "made/1")
    for claim in claims[1:]:
        await insert_old(connection, claim, KEPT_HOURS, 1)
    left = "SELECT count(*) FROM idempotency_key WHERE key = ANY($1::text[])"
    for count in (2, 1, 1):
        await delete_old_keys(connection)
        assert await connection.fetchval(left, [claim.key for claim in claims]) == count


async def test_write_without_a_key_is_always_the_first() -> None:
    assert await claim_key(cast(Any, None), None) is None
    await insert_key(cast(Any, None), None, "made/1")
