"""Search parameters as SQL: what each type may be found by (https://hl7.org/fhir/R4/search.html). Pure.

One table, which `/metadata` shows: a parameter that is not in it is refused, never ignored.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.kit.errors import BadRequest
from apps.patient.definitions.schema import HISTORY_TYPES
from apps.patient.search.index_columns import MAX_TERM_CHARS, fold, term_key
from apps.patient.search.periods import parse_span

DEFAULT_COUNT = 20
MAX_COUNT = 100
MAX_VALUES = 50
MAX_CRITERIA = 20
# Above every character: `value >= prefix AND value < prefix + LAST` is "starts with", by the index.
LAST = "\U0010ffff"

Parameters = Iterable[tuple[str, str]]


@dataclass(slots=True)
class Sql:
    """Conditions on the head `h`, and their arguments."""

    conditions: list[str] = field(default_factory=list)
    arguments: list[Any] = field(default_factory=list)

    def argument(self, value: Any) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"


Condition = Callable[[Sql, str, str], str]


@dataclass(frozen=True, slots=True)
class Parameter:
    """`kind` as FHIR names it; `condition` makes the SQL of one value, which comes with its escapes where `escaped`."""

    kind: str
    condition: Condition
    escaped: bool = False


@dataclass(frozen=True, slots=True)
class Criteria:
    """`after`: the id that the page before ended with. `count` 0: the total alone."""

    sql: Sql
    count: int
    after: str
    total: bool


def invalid(name: str, message: str) -> BadRequest:
    return BadRequest("invalid_parameter", f"{name}: {message}", pointer=name)


def _column(column: str) -> Parameter:
    return Parameter(
        "token", lambda sql, value, name: f"h.{column} = {sql.argument(_bare_code(value, name))}"
    )


def _bare_code(value: str, name: str) -> str:
    """The code of a token; its system is the one that the element is bound to."""
    return value.rpartition("|")[2] or _missing(name)


def _missing(name: str) -> str:
    raise invalid(name, "a code is needed")


def _active(sql: Sql, value: str, name: str) -> str:
    if value not in ("true", "false"):
        raise invalid(name, "expected true or false")
    return f"h.active = {sql.argument(value == 'true')}"


def _codes(column: str) -> Parameter:
    def condition(sql: Sql, value: str, name: str) -> str:
        _bare_code(value, name)
        return f"h.{column} @> ARRAY[{sql.argument(value)}::text]"

    return Parameter("token", condition)


def _with_term(where: str) -> str:
    return f"h.id IN (SELECT patient_id FROM patient_term WHERE {where})"  # noqa: S608 - numbered placeholders


def _starts(*terms: str) -> Parameter:
    def condition(sql: Sql, value: str, name: str) -> str:
        prefix = fold(value)[:MAX_TERM_CHARS]
        low, high, kinds = (
            sql.argument(prefix),
            sql.argument(prefix + LAST),
            sql.argument(list(terms)),
        )
        return _with_term(f"parameter = ANY({kinds}::text[]) AND value >= {low} AND value < {high}")

    return Parameter("string", condition)


def _term(term: str, key: Callable[[str], str]) -> Parameter:
    def condition(sql: Sql, value: str, name: str) -> str:
        *system, code = (unescape(part) for part in re.split(r"(?<!\\)\|", value, maxsplit=1))
        if not code:
            raise invalid(name, "a value is needed")
        where = f"parameter = {sql.argument(term)} AND value = {sql.argument(key(code))}"
        return _with_term(
            f"{where} AND system = {sql.argument(term_key(system[0]))}" if system else where
        )

    return Parameter("token", condition, escaped=True)


_PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb)?(\d.*)")


def _date(low: str, high: str, as_day: bool = False) -> Parameter:
    """`low` and `high`: columns of the span, from `low` up to but not with `high`."""

    def condition(sql: Sql, value: str, name: str) -> str:
        match = _PREFIXED.fullmatch(value)
        span = parse_span(match[2].replace(" ", "+")) if match else None
        if match is None or span is None:
            raise invalid(
                name, "expected a date, with one of eq ne gt lt ge le sa eb before it or none"
            )
        start, end = (span.start.date(), span.end.date()) if as_day else (span.start, span.end)
        if as_day and end == start:
            raise invalid(name, "expected a date without a time")
        kind = "date" if as_day else "timestamptz"
        prefix = match[1] or "eq"
        compared = {
            "gt": (high, ">", end),
            "sa": (low, ">=", end),
            "lt": (low, "<", start),
            "eb": (high, "<=", start),
            "ge": (high, ">", start),
            "le": (low, "<", end),
        }.get(prefix)
        if compared:
            return f"h.{compared[0]} {compared[1]} {sql.argument(compared[2])}::{kind}"
        within = f"(h.{low} >= {sql.argument(start)}::{kind} AND h.{high} <= {sql.argument(end)}::{kind})"
        return within if prefix == "eq" else f"NOT {within}"

    return Parameter("date", condition)


def _patient(sql: Sql, value: str, name: str) -> str:
    return f"h.patient_id = {sql.argument(value.removeprefix('Patient/'))}"


_ID = Parameter("token", lambda sql, value, name: f"h.id = {sql.argument(value)}")
_UPDATED = _date("last_updated", "last_updated + interval '1 millisecond'")
_COMMON = {"_id": _ID, "_lastUpdated": _UPDATED}
_REFERENCE = Parameter("reference", _patient)
_DATE, _CODE, _CATEGORY = (
    _date("happened_from", "happened_before"),
    _codes("codes"),
    _codes("categories"),
)
_HISTORY = {
    "patient": _REFERENCE,
    "code": _CODE,
    "date": _DATE,
    "category": _CATEGORY,
    "status": _column("status"),
}
# The names that FHIR gives, type by type, beside those that all of the history shares.
_FHIR_NAMES: Mapping[str, Mapping[str, Parameter]] = {
    "Encounter": {"subject": _REFERENCE, "class": _CATEGORY, "type": _CODE},
    "Condition": {"subject": _REFERENCE, "clinical-status": _column("status")},
    "AllergyIntolerance": {"clinical-status": _column("status")},
    "MedicationRequest": {"subject": _REFERENCE, "authoredon": _DATE},
    "Immunization": {"vaccine-code": _CODE},
    "Procedure": {"subject": _REFERENCE},
    "Observation": {"subject": _REFERENCE},
}
PARAMETERS: Mapping[str, Mapping[str, Parameter]] = {
    "Patient": {
        **_COMMON,
        "active": Parameter("token", _active),
        "address-postalcode": _starts("postalcode"),
        "birthdate": _date("born_from", "born_before", as_day=True),
        "family": _starts("family"),
        "gender": _column("gender"),
        "given": _starts("given"),
        "identifier": _term("identifier", term_key),
        "name": _starts("name", "family", "given"),
        "telecom": _term("telecom", lambda value: term_key(value.casefold())),
    },
    **{name: {**_COMMON, **_HISTORY, **_FHIR_NAMES[name]} for name in HISTORY_TYPES},
}


def parse_criteria(resource_type: str, parameters: Parameters) -> Criteria:
    """Raises BadRequest for a parameter that is not served and for a value that makes no sense."""
    sql = Sql()
    known = PARAMETERS[resource_type]
    count, after, total = DEFAULT_COUNT, "", False
    for name, value in parameters:
        if name == "_count":
            count = parse_count(value)
        elif name == "_cursor":
            after = parse_cursor(value)
        elif name == "_total" and value in ("none", "accurate", "estimate"):
            total = value != "none"
        elif name == "_summary" and value in ("count", "false"):
            count = 0 if value == "count" else count
        elif name == "_format" and value in ("json", "application/json", "application/fhir+json"):
            pass
        elif name in known:
            values = split_values(value)
            if not values or len(values) > MAX_VALUES or len(sql.conditions) >= MAX_CRITERIA:
                raise invalid(
                    name, f"expected 1 to {MAX_VALUES} values, and at most {MAX_CRITERIA} criteria"
                )
            parameter = known[name]
            alternatives = [
                parameter.condition(sql, item if parameter.escaped else unescape(item), name)
                for item in values
            ]
            sql.conditions.append(f"({' OR '.join(alternatives)})")
        else:
            raise BadRequest(
                "parameter_not_served",
                f"{name} is not served for {resource_type}; served are {', '.join(sorted(known))}",
                pointer=name,
            )
    return Criteria(sql, count, after, total or count == 0)


def split_values(text: str) -> list[str]:
    r"""The values between commas, escaped as they came; `\,` is a comma of the value itself."""
    if "\x00" in text:
        return []
    return [part.strip() for part in re.split(r"(?<!\\),", text) if part.strip()]


def unescape(text: str) -> str:
    """https://hl7.org/fhir/R4/search.html#escaping"""
    return re.sub(r"\\([,|$\\])", r"\1", text)


def parse_count(value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 4 or int(value) > MAX_COUNT:
        raise invalid("_count", f"expected a number from 0 to {MAX_COUNT}")
    return int(value)


def make_cursor(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def parse_cursor(value: str) -> str:
    try:
        text = base64.b64decode(
            value + "=" * (-len(value) % 4), altchars=b"-_", validate=True
        ).decode()
    except (binascii.Error, ValueError):
        raise invalid("cursor", "this is not a cursor of ours") from None
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,64}", text):
        raise invalid("cursor", "this is not a cursor of ours")
    return text
