"""Cursors: where a page ended, signed, so that a client can only give back what it
was given. Pure.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec

from apps.kit.errors import BadRequest

_TAG_BYTES = 12


class Cursors:
    """Makes and reads cursors; `secret` is the same for all replicas. A cursor is good for its
    own query only.
    """

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"cursor", sha256)

    def make(self, query: str, values: Sequence[Any]) -> str:
        content = msgspec.json.encode([_plain(value) for value in values])
        return base64.urlsafe_b64encode(self._tag(query, content) + content).decode().rstrip("=")

    def read(self, query: str, text: str) -> list[Any]:
        """Returns the values; raises BadRequest for what was not made here for this query."""
        try:
            padded = text + "=" * (-len(text) % 4)
            whole = base64.b64decode(padded.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise invalid_cursor() from None
        tag, content = whole[:_TAG_BYTES], whole[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(query, content)):
            raise invalid_cursor()
        values: list[Any] = msgspec.json.decode(content)
        return [_value(value) for value in values]

    def _tag(self, query: str, content: bytes) -> bytes:
        return hmac.digest(self._key, query.encode() + b"\x00" + content, sha256)[:_TAG_BYTES]


def invalid_cursor() -> BadRequest:
    return BadRequest(
        "invalid_cursor", "this is not a cursor of ours for this query", pointer="_cursor"
    )


def search_changed() -> BadRequest:
    return BadRequest(
        "invalid_cursor",
        "the search goes another way since the cursor was made; begin with its first page",
        pointer="_cursor",
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"t": value.isoformat()}
    if isinstance(value, Decimal):
        return {"n": str(value)}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return [_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "t" in value:
        return datetime.fromisoformat(value["t"])
    if "n" in value:
        return Decimal(value["n"])
    # Cursors of the previous release.
    return int(value["i"])
