"""FHIRPath's rules for values: equality, order and boolean logic over decoded JSON. Pure.

A collection is a list; nothing is `[]`. A primitive that has only extensions is the object of its
`_name` property.
"""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

Items: TypeAlias = list[Any]

TRUE: Items = [True]
FALSE: Items = [False]
EMPTY: Items = []

_MOMENT = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)


def boolean(value: bool) -> Items:
    return TRUE if value else FALSE


def truth(items: Items) -> bool | None:
    """Returns what a collection is as a condition; None for an empty one. A lone item is true."""
    if not items:
        return None
    return items[0] if isinstance(items[0], bool) else True


def negation(items: Items) -> Items:
    value = truth(items)
    return EMPTY if value is None else boolean(not value)


def equal_items(left: Any, right: Any) -> bool:
    """Compares two items; True is not 1, and 1.0 equals 1."""
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(left == right)


def equal(left: Items, right: Items) -> Items:
    if not left or not right:
        return EMPTY
    return boolean(len(left) == len(right) and all(map(equal_items, left, right)))


def contains_item(items: Items, item: Any) -> bool:
    return any(equal_items(item, other) for other in items)


def distinct(items: Items) -> Items:
    """Returns each item once: texts by their hash, as there may be many, all others
    by comparison.
    """
    if all(type(item) is str for item in items):
        return list(dict.fromkeys(items))
    found: Items = []
    for item in items:
        if not contains_item(found, item):
            found.append(item)
    return found


def compare(left: Items, right: Items, decide: Callable[[int], bool]) -> Items:
    """Returns whether `left` stands to `right` as `decide` says of their order (-1, 0 or 1)."""
    if len(left) != 1 or len(right) != 1:
        return EMPTY
    order = order_of(left[0], right[0])
    return EMPTY if order is None else boolean(decide(order))


def order_of(left: Any, right: Any) -> int | None:
    """Returns -1, 0 or 1; None for what has no order: other kinds, other units,
    unlike precision.
    """
    if isinstance(left, dict) and isinstance(right, dict):
        for name in ("system", "code", "unit"):
            if left.get(name) != right.get(name):
                return None
        return order_of(left.get("value"), right.get("value"))
    if isinstance(left, str) and isinstance(right, str):
        first, second = parse_moment(left), parse_moment(right)
        if first is not None and second is not None:
            return _moment_order(first, second)
    elif not (_is_number(left) and _is_number(right)):
        return None
    return int(left > right) - int(left < right)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def parse_moment(text: str) -> tuple[str | None, ...] | None:
    match = _MOMENT.fullmatch(text)
    return match.groups() if match else None


def _moment_order(first: tuple[str | None, ...], second: tuple[str | None, ...]) -> int | None:
    """Compares as far as both are written; None if one is written further and they are
    equal up to there, or where there is no such day.
    """
    if first[7] and second[7]:
        try:
            left, right = _utc(first), _utc(second)
        except ValueError:
            return None
        return (left > right) - (left < right)
    for left_part, right_part in zip(first[:7], second[:7], strict=True):
        if left_part is None or right_part is None:
            return 0 if left_part == right_part else None
        if left_part != right_part:
            return 1 if left_part > right_part else -1
    return 0


def _utc(parts: tuple[str | None, ...]) -> tuple[int, int, str]:
    """Returns minutes since year 1, seconds, and their fraction, in UTC; no datetime, which a zone
    could push out of its range. Raises ValueError for a day that no calendar has.
    """
    year, month, day, hour, minute, second, fraction, zone = parts
    days = date(int(year or 1), int(month or 1), int(day or 1)).toordinal()
    minutes = days * 1440 + int(hour or 0) * 60 + int(minute or 0)
    if zone and zone != "Z":
        shift = int(zone[1:3]) * 60 + int(zone[4:6])
        minutes -= shift if zone[0] == "+" else -shift
    # A fraction's digits stand in the order of its value, but for zeros at the end.
    return minutes, int(second or 0), (fraction or "").rstrip("0.")
