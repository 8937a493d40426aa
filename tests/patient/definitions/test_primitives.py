"""Primitive values: the last that a type has, and the first that it has not."""

from decimal import Decimal
from typing import Any

import pytest

from apps.patient.definitions.primitives import MAX_STRING_CHARS, bound_code_check, check_of

GOOD: list[tuple[str, Any]] = [
    ("string", "a"),
    ("string", "a\tb\nc\rd"),
    ("string", "a" * MAX_STRING_CHARS),
    ("markdown", "# a\n"),
    ("boolean", True),
    ("boolean", False),
    ("decimal", 1),
    ("decimal", Decimal("1.50")),
    ("base64Binary", "YQ=="),
    ("base64Binary", "YW Jj\n"),
    ("integer", 2**31 - 1),
    ("integer", -(2**31)),
    ("unsignedInt", 0),
    ("positiveInt", 1),
    ("code", "a"),
    ("code", "in progress"),
    ("id", "a" * 64),
    ("date", "2026"),
    ("date", "2026-02"),
    ("date", "2026-02-28"),
    ("date", "2024-02-29"),
    ("dateTime", "2026-12-31T23:59:59Z"),
    ("instant", "2026-12-31T23:59:59.5+01:00"),
    ("time", "23:59:59"),
    ("uri", "urn:x"),
    ("oid", "urn:oid:1.2.3"),
    ("uuid", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"),
    ("xhtml", '<div xmlns="http://www.w3.org/1999/xhtml">a</div>'),
]
BAD: list[tuple[str, Any, str]] = [
    *(
        (name, value, "value")
        for name in ("string", "markdown", "code", "id", "date", "uri", "base64Binary", "xhtml")
        for value in (7, True, None, ["a"], {"a": 1})
    ),
    ("string", "", "value"),
    ("string", " \n", "value"),
    ("string", "a\0", "value"),
    ("string", "a\x1f", "value"),
    ("string", "\ud800", "value"),
    ("string", "a" * (MAX_STRING_CHARS + 1), "too-long"),
    ("uri", "a" * (MAX_STRING_CHARS + 1), "too-long"),
    ("uri", "a b", "value"),
    ("uri", "", "value"),
    ("uri", "a\0", "value"),
    ("boolean", 1, "value"),
    ("boolean", "true", "value"),
    ("decimal", True, "value"),
    ("decimal", "1.0", "value"),
    ("base64Binary", "", "value"),
    ("base64Binary", "a*", "value"),
    ("base64Binary", "YQ=", "value"),
    ("integer", 2**31, "value"),
    ("integer", -(2**31) - 1, "value"),
    ("integer", True, "value"),
    ("integer", Decimal("1"), "value"),
    ("unsignedInt", -1, "value"),
    ("positiveInt", 0, "value"),
    ("code", " a", "value"),
    ("code", "a  b", "value"),
    ("id", "a" * 65, "value"),
    ("id", "a/b", "value"),
    ("date", "2026-02-29", "value"),
    ("date", "2026-13", "value"),
    ("date", "2026-04-31", "value"),
    ("date", "26", "value"),
    ("dateTime", "2026-02-30T00:00:00Z", "value"),
    ("instant", "2026-12-31", "value"),
    ("time", "24:00:00", "value"),
    ("oid", "1.2.3", "value"),
    ("xhtml", "<div>", "invalid"),
    ("xhtml", "", "value"),
]


@pytest.mark.parametrize(("name", "value"), GOOD, ids=lambda value: str(value)[:30])
def test_value_of_the_type_is_taken(name: str, value: Any) -> None:
    assert check_of(name)(value) is None


@pytest.mark.parametrize(("name", "value", "kind"), BAD, ids=lambda value: ascii(value)[:30])
def test_value_that_is_none_of_the_type_is_refused(name: str, value: Any, kind: str) -> None:
    problem = check_of(name)(value)
    assert problem is not None
    assert problem[0] == kind


@pytest.mark.parametrize(
    ("set_name", "codes", "value", "kind"),
    [
        ("gender", {"male": "Male"}, "male", ""),
        ("gender", {"male": "Male"}, "other", "code-invalid"),
        ("gender", {"male": "Male"}, 7, "value"),
        ("gender", {"male": "Male"}, ["male"], "value"),
        ("currencies", None, "USD", ""),
        ("currencies", None, "usd", "code-invalid"),
        ("currencies", None, 7, "value"),
        ("mimetypes", None, "text/plain; charset=utf-8", ""),
        ("mimetypes", None, "text", "code-invalid"),
    ],
)
def test_code_is_one_of_its_set(
    set_name: str, codes: dict[str, str] | None, value: Any, kind: str
) -> None:
    problem = bound_code_check(set_name, codes)(value)
    assert (problem[0] if problem else "") == kind
