"""Browsers in which somebody signed in before: what others guess from elsewhere does not lock them out there."""

from starlette.requests import Request
from starlette.responses import Response

from apps.auth.encryption import digest, new_token
from apps.auth.people.sessions import set_cookie
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
    """Tells whether this user signed in, with every factor, in this browser within the last 90 days."""
    if not device:
        return False
    return bool(
        await connection.fetchval(
            "SELECT true FROM known_devices WHERE token_hash = $1 AND user_id = $2 AND expires_at > now()",
            digest(device),
            user_id,
        )
    )


async def remember_device(
    connection: Connection, request: Request, response: Response, user_id: str, *, secure: bool
) -> None:
    """Records that the user signed in here, and sets the cookie if the browser has none."""
    device = device_of(request, secure=secure) or new_token()
    await connection.execute(
        "INSERT INTO known_devices (token_hash, user_id, expires_at) "
        "VALUES ($1, $2, now() + make_interval(secs => $3)) "
        "ON CONFLICT (token_hash, user_id) DO UPDATE SET expires_at = excluded.expires_at",
        digest(device),
        user_id,
        float(DEVICE_LIFE_SECONDS),
    )
    await connection.execute(
        "DELETE FROM known_devices WHERE user_id = $1 AND token_hash IN ("
        "SELECT token_hash FROM known_devices WHERE user_id = $1 ORDER BY expires_at DESC OFFSET $2)",
        user_id,
        MAX_DEVICES_OF_USER,
    )
    name = device_cookie(secure)
    set_cookie(response, name, device, secure=secure, max_age=DEVICE_LIFE_SECONDS)


async def forget_devices(connection: Connection, user_id: str) -> None:
    """For a changed password: whoever had the old one may have signed in elsewhere."""
    await connection.execute("DELETE FROM known_devices WHERE user_id = $1", user_id)
