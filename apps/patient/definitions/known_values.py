"""Remembers values that were found valid: a clinic's records repeat a few hundred codes, and most
of a resource is made of them.
"""

from typing import Any

from apps.patient.codec import encode

# Of all elements together, a few megabytes.
MAX_VALUES = 20_000
MAX_VALUE_BYTES = 512
# Types whose values repeat. With an extension a value may refer to what its resource contains, and
# is then not remembered.
REPEATED_TYPES = frozenset(("CodeableConcept", "Coding", "Meta"))


class KnownValues:
    """The values of one element that were found valid, as they are in JSON."""

    _all: "list[KnownValues]" = []
    _count = 0

    def __init__(self) -> None:
        self._values: set[bytes] = set()
        KnownValues._all.append(self)

    def __contains__(self, key: bytes) -> bool:
        return key in self._values

    def add(self, key: bytes) -> None:
        if len(key) > MAX_VALUE_BYTES or b'"extension"' in key:
            return
        if KnownValues._count >= MAX_VALUES:
            KnownValues._count = 0
            for known in KnownValues._all:
                known._values.clear()
        KnownValues._count += 1
        self._values.add(key)


def key_of(value: dict[str, Any]) -> bytes:
    """Returns what tells values apart; empty for one that JSON cannot hold."""
    try:
        return encode(value)
    except (ValueError, TypeError, RecursionError):
        return b""
