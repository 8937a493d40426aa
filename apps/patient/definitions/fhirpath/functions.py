"""The functions and operators of FHIRPath that R4's invariants and search parameters use. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from apps.patient.definitions.fhirpath.values import (
    EMPTY,
    Items,
    boolean,
    compare,
    contains_item,
    distinct,
    equal,
    negation,
    truth,
)


def _text_function(operation: Callable[[str, str], bool]) -> Callable[..., Items]:
    """Tests a string by another; gives nothing for what is no single string."""

    def evaluate(items: Items, argument: Items) -> Items:
        if len(items) != 1 or len(argument) != 1 or not isinstance(items[0], str):
            return EMPTY
        return boolean(operation(items[0], str(argument[0])))

    return evaluate


def _has_value(items: Items) -> Items:
    return boolean(len(items) == 1 and not isinstance(items[0], (dict, list)))


def _substring(items: Items, start: Items, length: Items = EMPTY) -> Items:
    if len(items) != 1 or len(start) != 1 or not isinstance(items[0], str):
        return EMPTY
    if not 0 <= start[0] < len(items[0]):
        return EMPTY
    end = start[0] + length[0] if length else None
    return [items[0][start[0] : end]]


def _to_string(items: Items) -> Items:
    if len(items) != 1 or isinstance(items[0], (dict, list)):
        return EMPTY
    value = items[0]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [format(value, "f") if isinstance(value, Decimal) else str(value)]


def _to_integer(items: Items) -> Items:
    if len(items) != 1:
        return EMPTY
    value = items[0]
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value):
        return [int(value)]
    return [int(value)] if isinstance(value, int) else EMPTY


def _intersect(items: Items, other: Items) -> Items:
    return distinct([item for item in items if contains_item(other, item)])


def _at(items: Items, index: Items) -> Items:
    return items[index[0] : index[0] + 1] if index else EMPTY


def _descendants(items: Items) -> Items:
    return [found for item in items for found in _below(item)]


def _below(item: Any) -> Iterator[Any]:
    if isinstance(item, dict):
        for child in item.values():
            for found in child if isinstance(child, list) else [child]:
                if found is not None:
                    yield found
                    yield from _below(found)


def _concatenate(left: Items, right: Items) -> Items:
    return ["".join(str(item) for item in (*left[:1], *right[:1]))]


def _add(left: Items, right: Items) -> Items:
    return [left[0] + right[0]] if len(left) == 1 == len(right) else EMPTY


def _exclusive(left: Items, right: Items) -> Items:
    first, second = truth(left), truth(right)
    return EMPTY if first is None or second is None else boolean(first is not second)


def _is_in(left: Items, right: Items) -> Items:
    return boolean(contains_item(right, left[0])) if len(left) == 1 else EMPTY


# The function, and the type of its result; "" for that of its target.
FUNCTIONS: Mapping[str, tuple[Callable[..., Items], str]] = {
    "[]": (_at, ""),
    "allFalse": (lambda items: boolean(not any(truth([item]) for item in items)), "boolean"),
    "allTrue": (lambda items: boolean(all(truth([item]) for item in items)), "boolean"),
    "contains": (_text_function(lambda text, part: part in text), "boolean"),
    "count": (lambda items: [len(items)], "integer"),
    "descendants": (_descendants, "Resource"),
    "distinct": (distinct, ""),
    "empty": (lambda items: boolean(not items), "boolean"),
    "first": (lambda items: items[:1], ""),
    "hasValue": (_has_value, "boolean"),
    "intersect": (_intersect, ""),
    "isDistinct": (lambda items: boolean(len(distinct(items)) == len(items)), "boolean"),
    "matches": (
        _text_function(lambda text, pattern: re.search(pattern, text) is not None),
        "boolean",
    ),
    "not": (negation, "boolean"),
    "startsWith": (_text_function(str.startswith), "boolean"),
    "substring": (_substring, "string"),
    "toInteger": (_to_integer, "integer"),
    "toString": (_to_string, "string"),
}

# Takes the items, and for each of them what the argument makes of it.
LAMBDAS: Mapping[str, Callable[[Items, list[Items]], Items]] = {
    "all": lambda items, results: boolean(all(truth(result) for result in results)),
    "exists": lambda items, results: (
        boolean(any(truth(result) for result in results))
        if results is not items
        else boolean(bool(items))
    ),
    "iif": lambda items, results: items,
    "select": lambda items, results: [item for result in results for item in result],
    "where": lambda items, results: items,
}

OPERATORS: Mapping[str, Callable[[Items, Items], Items]] = {
    "=": equal,
    "!=": lambda left, right: negation(equal(left, right)),
    "<": lambda left, right: compare(left, right, lambda order: order < 0),
    ">": lambda left, right: compare(left, right, lambda order: order > 0),
    "<=": lambda left, right: compare(left, right, lambda order: order <= 0),
    ">=": lambda left, right: compare(left, right, lambda order: order >= 0),
    "&": _concatenate,
    "+": _add,
    "in": _is_in,
    "contains": lambda left, right: _is_in(right, left),
    "xor": _exclusive,
}
