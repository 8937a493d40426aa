"""Secrets at rest: AES-256-GCM under the service's key for what must be read again, SHA-256 for
what must not.
"""

import hashlib
import os
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apps.kit.encryption_keys import each_key, newest_key

NONCE_BYTES = 12
TOKEN_BYTES = 32


class DecryptionError(Exception):
    """A value was encrypted under another key or for another purpose, or was changed since."""


def encrypt(key: bytes, secret: bytes, purpose: str) -> bytes:
    """Encrypts under the newest key. `purpose` names the row: moved to another, the value
    does not decrypt.
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(newest_key(key)).encrypt(nonce, secret, purpose.encode())


def decrypt(key: bytes, sealed: bytes, purpose: str) -> bytes:
    """Decrypts by whichever key it was encrypted with. Raises DecryptionError."""
    for each in each_key(key):
        try:
            return AESGCM(each).decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose.encode()
            )
        except (InvalidTag, ValueError):
            continue
    raise DecryptionError(purpose)


def new_token() -> str:
    """Makes a secret of 256 random bits: client secrets, codes, refresh tokens, session ids."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest(token: str) -> bytes:
    """Returns what is stored of a token. It is random and long: a fast hash is enough, and there
    is nothing to guess.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
