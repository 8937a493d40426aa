"""Keys that encrypt secrets at rest: the newest encrypts, each decrypts what it encrypted.

A setting holds one key, or the newest and the one before with a comma between, while a rotation
goes on. In memory the keys stand one behind the other.
"""

import base64
import binascii

from apps.kit.settings import Environment

KEY_BYTES = 32
MAX_KEYS = 2


def read_keys(env: Environment, name: str) -> bytes:
    """Returns the keys of the variable `name`, the newest first; each 32 bytes in base64url."""
    text = env.require(name)
    keys = [decode_key(part) for part in text.split(",")] if text else []
    if text and (len(keys) > MAX_KEYS or any(len(key) != KEY_BYTES for key in keys)):
        env.fault(f"{name} must be {KEY_BYTES} bytes in base64url, or two such with a comma")
        return b""
    return b"".join(keys)


def decode_key(text: str) -> bytes:
    """Returns the key; nothing where the text is not base64url."""
    try:
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def newest_key(keys: bytes) -> bytes:
    return keys[:KEY_BYTES]


def each_key(keys: bytes) -> list[bytes]:
    """Returns the keys, the newest first."""
    return [keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES)]
