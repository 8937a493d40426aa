"""The second factor: codes by time (RFC 6238), each good once, and recovery codes for
a lost device.
"""

import base64
import hmac
import secrets
import time
from contextlib import suppress
from io import BytesIO

import pyotp
import segno

from apps.auth.encryption import DecryptionError, decrypt, digest, encrypt
from apps.auth.people.sessions import Session
from apps.auth.people.users import User
from apps.kit.database import Connection

STEP_SECONDS = 30
# The clock of the device may be off by one step.
WINDOW_STEPS = 1
RECOVERY_CODES = 10
RECOVERY_CODE_BYTES = 10
ISSUER_NAME = "Patient management"


def totp_purpose(user_id: str) -> str:
    """Returns the purpose under which a confirmed second factor is encrypted."""
    return f"totp:{user_id}"


def _pending_purpose(session: Session) -> str:
    # Who began an enrolment in another session, with a stolen password say, knows that secret: it
    # opens there alone.
    return f"totp:{session.user.id}:{session.id}"


async def begin_enrolment(connection: Connection, key: bytes, session: Session) -> str:
    """Returns the secret in base32; the same one in this session, so that the page may be
    reloaded, and another in the next.
    """
    user = session.user
    if user.totp_secret:
        # One of another session or key was never confirmed: a new one takes its place.
        with suppress(DecryptionError):
            return decrypt(key, user.totp_secret, _pending_purpose(session)).decode()
    secret: str = pyotp.random_base32()
    await connection.execute(
        "UPDATE users SET totp_secret = $2 WHERE id = $1 AND NOT totp_enabled",
        user.id,
        encrypt(key, secret.encode(), _pending_purpose(session)),
    )
    return secret


def provisioning_uri(secret: str, user: User) -> str:
    uri: str = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER_NAME)
    return uri


def qr_code(uri: str) -> str:
    """Draws the URI as a picture that needs no script and no second request:
    `data:image/svg+xml;base64,...`.
    """
    out = BytesIO()
    segno.make(uri, error="m").save(out, kind="svg", scale=5, border=4, light="#fff")
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()


async def confirm_enrolment(
    connection: Connection, key: bytes, session: Session, code: str
) -> list[str] | None:
    """Turns the second factor on and gives the recovery codes, which are told here only; None
    for a wrong code.
    """
    user = session.user
    if not user.totp_secret:
        return None
    try:
        secret = decrypt(key, user.totp_secret, _pending_purpose(session))
    except DecryptionError:
        return None
    if not await _use_step(connection, user, secret.decode(), code):
        return None
    await connection.execute(
        "UPDATE users SET totp_enabled = true, totp_secret = $2, updated_at = now() WHERE id = $1",
        user.id,
        encrypt(key, secret, totp_purpose(user.id)),
    )
    return await replace_recovery_codes(connection, user.id)


async def replace_recovery_codes(connection: Connection, user_id: str) -> list[str]:
    """Makes new recovery codes, which are told here only; the ones before are void."""
    await connection.execute("DELETE FROM recovery_codes WHERE user_id = $1", user_id)
    codes = [new_recovery_code() for _ in range(RECOVERY_CODES)]
    await connection.executemany(
        "INSERT INTO recovery_codes (user_id, code_hash) VALUES ($1, $2)",
        [(user_id, digest(normalize(code))) for code in codes],
    )
    return codes


async def use_code(connection: Connection, key: bytes, user: User, code: str) -> bool:
    """Uses up the step that a code of the device belongs to, in one statement: a code seen is
    worth nothing.

    Raises DecryptionError where the secret is sealed under another key.
    """
    if not user.totp_secret:
        return False
    return await _use_step(
        connection, user, decrypt(key, user.totp_secret, totp_purpose(user.id)).decode(), code
    )


async def _use_step(connection: Connection, user: User, secret: str, code: str) -> bool:
    device = pyotp.TOTP(secret)
    now = int(time.time()) // STEP_SECONDS
    typed = normalize(code).encode("utf-8", "surrogatepass")
    for step in range(now - WINDOW_STEPS, now + WINDOW_STEPS + 1):
        if hmac.compare_digest(device.generate_otp(step).encode(), typed):
            used = await connection.fetchval(
                "UPDATE users SET totp_last_step = $2 WHERE id = $1 AND totp_last_step < $2 "
                "RETURNING true",
                user.id,
                step,
            )
            return bool(used)
    return False


async def use_recovery_code(connection: Connection, user: User, code: str) -> bool:
    deleted = await connection.fetchval(
        "DELETE FROM recovery_codes WHERE user_id = $1 AND code_hash = $2 RETURNING true",
        user.id,
        digest(normalize(code)),
    )
    return bool(deleted)


async def remove_authenticator(connection: Connection, user_id: str) -> None:
    """Removes the authenticator app and the recovery codes."""
    await connection.execute(
        "UPDATE users SET totp_enabled = false, totp_secret = NULL, totp_last_step = 0, updated_at "
        "= now(), "
        "version = version + 1 WHERE id = $1",
        user_id,
    )
    await connection.execute("DELETE FROM recovery_codes WHERE user_id = $1", user_id)


def new_recovery_code() -> str:
    """Makes `abcd-efgh-ijkl-mnop`: 80 random bits in base32."""
    text = base64.b32encode(secrets.token_bytes(RECOVERY_CODE_BYTES)).decode().lower()
    return "-".join(text[index : index + 4] for index in range(0, len(text), 4))


def normalize(code: str) -> str:
    return "".join(code.split()).replace("-", "").lower()
