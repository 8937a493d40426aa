"""Guessing passwords and codes gets slower with every failure, for an account and for an address.

An attempt counts as failed before the password is looked at, in one statement: guesses sent all at once are
counted all the same. A known and an unknown account are counted alike.
"""

from dataclasses import dataclass

from apps.auth.sealing import digest
from apps.kit.database import Connection
from apps.kit.errors import TooManyRequests

MAX_DELAY_SECONDS = 15 * 60
FORGET_AFTER_SECONDS = 60 * 60
# Failures that cost nothing but an attempt; then a second, and twice as long with each one more.
FREE_FAILURES = {"user": 4, "address": 40}


@dataclass(frozen=True, slots=True)
class Attempt:
    """`account`: the e-mail address as typed; `address`: where it comes from, empty where that is not known."""

    account: str
    address: str

    def counters(self) -> list[tuple[str, bytes]]:
        # Only hashes are kept: what people type into the field of an address may be their password.
        keys = [("user", digest(self.account.strip().lower()))]
        return [*keys, ("address", digest(self.address))] if self.address else keys


async def begin_attempt(connection: Connection, attempt: Attempt) -> None:
    """Counts one failure for each key; raises TooManyRequests where one of them has to wait. Commit it by itself."""
    wait_seconds = 0
    for kind, key in attempt.counters():
        counted = await connection.fetchval(
            "INSERT INTO attempts (kind, key, failures, locked_until, expires_at) "
            "VALUES ($1, $2, 1, now(), now() + make_interval(secs => $3)) "
            "ON CONFLICT (kind, key) DO UPDATE SET "
            "failures = CASE WHEN attempts.expires_at < now() THEN 1 ELSE attempts.failures + 1 END, "
            "locked_until = CASE WHEN attempts.expires_at < now() OR attempts.failures < $4 THEN now() ELSE "
            "now() + make_interval(secs => least($5, power(2, least(attempts.failures - $4, 20)))) END, "
            "expires_at = now() + make_interval(secs => $3) "
            "WHERE attempts.locked_until <= now() RETURNING failures",
            kind,
            key,
            float(FORGET_AFTER_SECONDS),
            FREE_FAILURES[kind],
            float(MAX_DELAY_SECONDS),
        )
        if counted is None:
            left = await connection.fetchval(
                "SELECT ceil(extract(epoch FROM locked_until - now()))::int FROM attempts WHERE kind = $1 AND key = $2",
                kind,
                key,
            )
            wait_seconds = max(wait_seconds, left or 1)
    if wait_seconds:
        raise TooManyRequests("too_many_attempts", wait_seconds)


async def forgive(connection: Connection, attempt: Attempt) -> None:
    """After success: the account starts anew; the address gets back this attempt alone, or whoever has an account
    of their own could guess at others' for ever."""
    (_, account), *address = attempt.counters()
    await connection.execute("DELETE FROM attempts WHERE kind = 'user' AND key = $1", account)
    for kind, key in address:
        await connection.execute(
            "UPDATE attempts SET failures = failures - 1, locked_until = now() WHERE kind = $1 AND key = $2", kind, key
        )
