"""One-time links to set a password: issued by an administrator or the operator, good for a day, used once."""

from apps.auth.encryption import digest, new_token
from apps.auth.paths import RESET
from apps.kit.database import Connection

LINK_LIFE_HOURS = 24


async def create_reset_link(connection: Connection, user_id: str, issuer: str) -> str:
    """The link; an earlier one of the user ends."""
    token = new_token()
    await connection.execute("DELETE FROM password_resets WHERE user_id = $1", user_id)
    await connection.execute(
        "INSERT INTO password_resets (token_hash, user_id, expires_at) "
        "VALUES ($1, $2, now() + make_interval(hours => $3))",
        digest(token),
        user_id,
        LINK_LIFE_HOURS,
    )
    return f"{issuer}{RESET}?token={token}"


async def is_reset_token(connection: Connection, token: str) -> bool:
    """Looked at, not used up: mail scanners follow links."""
    return bool(
        await connection.fetchval(
            "SELECT true FROM password_resets WHERE token_hash = $1 AND expires_at > now()",
            digest(token),
        )
    )


async def use_reset_token(connection: Connection, token: str) -> str | None:
    """The id of the user whose it is; None for one that is unknown, used or too old."""
    user_id = await connection.fetchval(
        "DELETE FROM password_resets WHERE token_hash = $1 AND expires_at > now() RETURNING user_id",
        digest(token),
    )
    return str(user_id) if user_id else None
