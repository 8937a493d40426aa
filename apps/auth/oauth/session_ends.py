"""Ends sessions with all that came of them: refresh and access tokens, and notices to their applications."""

from collections.abc import Sequence

from apps.auth.oauth.revocations import revoke_family
from apps.kit.database import Connection

NOTICE_LIFE_HOURS = 1


async def end_sessions(connection: Connection, user_id: str, session_ids: Sequence[str]) -> int:
    """Ends sessions of the user by their public ids, inside a transaction; returns how many there were."""
    ended = await connection.fetch(
        "DELETE FROM sessions WHERE user_id = $1 AND public_id = ANY($2::text[]) "
        "RETURNING public_id",
        user_id,
        list(session_ids),
    )
    ids = [row["public_id"] for row in ended]
    families = await connection.fetch(
        "SELECT DISTINCT family_id FROM refresh_tokens WHERE user_id = $1 AND revoked_at IS NULL "
        "AND session_id = ANY($2::text[]) ORDER BY family_id",
        user_id,
        ids,
    )
    for row in families:
        await revoke_family(connection, str(row["family_id"]))

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
    """Deletes a consent and ends what the application holds of the user; False if there was none."""
    deleted = await connection.fetchval(
        "DELETE FROM consents WHERE user_id = $1 AND client_id = $2 RETURNING true",
        user_id,
        client_id,
    )
    families = await connection.fetch(
        "SELECT DISTINCT family_id FROM refresh_tokens WHERE user_id = $1 AND client_id = $2 "
        "AND revoked_at IS NULL ORDER BY family_id",
        user_id,
        client_id,
    )
    for row in families:
        await revoke_family(connection, str(row["family_id"]))
    await connection.execute(
        "DELETE FROM authorization_codes WHERE user_id = $1 AND client_id = $2 AND used_at IS NULL",
        user_id,
        client_id,
    )
    return bool(deleted) or bool(families)
