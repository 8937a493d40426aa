"""Bounds on the signed tokens that anybody may send as a parameter: assertions, hints,
subject tokens.
"""

import binascii
from base64 import urlsafe_b64decode
from typing import Any

import msgspec

MAX_JWT_CHARS = 8192
# Claims have no depth. A parser that recurses must not meet thousands of brackets.
MAX_BRACKETS = 64


def is_acceptable_jwt(text: str) -> bool:
    """Tells whether the text is a compact JWS with a flat header that asks for no extension (RFC
    7515, 4.1.11).

    Nothing is verified. Linear in the length, which is bounded.
    """
    if len(text) > MAX_JWT_CHARS or text.count(".") != 2:
        return False
    header, payload, _ = text.split(".")
    parsed = _parse(header)
    if parsed is None or "crit" in parsed or "b64" in parsed:
        return False
    if any(not isinstance(parsed.get(name, ""), str) for name in ("alg", "kid", "typ")):
        return False
    return _parse(payload) is not None


def read_unverified_claims(text: str) -> dict[str, Any]:
    """Returns the claims of an acceptable token as they are stated, without any proof; empty for
    any other text.
    """
    return (_parse(text.split(".")[1]) or {}) if is_acceptable_jwt(text) else {}


def read_key_id(text: str) -> str:
    """Returns the stated `kid` of an acceptable token; empty if there is none."""
    header = _parse(text.split(".")[0]) if is_acceptable_jwt(text) else None
    return str((header or {}).get("kid", ""))


def _parse(segment: str) -> dict[str, Any] | None:
    try:
        content = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        if content.count(b"{") + content.count(b"[") > MAX_BRACKETS:
            return None
        value = msgspec.json.decode(content)
    except (binascii.Error, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
