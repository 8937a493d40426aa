"""Criteria as SQL conditions of a row of `resource` (docs/decisions/0306-search-index.md). Pure."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.patient.search.criteria.criteria import (
    AllOf,
    AnyOf,
    Bound,
    Chain,
    Contained,
    Contains,
    Criterion,
    DateRange,
    DisplayText,
    Exact,
    Has,
    Hierarchy,
    Identity,
    Missing,
    Near,
    Not,
    NumberRange,
    Owned,
    Range,
    Scanned,
    Updated,
    UriBelow,
    WholeText,
    Words,
)
from apps.patient.search.index.hashing import reference_key

# Above every character: `value >= prefix AND value < prefix + LAST` is "starts with", by the index.
LAST = "\U0010ffff"
_ARGUMENT = re.compile(r"\$([0-9]+)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_OPERATORS = (
    ("low_from", "low", ">="),
    ("low_after", "low", ">"),
    ("low_before", "low", "<"),
    ("low_upto", "low", "<="),
    ("high_from", "high", ">="),
    ("high_after", "high", ">"),
    ("high_before", "high", "<"),
    ("high_upto", "high", "<="),
)


def values_of(name: str, row: str) -> str:
    """Returns the relation of all values of the resource of `row` in the index table `name`.

    They are few. `OFFSET 0` has the index of the numbers find them: that of the values, which
    statistics can make look as good, would be walked for each candidate.
    """
    return f"(SELECT ctid, * FROM {name} WHERE number = {row}.number OFFSET 0)"


def has_value(name: str, table: str, row: str, key: str, matching: str) -> str:
    """Returns the condition that the resource of `row` has a value by a parameter that matches:
    a row of the index table `name`, as `table`.
    """
    source = f"{values_of(name, row)} AS {table}"
    return f"EXISTS (SELECT FROM {source} WHERE {table}.key = {key} AND {matching})"


def body_of(row: str) -> str:
    """Returns the expression of the stored body of `row`: packed, or as the release
    before wrote it.
    """
    return f"coalesce({row}.packed, convert_to({row}.body, 'UTF8'))"


@dataclass(slots=True)
class Sql:
    """The arguments of a statement. Its text depends on the kinds of the criteria alone, so
    plans are reused.
    """

    arguments: list[Any] = field(default_factory=list)
    aliases: int = 0

    def argument(self, value: Any, kind: str) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}::{kind}"

    def used(self, statement: str) -> tuple[str, list[Any]]:
        """Returns the statement and its arguments without those that it does not have,
        numbered anew.

        Several index ranges are prepared from one criterion, and a statement walks one of them.
        """
        numbers = [int(number) for number in dict.fromkeys(_ARGUMENT.findall(statement))]
        places = {number: place for place, number in enumerate(numbers, 1)}
        text = _ARGUMENT.sub(lambda match: f"${places[int(match[1])]}", statement)
        return text, [self.arguments[number - 1] for number in numbers]

    def alias(self, name: str) -> str:
        self.aliases += 1
        return f"{name}{self.aliases}"


def condition(sql: Sql, criterion: Criterion, row: str = "r") -> str:
    """Returns the condition that `row`, an alias of `resource`, meets the criterion."""
    match criterion:
        case AllOf():
            return _joined(sql, criterion.criteria, " AND ", "true", row)
        case AnyOf():
            return _joined(sql, criterion.criteria, " OR ", "false", row)
        case Not():
            return f"NOT ({condition(sql, criterion.criterion, row)})"
        case Exact():
            hashes = list(dict.fromkeys(value.matching for value in criterion.values))
            if len(hashes) == 1:
                return f"{sql.argument(hashes[0], 'bigint')} = ANY ({row}.value_hashes)"
            return f"{row}.value_hashes && {sql.argument(hashes, 'bigint[]')}"
        case Missing():
            bit = sql.argument(criterion.position, "int")
            return f"({row}.parameters_present >> {bit}) & 1 = 0"
        case Identity():
            return (
                f"{row}.reference_hash = ANY ({sql.argument(list(criterion.hashes), 'bigint[]')})"
            )
        case Owned():
            return f"{row}.patient_id = {sql.argument(criterion.patient_id, 'text')}"
        case Updated():
            bounds = " AND ".join(updated_bounds(sql, criterion.range, row)) or "true"
            return f"NOT ({bounds})" if criterion.negated else f"({bounds})"
        case DateRange() | NumberRange():
            return _range_condition(sql, criterion, row)
        case Words():
            return _words_condition(sql, criterion, row)
        case Contains():
            table, key = sql.alias("s"), sql.argument(criterion.key, "bigint")
            part = sql.argument(criterion.part, "text")
            matching = f"position({part} IN {table}.value) > 0"
            return has_value("resource_string", table, row, key, matching)
        case WholeText():
            table, key = sql.alias("s"), sql.argument(criterion.key, "bigint")
            matching = whole_text(sql, criterion, table)
            return has_value("resource_string", table, row, key, matching)
        case Chain():
            return _chain_condition(sql, criterion, row)
        case Has():
            return _has_condition(sql, criterion, row)
        case Near():
            return _near_condition(sql, criterion, row)
        case DisplayText() | UriBelow() | Scanned() | Hierarchy() | Contained():
            raise AssertionError("these are resolved before the search runs")


def _joined(sql: Sql, criteria: tuple[Criterion, ...], word: str, empty: str, row: str) -> str:
    parts = [condition(sql, item, row) for item in criteria]
    if len(parts) == 1:
        return parts[0]
    return f"({word.join(parts)})" if parts else empty


def _range_condition(sql: Sql, criterion: DateRange | NumberRange, row: str) -> str:
    is_date = isinstance(criterion, DateRange)
    name = "resource_date" if is_date else "resource_quantity"
    table = sql.alias("d")
    key = sql.argument(criterion.key, "bigint")
    return has_value(name, table, row, key, row_bounds(sql, criterion, table))


def row_bounds(sql: Sql, criterion: DateRange | NumberRange, table: str) -> str:
    """Returns the condition on a row of `resource_date` or `resource_quantity`, but for its key."""
    parts = []
    is_date = isinstance(criterion, DateRange)
    for name, column, operator in _OPERATORS:
        bound = getattr(criterion.range, name)
        if bound is not None:
            value = f"{table}.{column}"
            if isinstance(criterion, DateRange) and criterion.by_clock:
                value = f"{value} + {table}.{column}_clock * 60000000::bigint"
            parts.append(f"{value} {operator} {bound_argument(sql, bound, is_date=is_date)}")
    bounds = " AND ".join(parts) or "true"
    if criterion.negated:
        bounds = f"NOT ({bounds})"
    if isinstance(criterion, NumberRange) and criterion.unit:
        column, hashed = criterion.unit
        bounds = f"{bounds} AND {table}.{column} = {sql.argument(hashed, 'bigint')}"
    return bounds


def bound_argument(sql: Sql, bound: Bound, *, is_date: bool) -> str:
    if is_date:
        return sql.argument(max(-(2**63), min(int(bound), 2**63 - 1)), "bigint")
    return sql.argument(Decimal(bound), "numeric")


def updated_bounds(sql: Sql, bounds: Range, row: str) -> list[str]:
    """Returns the conditions on `last_updated`: a moment, which is a span without length."""
    column = f"{row}.last_updated"
    found = []
    for bound, operator in (
        (bounds.low_from, ">="),
        (bounds.low_before, "<"),
        (bounds.high_after, ">="),
        (bounds.high_upto, "<"),
    ):
        if bound is not None:
            found.append(f"{column} {operator} {sql.argument(moment_of(bound), 'timestamptz')}")
    return found


def moment_of(microseconds: Bound) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=int(microseconds))
    except OverflowError:
        return _LATEST if microseconds > 0 else _EARLIEST


def _words_condition(sql: Sql, criterion: Words, row: str) -> str:
    """Asks that each word begin a word of one part; each is looked up beside the first."""
    key = sql.argument(criterion.key, "bigint")
    first = sql.alias("s")
    parts = [starts_with(sql, first, criterion.words[0])]
    parts += [same_part(sql, first, key, word) for word in criterion.words[1:]]
    found = has_value("resource_string", first, row, key, " AND ".join(parts))
    if criterion.exact is not None:
        found = (
            f"({found} AND {sql.argument(criterion.exact, 'bigint')} = ANY ({row}.value_hashes))"
        )
    return found


def starts_with(sql: Sql, table: str, word: str) -> str:
    low = sql.argument(word, "text")
    high = sql.argument(word + LAST, "text")
    return f"{table}.value >= {low} AND {table}.value < {high}"


def whole_text(sql: Sql, criterion: WholeText, table: str) -> str:
    """Returns the condition on a row of `resource_string`, but for its key."""
    if criterion.operator == "sw":
        return f"{table}.is_whole AND {starts_with(sql, table, criterion.text)}"
    text = sql.argument(criterion.text, "text")
    return f"{table}.is_whole AND {table}.value {criterion.operator} {text}"


def same_part(sql: Sql, first: str, key: str, word: str) -> str:
    """Returns the condition that the name or address of the row `first` has another word too."""
    other = sql.alias("s")
    matching = f"{other}.part = {first}.part AND {starts_with(sql, other, word)}"
    return has_value("resource_string", other, first, key, matching)


def _chain_condition(sql: Sql, criterion: Chain, row: str) -> str:
    target, inner = sql.alias("t"), sql.alias("c")
    key = sql.argument(reference_key(criterion.resource_type, criterion.parameter), "bigint")
    kind = sql.argument(criterion.target_type, "text")
    return (
        f"EXISTS (SELECT FROM unnest({row}.target_hashes) AS {target} (hash)"
        f" CROSS JOIN LATERAL (SELECT FROM resource {inner}"
        f" WHERE {inner}.reference_hash = {target}.hash AND {inner}.type = {kind}"
        f" AND {inner}.method <> 'DELETE' AND {condition(sql, criterion.criterion, inner)} OFFSET "
        f"0)"
        f" AS {inner}x WHERE ({key} # {target}.hash) = ANY ({row}.value_hashes))"
    )


def _has_condition(sql: Sql, criterion: Has, row: str) -> str:
    value, inner = sql.alias("v"), sql.alias("c")
    key = sql.argument(reference_key(criterion.source_type, criterion.parameter), "bigint")
    return (
        f"EXISTS (SELECT FROM resource_value {value}"
        f" CROSS JOIN LATERAL (SELECT FROM resource {inner} WHERE {inner}.number = {value}.number"
        f" AND {condition(sql, criterion.criterion, inner)} OFFSET 0) AS {inner}x"
        f" WHERE {value}.hash = ({key} # {row}.reference_hash))"
    )


def _near_condition(sql: Sql, criterion: Near, row: str) -> str:
    """Compares the distance on a sphere of the earth's mean radius (haversine)."""
    first, second = sql.alias("q"), sql.alias("q")
    latitude = sql.argument(criterion.latitude, "float8")
    longitude = sql.argument(criterion.longitude, "float8")
    distance = sql.argument(criterion.kilometres, "float8")
    first_key = sql.argument(criterion.latitude_key, "bigint")
    second_key = sql.argument(criterion.longitude_key, "bigint")
    near = (
        f"12742 * asin(least(1, sqrt(sind(({first}.low::float8 - {latitude}) / 2) ^ 2"
        f" + cosd({latitude}) * cosd({first}.low::float8)"
        f" * sind(({second}.low::float8 - {longitude}) / 2) ^ 2))) <= {distance}"
    )
    beside = has_value("resource_quantity", second, first, second_key, near)
    return has_value("resource_quantity", first, row, first_key, beside)
