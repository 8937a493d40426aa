"""Turns the comparisons of a `_filter` into the criteria of ordinary parameters. Pure.

Source: https://hl7.org/fhir/R4/search_filter.html#ops
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from apps.kit.errors import BadRequest
from apps.patient.search.criteria.criteria import (
    AllOf,
    AnyOf,
    Contains,
    Criterion,
    DateRange,
    Not,
    Range,
    Scanned,
    WholeText,
)
from apps.patient.search.criteria.escaping import split
from apps.patient.search.index.aliases import members_of
from apps.patient.search.index.hashing import parameter_key
from apps.patient.search.index.index_rows import MAX_STRING_CHARS
from apps.patient.search.index.kinds_of_values import bound_codes, is_boolean
from apps.patient.search.index.normalisation import normalise_text
from apps.patient.search.index.single_valued import is_single_code
from apps.patient.search.reading.filters import (
    Comparison,
    Filter,
    FilterSyntaxError,
    Joined,
    Negated,
    parse_filter,
)
from apps.patient.search.values.asked import Asked
from apps.patient.search.values.range_values import parse_date_range

# R4 lets a filter write these for the whole address of a code system.
_SYSTEMS = {
    "loinc": "http://loinc.org",
    "snomed": "http://snomed.info/sct",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ucum": "http://unitsofmeasure.org",
}
_ORDERED = frozenset(["eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb"])
_PREFIXED = {"date": _ORDERED, "number": _ORDERED, "quantity": _ORDERED}
# Operators that a modifier does the work of.
_MODIFIERS: Mapping[str, Mapping[str, str]] = {
    "token": {"in": ":in", "ni": ":not-in", "ss": ":below", "sb": ":above"},
    "reference": {"re": ""},
    "uri": {"eq": ""},
    "composite": {"eq": ""},
}
_TEXT_OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "lt": "<", "ge": ">=", "le": "<=", "sw": "sw"}


class Parameters(Protocol):
    """What the criteria of ordinary parameters come from."""

    def asked(self, path: str, name: str, depth: int) -> Asked:
        """Returns the parameter; raises UnknownParameterError for one that the type
        does not have.
        """

    def criterion(self, path: str, name: str, value: str, depth: int) -> Criterion:
        """Returns the criterion of `name=value`, with the name's modifier."""

    def chain(self, asked: Asked, inner: Callable[[str], Criterion]) -> Criterion:
        """Returns the criterion that a reference leads to a resource that meets
        `inner` of its type.
        """


def filter_criterion(parameters: Parameters, path: str, text: str, depth: int) -> Criterion:
    """Returns the criterion of a `_filter`; raises BadRequest that tells what is wrong with it."""
    try:
        parsed = parse_filter(text)
        return _Compiler(parameters).filter(path, parsed, depth)
    except FilterSyntaxError as error:
        raise BadRequest("invalid_parameter", f"_filter: {error}", pointer="_filter") from None
    except BadRequest as error:
        raise BadRequest(error.code, f"_filter: {error.detail}", pointer="_filter") from None


