"""Secrets at rest: AES-256-GCM under the console's key, bound to the place where each is kept."""

import hashlib
import os
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apps.kit.encryption_keys import each_key, newest_key

NONCE_BYTES = 12
TOKEN_BYTES = 32


def encrypt(key: bytes, content: bytes, purpose: bytes) -> bytes:
    """Encrypts `content` under the newest key; what is moved to another `purpose`
    does not decrypt.
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(newest_key(key)).encrypt(nonce, content, purpose)


def decrypt(key: bytes, sealed: bytes, purpose: bytes) -> bytes | None:
    """Gives the content, None where it was encrypted otherwise or changed since."""
    for each in each_key(key):
        try:
            return AESGCM(each).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose)
        except (InvalidTag, ValueError):
            continue
    return None


def new_token() -> str:
    """Makes a secret of 256 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest(token: str) -> bytes:
    """Hashes a random token for storage: it is long, so that a fast hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
