"""Signing in by e-mail address and password: the same answer in the same time, whoever is asked for."""

from apps.auth.audit import Event, insert_audit
from apps.auth.lockout import Attempt, begin_attempt, forgive
from apps.auth.passwords import MAX_PASSWORD_CHARS, Hashing
from apps.auth.users import EMAIL, User, select_user_by_email
from apps.kit.database import Database
from apps.kit.errors import TooManyRequests


async def check_password(
    database: Database, hashing: Hashing, *, email: str, password: str, address: str, client_id: str
) -> User | None:
    """The user, or None for a wrong password, an unknown or a disabled user; raises TooManyRequests in a lockout."""
    attempt = Attempt(email, address)
    async with database.connection() as connection:
        try:
            await begin_attempt(connection, attempt)
        except TooManyRequests:
            await insert_audit(
                connection, Event("sign_in", "failure", "locked_out", client_id=client_id, address=address)
            )
            raise
        user = await select_user_by_email(connection, email) if EMAIL.fullmatch(email.strip()) else None
    acceptable = len(password) <= MAX_PASSWORD_CHARS
    # Without a connection in hand: hashing may have to wait for its turn.
    right = await hashing.verify(user.password_hash if user else None, password if acceptable else "")
    async with database.transaction() as connection:
        if user and right and user.disabled_at is None:
            await forgive(connection, attempt)
            return user
        reason = "disabled" if user and right else "wrong_password" if user else "unknown_user"
        subject = user.id if user else ""
        await insert_audit(
            connection, Event("sign_in", "failure", reason, client_id=client_id, subject=subject, address=address)
        )
    return None
