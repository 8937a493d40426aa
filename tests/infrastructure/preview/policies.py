"""A small evaluator of IAM policies: identity policies within a boundary, denials first. For the tests of doors."""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any

Context = Mapping[str, str]


def allowed(documents: Iterable[Any], action: str, resource: str, context: Context | None = None) -> bool:
    """Whether the documents together allow `action` on `resource`: one statement allows it and none denies it."""
    statements = [statement for document in documents for statement in listed(document["Statement"])]
    hits = [statement for statement in statements if applies(statement, action, resource, context or {})]
    return any(hit["Effect"] == "Allow" for hit in hits) and not any(hit["Effect"] == "Deny" for hit in hits)


def applies(statement: Any, action: str, resource: str, context: Context) -> bool:
    if "NotAction" in statement:
        named = not any(matches(pattern.lower(), action.lower()) for pattern in listed(statement["NotAction"]))
    else:
        named = any(matches(pattern.lower(), action.lower()) for pattern in listed(statement["Action"]))
    placed = any(matches(pattern, resource) for pattern in listed(statement["Resource"]))
    return (
        named
        and placed
        and all(holds(operator, keys, context) for operator, keys in statement.get("Condition", {}).items())
    )


def holds(operator: str, keys: Mapping[str, Any], context: Context) -> bool:
    """Raises KeyError for an operator that it does not know: no condition passes because nobody looked."""
    operator = operator.removeprefix("ForAnyValue:")
    compare = {
        "StringEquals": lambda pattern, value: pattern == value,
        "ArnEquals": matches,
        "StringLike": matches,
    }[operator]
    return all(
        key in context and any(compare(pattern, context[key]) for pattern in listed(patterns))
        for key, patterns in keys.items()
    )


def matches(pattern: str, value: str) -> bool:
    """IAM knows `*` and `?`, and no other wildcard."""
    assert not re.search(r"[\[\]]", pattern)
    return fnmatch.fnmatchcase(value, pattern)


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
