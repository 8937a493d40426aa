"""Who is held to be one and the same when failures are counted."""

import math
import secrets
from dataclasses import replace

import asyncpg
import pytest

from apps.auth.people.lockout import (
    FREE_FAILURES,
    MAX_DELAY_SECONDS,
    Attempt,
    forget_failures,
    settle_attempt,
    waiting_seconds,
)
from tests.auth.conftest import Auth, run


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:0DB8:1:2::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("unknown", "::", False),
    ],
)
def test_addresses_of_one_line_are_counted_as_one(one: str, other: str, same: bool) -> None:
    counted = [
        dict(Attempt("a@example.org", address).counters())["address"] for address in (one, other)
    ]
    assert (counted[0] == counted[1]) is same


def test_second_factor_is_counted_apart_from_whatever_is_typed_as_an_e_mail_address() -> None:
    factor = Attempt("user-1", "", "second_factor").counters()
    for typed in ("user-1", "second_factor:user-1", "second-factor:user-1", "password:user-1"):
        assert not set(Attempt(typed, "").counters()) & set(factor)


def test_account_and_address_of_one_spelling_are_counted_apart() -> None:
    kinds = dict(Attempt("192.0.2.1", "192.0.2.1").counters())
    assert kinds["user"] != kinds["address"]


@pytest.mark.integration
def test_guessing_from_one_network_over_ipv6_is_locked_out(auth: Auth) -> None:
    prefix = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}"
    email = f"{secrets.token_hex(6)}@example.org"
    statuses = {
        auth.login(email, "wrong", f"{prefix}::{number:x}").status_code
        for number in range(FREE_FAILURES["pair"] + 4)
    }
    assert statuses == {401, 429}


@pytest.mark.integration
def test_unlocking_forgets_every_failure_of_the_account_and_nobody_elses(auth: Auth) -> None:
    user, other = auth.user("clinician"), auth.user("clinician")
    attempts = [
        Attempt(user.email, "198.51.100.1"),
        Attempt(user.email, "", device="d"),
        Attempt(user.id, "", "second_factor"),
        Attempt(other.email, "198.51.100.1"),
    ]
    for kind, key in {counter for attempt in attempts for counter in attempt.counters()}:
        auth.sql(
            "INSERT INTO attempts (kind, key, failures, locked_until, expires_at) "
            "VALUES ($1, $2, 30, now() + interval '1 hour', now() + interval '1 hour')",
            kind,
            key,
        )

    async def unlock() -> list[int]:
        connection = await asyncpg.connect(auth.settings.database.url)
        try:
            await forget_failures(connection, user.email, user.id)
            return [
                await waiting_seconds(connection, replace(attempt, address=""))
                for attempt in attempts
            ]
        finally:
            await connection.close()

    assert [seconds > 0 for seconds in run(unlock())] == [False, False, False, True]


LOCKED_FOR = "SELECT extract(epoch FROM locked_until - now())::float8 FROM attempts WHERE key = $1"


@pytest.mark.integration
def test_wait_begins_with_the_failure_after_the_free_ones_and_doubles(auth: Auth) -> None:
    attempt = Attempt(f"{secrets.token_hex(6)}@example.org", "198.51.100.7")

    async def fail(times: int) -> list[float]:
        """Returns the seconds that each failure locks for; the wait itself is skipped."""
        connection = await asyncpg.connect(auth.settings.database.url)
        waits = []
        try:
            for _ in range(times):
                async with connection.transaction():
                    assert await settle_attempt(connection, attempt, False) == 0
                    waits.append(await connection.fetchval(LOCKED_FOR, attempt.counters()[0][1]))
                await connection.execute("UPDATE attempts SET locked_until = now()")
        finally:
            await connection.close()
        return waits

    free = FREE_FAILURES["pair"]
    waits = run(fail(free + 12))
    assert waits[:free] == [0.0] * free
    # The time between the two statements comes on top.
    assert [round(math.log2(seconds)) for seconds in waits[free : free + 4]] == [0, 1, 2, 3]
    assert MAX_DELAY_SECONDS <= waits[-1] < MAX_DELAY_SECONDS + 60
