"""What is revoked before its time, kept until nothing that it concerns can still be valid."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from apps.auth.keys import KeyRing
from apps.auth.oauth.logout_notices import insert_logout_notices
from apps.auth.oauth.token_families import lock_family
from apps.kit.claims import ACCESS_TOKEN_SECONDS, CLOCK_LEEWAY_SECONDS
from apps.kit.database import Connection, Database
from apps.kit.errors import Unavailable
from apps.kit.revocations import Revocations

KINDS = {"subject": "subjects", "client": "clients", "family": "families"}
# A token has its time from a replica's clock, a revocation from the database's.
CLOCK_SKEW_SECONDS = 1
KEEP_SECONDS = ACCESS_TOKEN_SECONDS + 2 * CLOCK_LEEWAY_SECONDS


async def insert_revocation(connection: Connection, kind: str, id: str) -> None:
    """Revokes by `kind`: `subject`, `client` or `family`: all their access tokens until now;
    `token`: the one with this `jti`.

    Now is the time of the writing, not of the transaction's start: whoever was renewed while it
    waited is covered.
    """
    await connection.execute(
        "INSERT INTO revocations (kind, id, not_before, expires_at) "
        "VALUES ($1, $2, clock_timestamp() + make_interval(secs => $4), clock_timestamp() + "
        "make_interval(secs => $3)) "
        "ON CONFLICT (kind, id) DO UPDATE SET not_before = excluded.not_before, expires_at = "
        "excluded.expires_at",
        kind,
        id,
        float(KEEP_SECONDS),
        float(CLOCK_SKEW_SECONDS),
    )


async def revoke_family(connection: Connection, family_id: str) -> None:
    """Revokes the refresh tokens of the family and all access tokens that came of it."""
    await lock_family(connection, family_id)
    await connection.execute(
        "UPDATE refresh_tokens SET revoked_at = now() WHERE family_id = $1 AND revoked_at IS NULL",
        family_id,
    )
    await insert_revocation(connection, "family", family_id)


async def revoke_subject(connection: Connection, user_id: str) -> None:
    """Ends all that the user holds: sessions, codes, devices, tokens, a second factor not
    yet confirmed.
    """
    # Locks the user's row too. Who saw a second factor's secret that was never confirmed shall not
    # be there to use it.
    await connection.execute(
        "UPDATE users SET totp_secret = CASE WHEN totp_enabled THEN totp_secret END WHERE id = $1",
        user_id,
    )
    await connection.execute("DELETE FROM sessions WHERE user_id = $1", user_id)
    await insert_logout_notices(connection, user_id)
    await connection.execute(
        "DELETE FROM authorization_codes WHERE user_id = $1 AND used_at IS NULL", user_id
    )
    # Waits for a device that is being given tokens: they are revoked below.
    await connection.execute("DELETE FROM device_codes WHERE user_id = $1", user_id)
    await connection.execute(
        "UPDATE refresh_tokens SET revoked_at = now() WHERE user_id = $1 AND revoked_at IS NULL",
        user_id,
    )
    await insert_revocation(connection, "subject", user_id)


async def revoke_client(connection: Connection, client_id: str) -> None:
    await connection.execute("SELECT id FROM clients WHERE id = $1 FOR NO KEY UPDATE", client_id)
    await connection.execute(
        "DELETE FROM authorization_codes WHERE client_id = $1 AND used_at IS NULL", client_id
    )
    await connection.execute("DELETE FROM device_codes WHERE client_id = $1", client_id)
    await connection.execute("DELETE FROM pushed_requests WHERE client_id = $1", client_id)
    await connection.execute(
        "UPDATE refresh_tokens SET revoked_at = now() WHERE client_id = $1 AND revoked_at IS NULL",
        client_id,
    )
    await insert_revocation(connection, "client", client_id)


async def select_revocations(connection: Connection) -> Revocations:
    tokens: set[str] = set()
    times: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for row in await connection.fetch(
        "SELECT kind, id, not_before FROM revocations WHERE expires_at > now()"
    ):
        if row["kind"] == "token":
            tokens.add(row["id"])
        else:
            times[row["kind"]][row["id"]] = _seconds(row["not_before"])
    return Revocations(frozenset(tokens), **{KINDS[kind]: values for kind, values in times.items()})


def _seconds(time: datetime) -> int:
    return int(time.astimezone(UTC).timestamp())


class OwnSource:
    """Keys and revocations for the auth service's own verifier: from its database,
    not over HTTP.
    """

    def __init__(self, database: Database, keys: Callable[[], Awaitable[KeyRing | None]]) -> None:
        self._database = database
        self._keys = keys

    async def fetch_keys(self) -> Any:
        ring = await self._keys()
        if ring is None:
            raise Unavailable("no_keys")
        return ring.published

    async def fetch_revocations(self) -> Revocations:
        async with self._database.connection() as connection:
            return await select_revocations(connection)
