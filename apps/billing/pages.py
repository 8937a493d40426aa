"""Pages by keyset: a token says after which row the next page begins."""

import base64
import binascii
import json
from collections.abc import Sequence
from uuid import UUID

from apps.kit.errors import BadRequest

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100


def read_page_size(size: int, *, maximum: int = MAX_PAGE_SIZE) -> int:
    """Gives the number of rows on a page; 0 means the default."""
    if not 0 <= size <= maximum:
        raise BadRequest("invalid_page_size", f"1 to {maximum}", pointer="page_size")
    return size or min(DEFAULT_PAGE_SIZE, maximum)


def write_token(*key: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def read_token(token: str, kinds: Sequence[type]) -> list[str | int] | None:
    """Gives the key that the token carries, None for the first page; raises BadRequest for
    any other text.
    """
    if not token:
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        key = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, binascii.Error, RecursionError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != len(kinds)
        or any(type(part) is not kind for part, kind in zip(key, kinds, strict=True))
        or any(isinstance(part, int) and abs(part) >= 2**63 for part in key)
        or any(isinstance(part, str) and "\0" in part for part in key)
    ):
        raise BadRequest("invalid_page_token", "a token of an earlier answer", pointer="page_token")
    return key


def read_id_token(token: str) -> UUID | None:
    """Reads the token of a list that is ordered by a UUID."""
    key = read_token(token, (str,))
    if key is None:
        return None
    try:
        return UUID(str(key[0]))
    except ValueError:
        raise BadRequest("invalid_page_token", pointer="page_token") from None
