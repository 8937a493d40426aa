"""The primitive types of FHIR in JSON (https://hl7.org/fhir/R4/datatypes.html): one
check for each.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, TypeAlias

from apps.patient.definitions.model import primitive_patterns
from apps.patient.definitions.narrative import narrative_fault

MAX_STRING_CHARS = 1024 * 1024
_INTEGER_BITS = 31

# What is wrong with a value, as (issue type, message); None for a valid one.
Problem: TypeAlias = tuple[str, str] | None
Check: TypeAlias = Callable[[Any], Problem]

# Of the C0 controls FHIR strings may hold tab, line feed and carriage return alone;
# PostgreSQL takes no NUL.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_NOT_A_STRING: Problem = ("value", "expected a string")
_CONTROL: Problem = ("value", "a string must not hold control characters or lone surrogates")
_EMPTY: Problem = ("value", "a string must not be empty")
_TOO_LONG: Problem = ("too-long", f"a string has at most {MAX_STRING_CHARS} characters")


def check_string(value: Any) -> Problem:
    if type(value) is not str:
        return _NOT_A_STRING
    if not value or value.isspace():
        return _EMPTY
    if not value.isprintable() and _FORBIDDEN.search(value):
        return _CONTROL
    return _TOO_LONG if len(value) > MAX_STRING_CHARS else None


def check_boolean(value: Any) -> Problem:
    return None if value is True or value is False else ("value", "expected true or false")


def check_decimal(value: Any) -> Problem:
    if isinstance(value, (int, Decimal, float)) and not isinstance(value, bool):
        return None
    return "value", "expected a number"


def check_base64(value: Any) -> Problem:
    if not isinstance(value, str):
        return _NOT_A_STRING
    # The limit of a body bounds it; that of a string does not hold for it.
    compact = "".join(value.split())
    try:
        base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        return "value", "this is not base64"
    return None if compact else _EMPTY


def check_xhtml(value: Any) -> Problem:
    problem = check_string(value)
    if problem:
        return problem
    fault = narrative_fault(value)
    return ("invalid", fault) if fault else None


def _integer_check(minimum: int, name: str) -> Check:
    maximum = 2**_INTEGER_BITS - 1

    def check(value: Any) -> Problem:
        if not isinstance(value, int) or isinstance(value, bool):
            return "value", "expected a whole number, written without a point"
        return None if minimum <= value <= maximum else ("value", f"this is not a valid {name}")

    return check


def _pattern_check(name: str, pattern: str) -> Check:
    matches = re.compile(pattern).fullmatch
    problem = ("value", f"this is not a valid {name}")

    def check(value: Any) -> Problem:
        if type(value) is not str:
            return _NOT_A_STRING
        if matches(value) is None:
            return check_string(value) or problem
        if not value.isprintable() and _FORBIDDEN.search(value):
            return _CONTROL
        if not value:
            return _EMPTY
        return _TOO_LONG if len(value) > MAX_STRING_CHARS else None

    return check


def _date_check(name: str, pattern: str) -> Check:
    matches = re.compile(pattern, re.ASCII).fullmatch
    problem = ("value", f"this is not a valid {name}")

    def check(value: Any) -> Problem:
        if type(value) is not str:
            return _NOT_A_STRING
        if matches(value) is None:
            return check_string(value) or problem
        # The pattern lets every month have 31 days.
        if value[8:10] > "28":
            try:
                date(int(value[:4]), int(value[5:7]), int(value[8:10]))
            except ValueError:
                return problem
        return None

    return check


def check_code(value: Any) -> Problem:
    if type(value) is not str:
        return _NOT_A_STRING
    return None if value.isalnum() else _CHECK_CODE(value)


_CHECK_CODE = _pattern_check("code", r"[^\s]+(\s[^\s]+)*")
_OWN_CHECKS: Mapping[str, Check] = {
    "base64Binary": check_base64,
    "boolean": check_boolean,
    "code": check_code,
    "decimal": check_decimal,
    "integer": _integer_check(-(2**_INTEGER_BITS), "integer"),
    "markdown": check_string,
    "positiveInt": _integer_check(1, "positiveInt"),
    "string": check_string,
    "unsignedInt": _integer_check(0, "unsignedInt"),
    "xhtml": check_xhtml,
}


@cache
def check_of(type_name: str) -> Check:
    """Returns the check of a primitive type: one of ours, else HL7's regular expression."""
    if type_name in _OWN_CHECKS:
        return _OWN_CHECKS[type_name]
    pattern = primitive_patterns()[type_name]
    if type_name in ("date", "dateTime", "instant"):
        return _date_check(type_name, pattern)
    return _pattern_check(type_name, pattern)


# Value sets of open code systems: RFC 6838, section 4.2, and ISO 4217.
_SET_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "mimetypes": re.compile(
        r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9*][A-Za-z0-9!#$&^_.+*-]{0,126}"
        r"(\s*;\s*[A-Za-z0-9!#$&^_.+-]+=(\"[^\"]*\"|[^\s;\"]+))*\s*;?"
    ),
    "currencies": re.compile("[A-Z]{3}"),
}


def bound_code_check(set_name: str, codes: Mapping[str, str] | None) -> Check:
    """Returns the check of a `code` that is bound to a required value set."""
    if codes is None:
        matches = _SET_PATTERNS[set_name].fullmatch
        return lambda value: (
            check_code(value)
            or (None if matches(value) else ("code-invalid", f"this is not one of {set_name}"))
        )
    problem = ("code-invalid", f"expected one of {', '.join(sorted(codes))}")
    return lambda value: (
        None if type(value) is str and value in codes else (check_code(value) or problem)
    )
