"""Ends sessions and consents with all that came of them: codes, devices, refresh and
access tokens.
"""

from collections.abc import Sequence
from typing import Literal

from apps.auth.oauth.revocations import KEEP_SECONDS, revoke_family
from apps.kit.database import Connection

NOTICE_LIFE_HOURS = 1


async def end_sessions(connection: Connection, user_id: str, session_ids: Sequence[str]) -> int:
    """Ends sessions of the user by their public ids, inside a transaction; returns how
    many there were.
    """
    ended = await connection.fetch(
        "DELETE FROM sessions WHERE user_id = $1 AND public_id = ANY($2::text[]) "
        "RETURNING public_id",
        user_id,
        list(session_ids),
    )
    ids = [row["public_id"] for row in ended]
    await _end_grants(connection, user_id, "session_id", ids)
    await connection.execute(
        "INSERT INTO logout_notices (id, client_id, user_id, session_id, expires_at) "
        "SELECT gen_random_uuid(), client_id, user_id::text, session_id, "
        "now() + make_interval(hours => $2) "
        "FROM session_clients JOIN clients ON clients.id = client_id "
        "WHERE session_id = ANY($1::text[]) AND backchannel_logout_uri IS NOT NULL",
        ids,
        NOTICE_LIFE_HOURS,
    )
    return len(ids)


async def withdraw_consent(connection: Connection, user_id: str, client_id: str) -> bool:
    """Deletes a consent and ends what the application holds of the user; False if
    there was none.
    """
    deleted = await connection.fetchval(
        "DELETE FROM consents WHERE user_id = $1 AND client_id = $2 RETURNING true",
        user_id,
        client_id,
    )
    held = await _end_grants(connection, user_id, "client_id", [client_id])
    return bool(deleted) or held


async def _end_grants(
    connection: Connection,
    user_id: str,
    column: Literal["session_id", "client_id"],
    values: Sequence[str],
) -> bool:
    """Deletes unused codes of the user and revokes the families of tokens; returns whether
    there were any.

    The caller holds the user's row, so that no code is redeemed meanwhile; a device's code is
    locked by its deletion.
    """
    # The column is one of two constants.
    theirs = f"user_id = $1 AND {column} = ANY($2::text[])"
    await connection.execute(
        f"DELETE FROM authorization_codes WHERE {theirs} AND used_at IS NULL",  # noqa: S608
        user_id,
        list(values),
    )
    devices = await connection.fetch(
        f"DELETE FROM device_codes WHERE {theirs} RETURNING family_id",  # noqa: S608
        user_id,
        list(values),
    )
    # A client without a refresh token holds an access token: its family is that of the code.
    families = await connection.fetch(
        f"SELECT family_id FROM refresh_tokens WHERE {theirs} AND revoked_at IS NULL "  # noqa: S608
        f"UNION SELECT family_id FROM authorization_codes WHERE {theirs} "
        "AND used_at > now() - make_interval(secs => $3) AND NOT EXISTS "
        "(SELECT FROM revocations WHERE kind = 'family' AND id = family_id::text)",
        user_id,
        list(values),
        float(KEEP_SECONDS),
    )
    # In one order: two transactions that revoke the same families do not wait for each other.
    for family_id in sorted({str(row["family_id"]) for row in (*devices, *families)}):
        await revoke_family(connection, family_id)
    return bool(devices or families)
