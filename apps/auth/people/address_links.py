"""Links that prove who reads the mail of an address: good for a day, used once."""

from apps.auth.encryption import digest, new_token
from apps.auth.paths import CONFIRM_EMAIL
from apps.kit.database import Connection

LINK_LIFE_HOURS = 24


async def create_address_link(connection: Connection, user_id: str, email: str, issuer: str) -> str:
    """Returns the link; an earlier one of the user ends."""
    token = new_token()
    await delete_address_links(connection, user_id)
    await connection.execute(
        "INSERT INTO address_links (token_hash, user_id, email, expires_at) "
        "VALUES ($1, $2, $3, now() + make_interval(hours => $4))",
        digest(token),
        user_id,
        email,
        LINK_LIFE_HOURS,
    )
    return f"{issuer}{CONFIRM_EMAIL}?token={token}"


async def delete_address_links(connection: Connection, user_id: str) -> None:
    """Voids the user's link: after a change of the password, and when the user is disabled."""
    await connection.execute("DELETE FROM address_links WHERE user_id = $1", user_id)


async def select_address(connection: Connection, token: str) -> str | None:
    """Returns the address that the link confirms, or None. The link is not used up by that."""
    email: str | None = await connection.fetchval(
        "SELECT email FROM address_links WHERE token_hash = $1 AND expires_at > now()",
        digest(token),
    )
    return email


async def use_address_link(connection: Connection, token: str) -> tuple[str, str] | None:
    """Uses the link up; returns the user's id and the confirmed address, or None."""
    row = await connection.fetchrow(
        "DELETE FROM address_links USING users WHERE users.id = user_id AND token_hash = $1 "
        "AND expires_at > now() AND disabled_at IS NULL "
        "RETURNING user_id, address_links.email AS email",
        digest(token),
    )
    return (str(row["user_id"]), row["email"]) if row else None
