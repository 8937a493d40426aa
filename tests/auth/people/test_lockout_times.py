"""How long failures lock, and what sets them back."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from apps.auth.people.lockout import (
    FORGET_AFTER_SECONDS,
    FREE_FAILURES,
    Attempt,
    settle_attempt,
    waiting_seconds,
)
from tests.waiting import until_blocked

pytestmark = pytest.mark.integration

COUNTED = "SELECT failures FROM attempts WHERE kind = $1 AND key = $2"


@pytest.fixture
def attempt() -> Attempt:
    return Attempt(f"{secrets.token_hex(6)}@example.org", "198.51.100.9")


def keys(attempt: Attempt) -> list[bytes]:
    return [key for _, key in attempt.counters()]


@pytest.fixture
async def committing(auth_database: str, attempt: Attempt) -> AsyncIterator[Any]:
    """A connection whose every statement has a time of its own."""
    connection = await asyncpg.connect(auth_database)
    yield connection
    await connection.execute("DELETE FROM attempts WHERE key = ANY($1)", keys(attempt))
    await connection.close()


async def counted(connection: Any, attempt: Attempt) -> dict[str, int | None]:
    return {kind: await connection.fetchval(COUNTED, kind, key) for kind, key in attempt.counters()}


async def lock(connection: Any, attempt: Attempt, kind: str = "pair") -> None:
    """Locks one counter of the attempt for a minute, after seven failures."""
    await connection.execute(
        "INSERT INTO attempts (kind, key, failures, locked_until, expires_at) "
        "VALUES ($1, $2, 7, now() + interval '1 minute', now() + interval '1 hour')",
        kind,
        dict(attempt.counters())[kind],
    )


@pytest.mark.parametrize("kind", ["pair", "user", "address"])
@pytest.mark.parametrize("right", [True, False])
async def test_attempt_that_is_locked_counts_as_nothing(
    connection: Any, attempt: Attempt, kind: str, right: bool
) -> None:
    await lock(connection, attempt, kind)
    assert 0 < await settle_attempt(connection, attempt, right) <= 60
    assert await counted(connection, attempt) == {
        each: 7 if each == kind else None for each, _ in attempt.counters()
    }


async def test_wait_is_the_longest_of_all_counters(connection: Any, attempt: Attempt) -> None:
    assert await waiting_seconds(connection, attempt) == 0
    await lock(connection, attempt, "pair")
    await lock(connection, attempt, "user")
    await connection.execute(
        "UPDATE attempts SET locked_until = now() + interval '90 seconds' WHERE kind = 'user'"
    )
    assert await waiting_seconds(connection, attempt) == 90


async def test_success_sets_back_the_counter_of_the_pair_alone(
    connection: Any, attempt: Attempt
) -> None:
    for _ in range(3):
        assert await settle_attempt(connection, attempt, False) == 0
    assert await counted(connection, attempt) == {"pair": 3, "user": 3, "address": 3}
    assert await settle_attempt(connection, attempt, True) == 0
    assert await counted(connection, attempt) == {"pair": None, "user": 3, "address": 3}


async def test_failures_are_forgotten_after_their_time(committing: Any, attempt: Attempt) -> None:
    for _ in range(FREE_FAILURES["pair"]):
        await settle_attempt(committing, attempt, False)
    await committing.execute(
        "UPDATE attempts SET locked_until = locked_until - make_interval(secs => $1), "
        "expires_at = expires_at - make_interval(secs => $1) WHERE key = ANY($2)",
        float(FORGET_AFTER_SECONDS),
        keys(attempt),
    )
    assert await settle_attempt(committing, attempt, False) == 0
    assert await counted(committing, attempt) == {"pair": 1, "user": 1, "address": 1}
    assert await waiting_seconds(committing, attempt) == 0


async def test_failure_that_waited_for_another_one_is_told_of_the_lock_that_it_made(
    committing: Any, attempt: Attempt, auth_database: str
) -> None:
    """Of guesses that were all let through, each but the first is refused at its end."""
    for _ in range(FREE_FAILURES["pair"]):
        await settle_attempt(committing, attempt, False)
    other = await asyncpg.connect(auth_database)
    try:
        async with committing.transaction():
            assert await settle_attempt(committing, attempt, False) == 0
            second = asyncio.create_task(settle_attempt(other, attempt, False))
            await until_blocked(committing, other, second)
        assert await second > 0
    finally:
        await other.close()
    assert (await counted(committing, attempt))["pair"] == FREE_FAILURES["pair"] + 1
