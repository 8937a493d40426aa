"""Refuses JSON objects that have one key twice: readers differ in which value they take (RFC
8259, section 4).
"""

import json
import re
from typing import Any

from apps.kit.errors import BadRequest, FieldError

_SPACE_BEFORE_COLON = re.compile(rb'"[ \t\r\n]+:')
# A quote or a colon.
_SPELLED_OUT = re.compile(rb"\\u00(?:22|3[Aa])")
MAX_REPORTED = 20


class _Repeated(dict[str, Any]):
    """An object that has `keys` more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.repeated = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]


def check_duplicate_keys(body: bytes, encoded: bytes) -> None:
    """Raises BadRequest with a pointer to each repeated key. `encoded` is the decoded body,
    encoded again.

    A key ends in `":`, and the same within a text stands as `\\":` in both, unless the body spells
    a part of it out. So the same count says that no key was lost; another one only says to look
    closer.
    """
    if (
        body.count(b'":') == encoded.count(b'":')
        and not _SPELLED_OUT.search(body)
        and not _SPACE_BEFORE_COLON.search(body)
    ):
        return
    faults: list[FieldError] = []
    _collect(json.loads(body, object_pairs_hook=_Repeated, parse_float=str), "", faults)
    if faults:
        raise BadRequest("duplicate_key", faults=tuple(faults))


def _collect(value: Any, at: str, faults: list[FieldError]) -> None:
    if isinstance(value, _Repeated):
        for key in value.repeated:
            if len(faults) < MAX_REPORTED:
                message = "the same key stands in this object twice"
                faults.append(FieldError("duplicate", message, f"{at}/{key}"))
        for name, child in value.items():
            _collect(child, f"{at}/{name}", faults)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _collect(child, f"{at}/{index}", faults)
