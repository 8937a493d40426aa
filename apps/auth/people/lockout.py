"""Guessing passwords and codes gets slower with every failure.

Failures are counted for an account from one address, so that guesses from elsewhere do not lock
anybody out; for an account over all addresses and for an address over all accounts, with more that
are free; and in a browser where the person signed in before, for that browser alone. There nobody
else's failures count.

Whether an attempt counts is decided at its end, one after the other: of guesses sent all at once
the first few are answered, and the rest are refused, the right one among them. Many right ones at
once do not disturb each other. A known and an unknown account are counted alike.
"""

from dataclasses import dataclass
from typing import Literal

from apps.auth.encryption import digest
from apps.auth.people.user_fields import email_key
from apps.kit.addresses import network_of
from apps.kit.database import Connection

MAX_DELAY_SECONDS = 15 * 60
FORGET_AFTER_SECONDS = 60 * 60
# Failures that cost nothing but an attempt; then a second, and twice as long with each one more. A
# hospital may have one address: its right passwords do not wait for the wrong ones of others, short
# of a thousand within the hour.
FREE_FAILURES = {"pair": 4, "device": 4, "user": 20, "address": 1000}


@dataclass(frozen=True, slots=True)
class Attempt:
    """`account`: the e-mail address as typed, or for a second factor the user's id; `what` keeps
    the two apart. `address`: where it comes from, empty where that is not known. `device`: the
    browser's token, if this person signed in there before.
    """

    account: str
    address: str
    what: Literal["password", "second_factor"] = "password"
    device: str = ""

    def counters(self) -> list[tuple[str, bytes]]:
        """Returns kind and key of each counter; the first is the one that a success sets back."""
        # Only hashes are kept: what people type into the field of an address may be their password.
        account = f"{self.what}:{email_key(self.account)}"
        if self.what == "second_factor":
            # Who gets here has the password: guesses count together, wherever they come from.
            return [("pair", _key(account))]
        if self.device:
            return [("device", _key(account, self.device))]

        network = network_of(self.address)
        counters = [("pair", _key(account, network)), ("user", digest(account))]
        return [*counters, ("address", digest(f"address:{network}"))] if self.address else counters


def _key(account: str, place: str = "") -> bytes:
    """Returns a key whose first half is the account's, so that all counters of an
    account can be found.
    """
    return digest(account)[:16] + digest(place)[:16]


async def waiting_seconds(connection: Connection, attempt: Attempt) -> int:
    """Returns how long the attempt has to wait; 0 if it may be made."""
    kinds, keys = zip(*attempt.counters(), strict=True)
    left = await connection.fetchval(
        "SELECT max(ceil(extract(epoch FROM locked_until - now()))::int) FROM attempts "
        "JOIN unnest($1::text[], $2::bytea[]) AS wanted (kind, key) USING (kind, key) WHERE "
        "locked_until > now()",
        kinds,
        keys,
    )
    return left or 0


async def settle_attempt(connection: Connection, attempt: Attempt, right: bool) -> int:
    """Counts a failure, or sets the counter back after a success; inside a transaction.

    Returns seconds to wait if others' failures locked it meanwhile: then the attempt is no better
    than one that came later. The failures of an address and of an account over all addresses stay:
    whoever has an account of their own could guess at others' for ever.
    """
    wait_seconds = await waiting_seconds(connection, attempt)
    if wait_seconds:
        return wait_seconds
    if right:
        await connection.execute(
            "DELETE FROM attempts WHERE kind = $1 AND key = $2", *attempt.counters()[0]
        )
        return 0

    for kind, key in attempt.counters():
        counted = await connection.fetchval(
            "INSERT INTO attempts (kind, key, failures, locked_until, expires_at) "
            "VALUES ($1, $2, 1, now(), now() + make_interval(secs => $3)) "
            "ON CONFLICT (kind, key) DO UPDATE SET "
            "failures = CASE WHEN attempts.expires_at < now() THEN 1 ELSE attempts.failures + 1 "
            "END, "
            "locked_until = CASE WHEN attempts.expires_at < now() OR attempts.failures < $4 THEN "
            "now() ELSE "
            "clock_timestamp() + make_interval(secs => least($5, power(2, least(attempts.failures "
            "- $4, 20)))) END, "
            "expires_at = now() + make_interval(secs => $3) "
            "WHERE attempts.locked_until <= clock_timestamp() RETURNING failures",
            kind,
            key,
            float(FORGET_AFTER_SECONDS),
            FREE_FAILURES[kind],
            float(MAX_DELAY_SECONDS),
        )
        if counted is None:
            wait_seconds = max(wait_seconds, await waiting_seconds(connection, attempt), 1)
    return wait_seconds


async def forget_failures(connection: Connection, email: str, user_id: str) -> None:
    """Forgets the failures of a person, of the password and of the second factor: the next attempt
    need not wait.

    Those of the addresses that the attempts came from stay.
    """
    attempts = (Attempt(email, ""), Attempt(user_id, "", "second_factor"))
    halves = [key[:16] for attempt in attempts for _, key in attempt.counters()]
    await connection.execute(
        "DELETE FROM attempts WHERE kind <> 'address' AND substr(key, 1, 16) = ANY($1::bytea[])",
        halves,
    )