@dataclass(frozen=True, slots=True)
class _Compiler:
    parameters: Parameters

    def filter(self, path: str, parsed: Filter, depth: int) -> Criterion:
        match parsed:
            case Negated():
                return Not(criterion=self.filter(path, parsed.inner, depth))
            case Joined():
                sides = (
                    self.filter(path, parsed.first, depth),
                    self.filter(path, parsed.second, depth),
                )
                return AllOf(criteria=sides) if parsed.word == "and" else AnyOf(criteria=sides)
        return self._comparison(path, parsed, depth)

    def _comparison(self, path: str, comparison: Comparison, depth: int) -> Criterion:
        step = comparison.path[0]
        asked = self.parameters.asked(path, step.name, depth)
        if len(comparison.path) == 1:
            return self._leaf(asked, comparison.operator, comparison.value, depth)

        def inner(target: str) -> Criterion:
            rest = self._comparison(
                target, replace(comparison, path=comparison.path[1:]), depth + 1
            )
            if step.condition is None:
                return rest
            return AllOf(criteria=(self.filter(target, step.condition, depth + 1), rest))

        return self.parameters.chain(asked, inner)

    def _leaf(self, asked: Asked, operator: str, value: str, depth: int) -> Criterion:
        path, resource_type, code = asked.path, asked.resource_type, asked.parameter.code

        def ordinary(modifier: str, written: str) -> Criterion:
            return self.parameters.criterion(path, code + modifier, written, depth)

        if operator == "pr":
            if value not in ("true", "false"):
                raise asked.refuse("pr takes true or false")
            return ordinary(":missing", "false" if value == "true" else "true")
        if members := members_of(resource_type, code):
            return AnyOf(
                criteria=tuple(
                    self._leaf(self.parameters.asked(path, name, depth), operator, value, depth)
                    for name in members
                )
            )
        kind = asked.parameter.kind
        # A comma separates alternatives of an ordinary parameter, but not of a filter.
        written = _whole_systems(kind, value).replace(",", "\\,")
        if operator in _PREFIXED.get(kind, ()):
            return ordinary("", operator + written)
        if operator in _MODIFIERS.get(kind, ()):
            return ordinary(_MODIFIERS[kind][operator], written)
        if kind == "token" and operator in ("eq", "ne"):
            equal = ordinary("", ",".join(_spellings(resource_type, code, written)))
            if operator == "eq":
                return equal
            if code == "_id":
                return Not(criterion=equal)
            if is_single_code(resource_type, code):
                return AllOf(criteria=(Not(criterion=equal), ordinary(":missing", "false")))
            return _scanned(asked, "unequal", written)
        if kind == "date" and operator in ("po", "co") and code != "_lastUpdated":
            return _period(asked, operator, value)
        if kind == "string":
            return _text(asked, operator, value)
        raise asked.refuse(f"the operator {operator} is not for a {kind}")


def _whole_systems(kind: str, value: str) -> str:
    """Returns the value with `loinc|` and its like written out."""
    if kind not in ("token", "quantity", "composite"):
        return value
    parts = split(value, "|")
    place = 1 if kind == "quantity" else 0
    if len(parts) > place + 1 and parts[place] in _SYSTEMS:
        parts[place] = _SYSTEMS[parts[place]]
    return "|".join(parts)


def _spellings(resource_type: str, parameter: str, value: str) -> list[str]:
    """Returns the ways that a token may be written: a filter does not regard case."""
    if is_boolean(resource_type, parameter):
        return [value.lower()]
    *system, code = split(value, "|", 1)
    known = [name for name in bound_codes(resource_type, parameter) if name.lower() == code.lower()]
    codes = known or dict.fromkeys((code, code.lower(), code.upper()))
    return ["|".join((*system, spelling)) for spelling in codes]


def _scanned(asked: Asked, relation: str, value: str) -> Criterion:
    return Scanned(
        parameter=asked.parameter.code,
        relation=relation,
        value=value,
        base_url=asked.base_url,
        path=asked.path,
    )


def _period(asked: Asked, operator: str, value: str) -> Criterion:
    """Returns the criterion that a date's span overlaps with (`po`) or holds (`co`)
    the whole value.
    """
    found, by_clock, _ = parse_date_range(asked, f"eq{value}")
    start, end = found.low_from, found.high_upto
    assert start is not None and end is not None
    bounds = (
        Range(low_before=end, high_after=start)
        if operator == "po"
        else Range(low_before=start + 1, high_after=end - 1)
    )
    key = parameter_key(asked.path, asked.parameter.code)
    return DateRange(key=key, range=bounds, by_clock=by_clock)


def _text(asked: Asked, operator: str, value: str) -> Criterion:
    text = normalise_text(value)
    if not text or len(text) >= MAX_STRING_CHARS:
        raise asked.refuse(f"expected a text of up to {MAX_STRING_CHARS - 1} characters")
    key = parameter_key(asked.path, asked.parameter.code)
    if operator == "co":
        return Contains(key=key, part=text)
    if operator == "ew":
        return _scanned(asked, "ends", text)
    if operator not in _TEXT_OPERATORS:
        raise asked.refuse(f"the operator {operator} is not for a string")
    return WholeText(key=key, operator=_TEXT_OPERATORS[operator], text=text)
