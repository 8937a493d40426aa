"""Moves what is encrypted at rest to the newest key, so that an older one may go.

The release does it before it makes a new key. Running services know the newest key by then.
"""

import logging

from apps.auth.encryption import DecryptionError, decrypt, encrypt
from apps.auth.keys import key_purpose
from apps.auth.people.mail import mail_purpose
from apps.auth.people.totp import totp_purpose
from apps.kit.database import Connection
from apps.kit.encryption_keys import newest_key

log = logging.getLogger(__name__)


async def reencrypt_secrets(connection: Connection, keys: bytes) -> int:
    """Encrypts signing keys, second factors and mails that wait under the newest key; returns
    how many were under another.

    Raises DecryptionError if a key or a second factor is under none of `keys`. Such a mail is left
    and logged: it cannot be sent, and ends within a day. Enrolments that were begun and never
    confirmed are left: they end with their session.
    """
    moved = 0
    async with connection.transaction():
        for row in await connection.fetch(
            "SELECT id, private_key FROM signing_keys ORDER BY id FOR UPDATE"
        ):
            sealed = reencrypt(keys, row["private_key"], key_purpose(row["id"]))
            if sealed is not None:
                await connection.execute(
                    "UPDATE signing_keys SET private_key = $2 WHERE id = $1", row["id"], sealed
                )
                moved += 1
        for row in await connection.fetch(
            "SELECT id, totp_secret FROM users WHERE totp_enabled ORDER BY id FOR UPDATE"
        ):
            sealed = reencrypt(keys, row["totp_secret"], totp_purpose(str(row["id"])))
            if sealed is not None:
                await connection.execute(
                    "UPDATE users SET totp_secret = $2 WHERE id = $1", row["id"], sealed
                )
                moved += 1
        for row in await connection.fetch(
            "SELECT id, sealed_body FROM mails WHERE sealed_body IS NOT NULL ORDER BY id FOR UPDATE"
        ):
            try:
                sealed = reencrypt(keys, row["sealed_body"], mail_purpose(str(row["id"])))
            except DecryptionError:
                log.warning("mail left under an unknown key", extra={"mail": str(row["id"])})
                continue
            if sealed is not None:
                await connection.execute(
                    "UPDATE mails SET sealed_body = $2 WHERE id = $1", row["id"], sealed
                )
                moved += 1
    return moved


def reencrypt(keys: bytes, sealed: bytes, purpose: str) -> bytes | None:
    """Returns the value under the newest key; None where it is already."""
    secret = decrypt(keys, sealed, purpose)
    if is_under(newest_key(keys), sealed, purpose):
        return None
    return encrypt(keys, secret, purpose)


def is_under(key: bytes, sealed: bytes, purpose: str) -> bool:
    try:
        decrypt(key, sealed, purpose)
    except DecryptionError:
        return False
    return True
