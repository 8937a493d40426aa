"""Signing in by e-mail address and password: the same answer in the same time,
whoever is asked for.
"""

from apps.auth.audit import Event, insert_audit
from apps.auth.people.devices import is_known_device
from apps.auth.people.external_identities import is_external
from apps.auth.people.lockout import Attempt, settle_attempt, waiting_seconds
from apps.auth.people.passwords import MAX_PASSWORD_CHARS, Hashing
from apps.auth.people.user_fields import is_email
from apps.auth.people.users import User, select_user_by_email
from apps.kit.database import Database
from apps.kit.errors import TooManyRequests


async def check_password(
    database: Database,
    hashing: Hashing,
    *,
    email: str,
    password: str,
    address: str,
    client_id: str,
    device: str = "",
) -> User | None:
    """Returns the user, or None for a wrong password, an unknown or a disabled user, and a person
    of the external provider.

    Raises TooManyRequests in a lockout. `device`: the browser's token, if it has one.
    """
    refused = Event("sign_in", "failure", "locked_out", client_id=client_id, address=address)
    async with database.connection() as connection:
        user = (
            await select_user_by_email(connection, email.strip())
            if is_email(email.strip())
            else None
        )
        # Their organization says who they are: a password of an earlier release counts no more.
        external = user is not None and await is_external(connection, user.id)
        known = user is not None and await is_known_device(connection, device, user.id)
        attempt = Attempt(email, address, device=device if known else "")
        wait_seconds = await waiting_seconds(connection, attempt)
        if wait_seconds:
            await insert_audit(connection, refused)
            raise TooManyRequests("too_many_attempts", wait_seconds)

    acceptable = len(password) <= MAX_PASSWORD_CHARS
    # Without a connection in hand: hashing may have to wait for its turn.
    right = await hashing.verify(
        user.password_hash if user and not external else None, password if acceptable else ""
    )
    welcome = user is not None and right and user.disabled_at is None
    async with database.transaction() as connection:
        wait_seconds = await settle_attempt(connection, attempt, welcome)
        if not wait_seconds and not welcome:
            reason = "disabled" if user and right else "wrong_password" if user else "unknown_user"
            refused = Event(
                "sign_in",
                "failure",
                reason,
                client_id=client_id,
                subject=user.id if user else "",
                address=address,
            )
        if wait_seconds or not welcome:
            await insert_audit(connection, refused)
    if wait_seconds:
        raise TooManyRequests("too_many_attempts", wait_seconds)
    return user if welcome else None
