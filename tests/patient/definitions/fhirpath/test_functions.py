"""FHIRPath's functions on no item, on one, and on more (https://hl7.org/fhirpath/#functions)."""

from decimal import Decimal
from typing import Any

import pytest

from apps.patient.definitions.fhirpath.functions import FUNCTIONS, OPERATORS
from apps.patient.definitions.fhirpath.parser import FhirPathError, parse

CALLS: list[tuple[str, list[Any], tuple[list[Any], ...], list[Any]]] = [
    ("toString", [], (), []),
    ("toString", ["a", "b"], (), []),
    ("toString", [{"a": 1}], (), []),
    ("toString", [[1]], (), []),
    ("toString", [True], (), ["true"]),
    ("toString", [False], (), ["false"]),
    ("toString", [7], (), ["7"]),
    ("toString", [Decimal("1E+2")], (), ["100"]),
    ("toInteger", [], (), []),
    ("toInteger", ["1", "2"], (), []),
    ("toInteger", ["+7"], (), [7]),
    ("toInteger", ["9" * 18], (), [int("9" * 18)]),
    ("toInteger", ["9" * 19], (), []),
    ("toInteger", ["1.5"], (), []),
    ("toInteger", [True], (), [1]),
    ("toInteger", [Decimal("1.5")], (), []),
    ("substring", ["abc"], ([0],), ["abc"]),
    ("substring", ["abc"], ([2],), ["c"]),
    ("substring", ["abc"], ([3],), []),
    ("substring", ["abc"], ([-1],), []),
    ("substring", ["abc"], ([1], [1]), ["b"]),
    ("substring", ["abc"], ([1], [9]), ["bc"]),
    ("substring", ["abc"], ([],), []),
    ("substring", ["abc"], ([0, 1],), []),
    ("substring", [7], ([0],), []),
    ("substring", ["a", "b"], ([0],), []),
    ("startsWith", ["abc"], (["ab"],), [True]),
    ("startsWith", ["abc"], (["b"],), [False]),
    ("startsWith", ["abc"], ([],), []),
    ("startsWith", [], (["a"],), []),
    ("startsWith", ["a", "b"], (["a"],), []),
    ("startsWith", [7], (["7"],), []),
    ("contains", ["abc"], (["b"],), [True]),
    ("contains", ["abc"], (["d"],), [False]),
    ("matches", ["abc"], (["^a.c$"],), [True]),
    ("matches", ["abc"], (["^b"],), [False]),
    ("hasValue", [], (), [False]),
    ("hasValue", ["a"], (), [True]),
    ("hasValue", ["a", "b"], (), [False]),
    ("hasValue", [{"a": 1}], (), [False]),
    ("[]", ["a", "b"], ([1],), ["b"]),
    ("[]", ["a", "b"], ([2],), []),
    ("[]", ["a", "b"], ([],), []),
    ("first", ["a", "b"], (), ["a"]),
    ("first", [], (), []),
    ("count", ["a", "b"], (), [2]),
    ("empty", [], (), [True]),
    ("empty", ["a"], (), [False]),
    ("isDistinct", ["a", "b"], (), [True]),
    ("isDistinct", ["a", "a"], (), [False]),
    ("intersect", ["a", "b", "b"], (["b", "c"],), ["b"]),
    ("allTrue", [True, False], (), [False]),
    ("allTrue", [True, True], (), [True]),
    ("allFalse", [True, False], (), [False]),
    ("allFalse", [False, False], (), [True]),
    ("descendants", [{"a": {"b": 1}, "c": [2, None]}], (), [{"b": 1}, 1, 2]),
    ("descendants", ["a"], (), []),
]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Patient.",
        "Patient.1",
        "Patient.'x'",
        "Patient..name",
        "Patient.(name)",
        "name[0",
        "(name",
    ],
)
def test_text_that_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(FhirPathError):
        parse(text)


@pytest.mark.parametrize(("name", "items", "arguments", "found"), CALLS)
def test_function_gives(
    name: str, items: list[Any], arguments: tuple[list[Any], ...], found: list[Any]
) -> None:
    function, _ = FUNCTIONS[name]
    assert list(function(items, *arguments)) == found


@pytest.mark.parametrize(
    ("name", "left", "right", "found"),
    [
        ("&", ["a"], ["b"], ["ab"]),
        ("&", [], ["b"], ["b"]),
        ("&", ["a"], [], ["a"]),
        ("+", [1], [2], [3]),
        ("+", [1], [], []),
        ("+", [1, 2], [3], []),
        ("+", [1], [2, 3], []),
        ("in", ["a"], ["a", "b"], [True]),
        ("in", ["c"], ["a", "b"], [False]),
        ("in", [], ["a"], []),
        ("contains", ["a", "b"], ["b"], [True]),
        ("contains", ["a"], [], []),
        ("xor", [True], [False], [True]),
        ("xor", [True], [True], [False]),
        ("xor", [True], [], []),
        ("xor", [], [True], []),
        ("<", [1], [2], [True]),
        ("<", [2], [2], [False]),
        ("<=", [2], [2], [True]),
        ("<=", [3], [2], [False]),
        (">", [2], [2], [False]),
        (">", [3], [2], [True]),
        (">=", [2], [2], [True]),
        (">=", [1], [2], [False]),
        ("=", [1], [1], [True]),
        ("=", [1], [2], [False]),
        ("!=", [1], [2], [True]),
        ("!=", [1], [1], [False]),
        ("!=", [], [1], []),
    ],
)
def test_operator_gives(name: str, left: list[Any], right: list[Any], found: list[Any]) -> None:
    assert list(OPERATORS[name](left, right)) == found
