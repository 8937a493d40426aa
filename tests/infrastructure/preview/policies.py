"""A small evaluator of IAM policies: identity policies within a boundary, denials first.

For the tests of doors.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# A key with several values has them in a list.
Context = Mapping[str, Any]


def allowed(
    documents: Iterable[Any], action: str, resource: str, context: Context | None = None
) -> bool:
    """Whether the documents together allow `action` on `resource`: one statement allows it and none
    denies it.
    """
    statements = [
        statement for document in documents for statement in listed(document["Statement"])
    ]
    hits = [
        statement for statement in statements if applies(statement, action, resource, context or {})
    ]
    return any(hit["Effect"] == "Allow" for hit in hits) and not any(
        hit["Effect"] == "Deny" for hit in hits
    )


def widened(document: Any) -> Any:
    """What a policy would open, if it held on everything and whatever the circumstances."""
    statements = [each for each in listed(document["Statement"]) if each["Effect"] == "Allow"]
    return {
        "Statement": [
            {"Effect": "Allow", "Action": each["Action"], "Resource": "*"} for each in statements
        ]
    }


def applies(statement: Any, action: str, resource: str, context: Context) -> bool:
    if "NotAction" in statement:
        named = not any(
            matches(pattern.lower(), action.lower()) for pattern in listed(statement["NotAction"])
        )
    else:
        named = any(
            matches(pattern.lower(), action.lower()) for pattern in listed(statement["Action"])
        )
    if "NotResource" in statement:
        placed = not any(matches(pattern, resource) for pattern in listed(statement["NotResource"]))
    else:
        placed = any(matches(pattern, resource) for pattern in listed(statement["Resource"]))
    return named and placed and meets(statement.get("Condition", {}), context)


def meets(condition: Mapping[str, Any], context: Context) -> bool:
    return all(
        holds(operator, key, patterns, context)
        for operator, keys in condition.items()
        for key, patterns in keys.items()
    )


def holds(operator: str, key: str, patterns: Any, context: Context) -> bool:
    """Raises KeyError for an operator that it does not know: no condition passes because nobody
    looked.
    """
    quantifier, _, rest = operator.rpartition(":")
    base = rest.removesuffix("IfExists")
    if base == "Null":
        return (key not in context) == bool(patterns == "true")
    if base == "StringNotEquals":
        return key not in context or context[key] not in listed(patterns)
    compare = COMPARE[base]
    if key not in context:
        # IAM takes "for all values" as met by none.
        return rest.endswith("IfExists") or quantifier == "ForAllValues"
    met = [
        any(compare(pattern, value) for pattern in listed(patterns))
        for value in listed(context[key])
    ]
    return all(met) if quantifier == "ForAllValues" else any(met)


def matches(pattern: str, value: str) -> bool:
    """IAM knows `*` and `?`, and no other wildcard."""
    assert not re.search(r"[\[\]]", pattern)
    return fnmatch.fnmatchcase(value, pattern)


def equals(pattern: str, value: str) -> bool:
    return pattern == value


COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "ArnEquals": matches,
    "ArnLike": matches,
    "Bool": equals,
    "StringEquals": equals,
    "StringLike": matches,
}


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
