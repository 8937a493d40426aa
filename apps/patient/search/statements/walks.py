"""The index ranges of what leads a search, each in its order. Pure.

A resource that has several matching values comes once, at the first or the last of them.
"""

from dataclasses import dataclass

from apps.patient.search.criteria.criteria import (
    Bound,
    Contains,
    Criterion,
    DateRange,
    Identity,
    NumberRange,
    Updated,
    WholeText,
    Words,
)
from apps.patient.search.index.hashing import first_number, last_number, type_bits
from apps.patient.search.statements.sql import (
    Sql,
    bound_argument,
    has_value,
    row_bounds,
    same_part,
    starts_with,
    updated_bounds,
    whole_text,
)

DAY = 86_400_000_000
LONG_SPAN = 2 * DAY
# No clock is further from UTC.
CLOCK_SLACK = 15 * 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One index range in its order.

    `source` has the FROM clause with the alias `k`, `conditions` its WHERE; `position` is the
    column that the order begins with, "" where rows come by number alone; `kind` its type. `range`
    has those conditions that the index itself meets: what a count of the candidates needs.
    """

    source: str
    conditions: tuple[str, ...]
    position: str = ""
    kind: str = ""
    descending: bool = False
    range: tuple[str, ...] = ()


def walks_of(
    sql: Sql, resource_type: str, leader: Criterion | None, *, descending: bool = False
) -> list[Walk]:
    """Returns the index ranges that hold every candidate of `leader`; None: all
    resources of the type.

    A resource comes at the first of its values that match, or with `descending` at the last.
    """
    where: tuple[str, ...]
    match leader:
        case None:
            where = (*_type_bounds(sql, resource_type), "k.method <> 'DELETE'")
            return [Walk(source="resource k", conditions=where)]
        case Identity():
            # A patient's record refers to resources of many types.
            hashes = sql.argument(list(leader.hashes), "bigint[]")
            bounds = _type_bounds(sql, resource_type)
            where = (f"k.reference_hash = ANY ({hashes})", *bounds, "k.method <> 'DELETE'")
            return [Walk(source="resource k", conditions=where)]
        case Updated():
            kind = sql.argument(type_bits(resource_type), "bigint")
            where = (
                f"(k.number >> 48) = {kind}",
                "k.method <> 'DELETE'",
                *updated_bounds(sql, leader.range, "k"),
            )
            return [
                Walk(
                    source="resource k",
                    conditions=where,
                    position="last_updated",
                    kind="timestamptz",
                )
            ]
        case Words():
            return [_words_walk(sql, leader)]
        case Contains():
            key = sql.argument(leader.key, "bigint")
            part = f"position({sql.argument(leader.part, 'text')} IN {{}}.value) > 0"
            where = (f"k.key = {key}", part.format("k"), _first_text(key, part.format("e")))
            return [
                Walk(source="resource_string k", conditions=where, position="value", kind="text")
            ]
        case WholeText():
            key = sql.argument(leader.key, "bigint")
            earlier = _first_text(key, whole_text(sql, leader, "e"), descending=descending)
            where = (f"k.key = {key}", whole_text(sql, leader, "k"), earlier)
            return [
                Walk(
                    source="resource_string k",
                    conditions=where,
                    position="value",
                    kind="text",
                    range=where[:2],
                )
            ]
        case DateRange():
            return _date_walks(sql, leader, descending=descending)
        case NumberRange():
            return _number_walks(sql, leader, descending=descending)
    raise AssertionError(f"{type(leader).__name__} cannot lead")


def _type_bounds(sql: Sql, resource_type: str) -> tuple[str, str]:
    low = sql.argument(first_number(resource_type), "bigint")
    high = sql.argument(last_number(resource_type), "bigint")
    return f"k.number > {low}", f"k.number < {high}"


def _first_text(key: str, matching: str, *, descending: bool = False) -> str:
    """Returns the condition that a text is the first of its resource that matches:
    each comes once.
    """
    sign = ">" if descending else "<"
    earlier = f"{matching} AND (e.value, e.part, e.is_whole) {sign} (k.value, k.part, k.is_whole)"
    return f"NOT {has_value('resource_string', 'e', 'k', key, earlier)}"


def _words_walk(sql: Sql, leader: Words) -> Walk:
    """Lets the longest word lead; the others are looked up in the same name or address."""
    key = sql.argument(leader.key, "bigint")
    word, *others = sorted(leader.words, key=len, reverse=True)
    low, high = starts_with(sql, "{}", word).split(" AND ")
    matching = f"{low} AND {high}".replace("{}", "k")
    beside = [same_part(sql, "k", key, other) for other in others]
    beside_earlier = [same_part(sql, "e", key, other) for other in others]
    earlier = " AND ".join([f"{low} AND {high}".replace("{}", "e"), *beside_earlier])
    where = (f"k.key = {key}", matching, *beside, _first_text(key, earlier))
    return Walk(
        source="resource_string k",
        conditions=where,
        position="value",
        kind="text",
        range=where[:2],
    )


def _date_walks(sql: Sql, leader: DateRange, *, descending: bool) -> list[Walk]:
    """Walks by the beginning, and long spans by their end where that alone is asked for."""
    bounds = leader.range
    slack = CLOCK_SLACK if leader.by_clock else 0
    key = f"k.key = {sql.argument(leader.key, 'bigint')}"
    exact = row_bounds(sql, leader, "k")
    first = _first_span(sql, leader, "resource_date", descending=descending)
    upper = _lowest(bounds.low_before, bounds.high_upto)
    lower = bounds.low_from
    by_low: list[str] = []
    if upper is not None:
        by_low.append(f"k.low < {bound_argument(sql, upper + slack, is_date=True)}")
    if lower is not None or bounds.high_after is None:
        if lower is not None:
            by_low.append(f"k.low >= {bound_argument(sql, lower - slack, is_date=True)}")
        where = (key, *by_low, exact, first)
        return [_span_walk("resource_date", where, "low", "bigint", (key, *by_low))]
    after = bounds.high_after
    near = bound_argument(sql, after - LONG_SPAN - slack, is_date=True)
    far = bound_argument(sql, after - slack, is_date=True)
    is_long = f"k.high::numeric - k.low > {LONG_SPAN}"
    short = (key, *by_low, f"k.low > {near}", f"NOT ({is_long})", exact, first)
    long = (key, f"k.high > {far}", is_long, exact, first)
    return [
        _span_walk("resource_date", short, "low", "bigint", short[:-2]),
        _span_walk("resource_date", long, "high", "bigint", long[:-2]),
    ]


def _number_walks(sql: Sql, leader: NumberRange, *, descending: bool) -> list[Walk]:
    bounds = leader.range
    key = f"k.key = {sql.argument(leader.key, 'bigint')}"
    exact = row_bounds(sql, leader, "k")
    first = _first_span(sql, leader, "resource_quantity", descending=descending)
    by_low: list[str] = []
    # Where `low` is `high`, a bound of one is a bound of both.
    for low, high, operator in (
        (bounds.low_from, bounds.high_from, ">="),
        (bounds.low_after, bounds.high_after, ">"),
        (bounds.low_before, bounds.high_before, "<"),
        (bounds.low_upto, bounds.high_upto, "<="),
    ):
        bound = low if low is not None else high
        if bound is not None:
            by_low.append(f"k.low {operator} {bound_argument(sql, bound, is_date=False)}")
    if not by_low:
        return [_span_walk("resource_quantity", (key, exact, first), "low", "numeric", (key,))]
    points = (key, *by_low, "k.low = k.high", exact, first)
    ranges = (key, "k.high <> k.low", exact, first)
    return [
        _span_walk("resource_quantity", points, "low", "numeric", points[:-2]),
        _span_walk("resource_quantity", ranges, "high", "numeric", ranges[:-2]),
    ]


def _lowest(*bounds: Bound | None) -> Bound | None:
    return min((bound for bound in bounds if bound is not None), default=None)


def _first_span(sql: Sql, leader: DateRange | NumberRange, table: str, *, descending: bool) -> str:
    """Returns the condition that a row is the first of its resource that matches: each comes once.

    The order is of all rows, so that a resource does not come again in a second walk.
    """
    key = sql.argument(leader.key, "bigint")
    matching = row_bounds(sql, leader, "e")
    sign = ">" if descending else "<"
    earlier = f"{matching} AND (e.low, e.high, e.ctid) {sign} (k.low, k.high, k.ctid)"
    return f"NOT {has_value(table, 'e', 'k', key, earlier)}"


def _span_walk(
    table: str, where: tuple[str, ...], position: str, kind: str, range: tuple[str, ...]
) -> Walk:
    return Walk(source=f"{table} k", conditions=where, position=position, kind=kind, range=range)
