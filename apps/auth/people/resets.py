"""Links to set a password, used once: an administrator's or operator's for a day, for a
forgotten one an hour.
"""

from dataclasses import dataclass

from apps.auth.encryption import digest, new_token
from apps.auth.paths import RESET
from apps.kit.database import Connection

LINK_LIFE_HOURS = 24
# Whoever asks for this one waits for it.
FORGOTTEN_LIFE_HOURS = 1


async def create_reset_link(
    connection: Connection, user_id: str, issuer: str, *, life_hours: int = LINK_LIFE_HOURS
) -> str:
    """Returns the link; an earlier one of the user ends."""
    token = new_token()
    await delete_reset_links(connection, user_id)
    await connection.execute(
        "INSERT INTO password_resets (token_hash, user_id, expires_at) "
        "VALUES ($1, $2, now() + make_interval(hours => $3))",
        digest(token),
        user_id,
        life_hours,
    )
    return f"{issuer}{RESET}?token={token}"


async def delete_reset_links(connection: Connection, user_id: str) -> None:
    """Voids the user's links: after a change of the password, and when the user is disabled."""
    await connection.execute("DELETE FROM password_resets WHERE user_id = $1", user_id)


@dataclass(frozen=True, slots=True)
class ResetLink:
    """Whose link it is. A new password must not follow from their address or name.

    `is_external`: the external provider made the user, who may have no password.
    """

    user_id: str
    email: str
    name: str
    is_external: bool


async def select_reset_link(connection: Connection, token: str) -> ResetLink | None:
    """Returns the link's user, or None if it is unknown, used, too old, or the user is disabled.

    The link is not used up: mail scanners follow links.
    """
    row = await connection.fetchrow(
        "SELECT users.id, email, name, "
        "EXISTS (SELECT FROM external_identities e WHERE e.user_id = users.id) AS is_external "
        "FROM password_resets JOIN users ON users.id = password_resets.user_id "
        "WHERE token_hash = $1 AND expires_at > now() AND disabled_at IS NULL",
        digest(token),
    )
    if row is None:
        return None
    return ResetLink(str(row["id"]), row["email"], row["name"], row["is_external"])


async def use_reset_token(connection: Connection, token: str) -> str | None:
    """Uses the link up. Returns the user's id, or None if it is unknown, used, too old, or the
    user is disabled.
    """
    user_id = await connection.fetchval(
        "DELETE FROM password_resets USING users WHERE users.id = user_id AND token_hash = $1 "
        "AND expires_at > now() AND disabled_at IS NULL RETURNING user_id",
        digest(token),
    )
    return str(user_id) if user_id else None
