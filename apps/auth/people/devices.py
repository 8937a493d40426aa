"""Browsers in which somebody signed in before: what others guess from elsewhere does not lock
them out there.
"""

from starlette.requests import Request
from starlette.responses import Response

from apps.auth.encryption import digest, new_token
from apps.auth.people.mail import insert_mail, new_sign_in
from apps.auth.people.sessions import describe_browser, set_cookie
from apps.auth.people.users import User
from apps.auth.texts import texts_of
from apps.kit.database import Connection

DEVICE_LIFE_SECONDS = 90 * 24 * 60 * 60
# A shared computer of a ward knows many people.
MAX_DEVICES_OF_USER = 50


def device_cookie(secure: bool) -> str:
    return "__Host-device" if secure else "device"


def device_of(request: Request, *, secure: bool) -> str:
    """Returns the browser's token; empty if it has none."""
    return request.cookies.get(device_cookie(secure), "")


async def is_known_device(connection: Connection, device: str, user_id: str) -> bool:
    """Tells whether this user signed in, with every factor, in this browser within
    the last 90 days.
    """
    if not device:
        return False
    return bool(
        await connection.fetchval(
            "SELECT true FROM known_devices WHERE token_hash = $1 AND user_id = $2 AND expires_at "
            "> now()",
            digest(device),
            user_id,
        )
    )


async def remember_device(
    connection: Connection,
    request: Request,
    response: Response,
    user: User,
    *,
    secure: bool,
    address: str,
) -> None:
    """Records that the user signed in here, and sets the cookie if the browser has none.

    A sign-in in a browser that is new to a user with others is told by mail.
    """
    device = device_of(request, secure=secure) or new_token()
    row = await connection.fetchrow(
        """
        WITH others AS (
            SELECT count(*) AS known FROM known_devices WHERE user_id = $2 AND expires_at > now()
        )
        INSERT INTO known_devices (token_hash, user_id, expires_at)
        VALUES ($1, $2, now() + make_interval(secs => $3))
        ON CONFLICT (token_hash, user_id) DO UPDATE SET expires_at = excluded.expires_at
        RETURNING xmax = 0 AS is_new, (SELECT known FROM others) AS known
        """,
        digest(device),
        user.id,
        float(DEVICE_LIFE_SECONDS),
    )
    if row["is_new"] and row["known"]:
        browser = describe_browser(request.headers.get("user-agent", ""))
        await insert_mail(connection, new_sign_in(texts_of(request), user.email, browser, address))
    await connection.execute(
        "DELETE FROM known_devices WHERE user_id = $1 AND token_hash IN ("
        "SELECT token_hash FROM known_devices WHERE user_id = $1 ORDER BY expires_at DESC OFFSET "
        "$2)",
        user.id,
        MAX_DEVICES_OF_USER,
    )
    name = device_cookie(secure)
    set_cookie(response, name, device, secure=secure, max_age=DEVICE_LIFE_SECONDS)


async def forget_devices(connection: Connection, user_id: str) -> None:
    """Forgets them for a changed password: whoever had the old one may have signed in elsewhere."""
    await connection.execute("DELETE FROM known_devices WHERE user_id = $1", user_id)
