"""Parses the values of dates, numbers and quantities, with their prefixes, into ranges. Pure.

Source: https://hl7.org/fhir/R4/search.html#prefix
"""

import re
from decimal import Decimal
from time import time_ns

from apps.patient.search.criteria.criteria import (
    AnyOf,
    Criterion,
    DateRange,
    Not,
    NumberRange,
    Range,
    Updated,
)
from apps.patient.search.criteria.escaping import split, unescape
from apps.patient.search.index.hashing import parameter_key
from apps.patient.search.index.index_rows import unit_hash
from apps.patient.search.index.moments import parse_moment
from apps.patient.search.values.asked import Asked, refuse_modifier

_PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?([-+]?[0-9].*)", re.DOTALL)
_NUMBER = re.compile(r"[-+]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?")
_TENTH = Decimal("0.1")
_HALF = Decimal("0.5")


def parse_date_range(asked: Asked, value: str) -> tuple[Range, bool, bool]:
    """Returns the bounds, whether the value has no zone, and whether it is negated (`ne`)."""
    text = unescape(value)
    match = _PREFIXED.fullmatch(text)
    moment = parse_moment(match[2].replace(" ", "+")) if match else None
    if match is None or moment is None:
        raise asked.refuse("expected a date, with eq ne gt lt ge le sa eb ap before it or nothing")
    start, end = moment.start, moment.end
    prefix = match[1] or "eq"
    by_clock = not moment.has_zone
    ranges = {
        "eq": Range(low_from=start, high_upto=end),
        "ne": Range(low_from=start, high_upto=end),
        "gt": Range(high_after=end),
        "lt": Range(low_before=start),
        "ge": Range(high_after=start),
        "le": Range(low_before=end),
        "sa": Range(low_from=end),
        "eb": Range(high_upto=start),
    }
    if prefix == "ap":
        slack = abs(time_ns() // 1000 - start) // 10
        return Range(high_after=start - slack, low_before=end + slack), by_clock, False
    return ranges[prefix], by_clock, prefix == "ne"


def parse_date(asked: Asked, value: str, key: int | None = None) -> Criterion:
    refuse_modifier(asked)
    found, by_clock, negated = parse_date_range(asked, value)
    if key is None:
        key = parameter_key(asked.path, asked.parameter.code)
    return DateRange(key=key, range=found, by_clock=by_clock, negated=negated)


def parse_updated(asked: Asked, value: str) -> Criterion:
    """Returns the criterion of a value of `_lastUpdated`."""
    refuse_modifier(asked)
    found, _, negated = parse_date_range(asked, value)
    return Updated(range=found, negated=negated)


def parse_number_range(asked: Asked, text: str) -> tuple[Range, bool]:
    """Returns the bounds of a number with its prefix. `100` is from 99.5 up to 100.5, `1.00`
    0.995 to 1.005.
    """
    match = _PREFIXED.fullmatch(text)
    if match is None or not _NUMBER.fullmatch(match[2]):
        raise asked.refuse(
            "expected a number, with eq ne gt lt ge le sa eb ap before it or nothing"
        )
    number = Decimal(match[2])
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    half = _HALF.scaleb(exponent)
    prefix = match[1] or "eq"
    ranges = {
        "eq": Range(low_from=number - half, high_before=number + half),
        "ne": Range(low_from=number - half, high_before=number + half),
        "gt": Range(high_after=number),
        "lt": Range(low_before=number),
        "ge": Range(high_from=number),
        "le": Range(low_upto=number),
        "sa": Range(low_after=number),
        "eb": Range(high_before=number),
        "ap": Range(
            low_upto=number + abs(number) * _TENTH, high_from=number - abs(number) * _TENTH
        ),
    }
    return ranges[prefix], prefix == "ne"


def parse_number(asked: Asked, value: str, key: int | None = None) -> Criterion:
    refuse_modifier(asked)
    found, negated = parse_number_range(asked, unescape(value))
    if key is None:
        key = parameter_key(asked.path, asked.parameter.code)
    return NumberRange(key=key, range=found, negated=negated)


def parse_quantity(asked: Asked, value: str, key: int | None = None) -> Criterion:
    refuse_modifier(asked)
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) not in (1, 2, 3):
        raise asked.refuse("expected number|system|code")
    if key is None:
        key = parameter_key(asked.path, asked.parameter.code)
    found, negated = parse_number_range(asked, parts[0])
    system, code = [*parts[1:], "", ""][:2]
    if not code:
        if system:
            raise asked.refuse("a unit's code is needed with its system")
        return NumberRange(key=key, range=found, negated=negated)
    if system:
        unit = ("system_code", unit_hash(system, code))
        return NumberRange(key=key, range=found, unit=unit, negated=negated)
    # `5.4||mg`: the code or the unit as people write it.
    alternatives = tuple(
        NumberRange(key=key, range=found, unit=(column, unit_hash(code)))
        for column in ("code", "unit")
    )
    either = AnyOf(criteria=alternatives)
    return Not(criterion=either) if negated else either
