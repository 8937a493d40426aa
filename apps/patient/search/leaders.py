"""What leads a search: the index that gives its candidates in the order of the pages. Pure.

A leader walks one index range and checks the other criteria row by row (`OFFSET 0` keeps PostgreSQL
from joining the other way round). The plan follows from the text, not from statistics: a bulk load
cannot turn it over.
"""

from collections.abc import Set
from dataclasses import dataclass

from apps.patient.search.criteria import (
    AllOf,
    AnyOf,
    Bound,
    Contains,
    Criterion,
    DateRange,
    Exact,
    Identity,
    Not,
    NumberRange,
    Range,
    Updated,
    WholeText,
    Words,
)
from apps.patient.search.hashing import first_number, last_number, type_bits
from apps.patient.search.sql import (
    Sql,
    body_of,
    bound_argument,
    condition,
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

COLUMNS = (
    "r.number, r.type, r.id, r.version_id, r.patient_id, r.last_updated, r.method, " + body_of("r")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where a page begins: `position` and `number` of the row before it; None for
    the first page.
    """

    position: object = None
    number: int | None = None
    limit: int = 0


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


def leads(criterion: Criterion) -> bool:
    """Tells whether the criterion can lead a search."""
    match criterion:
        case Exact():
            return all(value.leading is not None for value in criterion.values)
        case DateRange() | NumberRange() | Updated():
            return not criterion.negated
        case WholeText():
            return criterion.operator != "<>"
        case Words() | Identity() | Contains():
            return True
    return False


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


def page_statement(
    sql: Sql, walk: Walk, rest: Criterion, page: Page, columns: str = COLUMNS
) -> str:
    """Returns the statement of a page: `columns`, then the position (NULL without one)."""
    sign = "<" if walk.descending else ">"
    way = " DESC" if walk.descending else ""
    first, further = by_table(rest)
    where = [*(condition(sql, item, "k") for item in first), *walk.conditions]
    order = f"k.number{way}"
    given = "NULL"
    if walk.position:
        order = f"k.{walk.position}{way}, {order}"
        given = f"k.{walk.position}"
    if page.number is not None:
        number = sql.argument(page.number, "bigint")
        if walk.position:
            position = sql.argument(page.position, walk.kind)
            where.append(f"(k.{walk.position}, k.number) {sign} ({position}, {number})")
        else:
            where.append(f"k.number {sign} {number}")
    limit = sql.argument(page.limit, "bigint")
    return (
        f"SELECT {columns}, {given} AS position FROM {walk.source}"
        f" CROSS JOIN LATERAL (SELECT * FROM resource r WHERE r.number = k.number"
        f" AND {condition(sql, further)} OFFSET 0) AS r"
        f" WHERE {' AND '.join(where)} ORDER BY {order} LIMIT {limit}"
    )


def exact_page_statement(
    sql: Sql, leader: Exact, rest: Criterion, page: Page, columns: str = COLUMNS
) -> str:
    """Returns the statement of a page of one or more hashes: each hash gives its first rows,
    merged by number.
    """
    hashes = sql.argument(leading_hashes(leader), "bigint[]")
    after = sql.argument(page.number if page.number is not None else -(2**63), "bigint")
    limit = sql.argument(page.limit, "bigint")
    first, further = by_table(rest)
    where = "".join(f" AND {condition(sql, item, 'v')}" for item in first)
    checked = condition(sql, further)
    lateral = (
        ""
        if checked == "true"
        else " CROSS JOIN LATERAL (SELECT FROM resource r WHERE r.number = v.number"
        f" AND {checked} OFFSET 0) AS r"
    )
    return (
        f"SELECT {columns}, NULL AS position FROM (SELECT DISTINCT k.number"
        f" FROM unnest({hashes}) AS h (hash) CROSS JOIN LATERAL (SELECT v.number"
        f" FROM resource_value v{lateral} WHERE v.hash = h.hash AND v.number > {after}{where}"
        f" ORDER BY v.number LIMIT {limit}) AS k ORDER BY k.number LIMIT {limit}) AS k"
        f" CROSS JOIN LATERAL (SELECT * FROM resource r WHERE r.number = k.number OFFSET 0) AS r"
        " ORDER BY k.number"
    )


def by_table(criterion: Criterion) -> tuple[list[Criterion], Criterion]:
    """Returns what the index tables tell of a candidate, and what needs its row: most candidates
    fail before that is read.
    """
    items = flatten(criterion)
    first: list[Criterion] = [
        item
        for item in items
        if isinstance(item, DateRange | NumberRange | WholeText | Contains)
        or (isinstance(item, Words) and item.exact is None)
    ]
    return first, rest_of([item for item in items if item not in first], None)


def leading_hashes(leader: Exact) -> list[int]:
    """Returns the hashes of a leader; they hold the type, so what they find needs
    no check of it.
    """
    return list(
        dict.fromkeys(value.leading for value in leader.values if value.leading is not None)
    )


def needs_check(leader: Criterion) -> bool:
    """Tells whether candidates must still be compared: a code was found, its system was
    asked for too.
    """
    if isinstance(leader, Exact):
        return any(value.leading != value.matching for value in leader.values)
    return isinstance(leader, Words) and leader.exact is not None


def candidates_statement(sql: Sql, resource_type: str, leader: Criterion | None) -> str:
    """Returns a subselect of the numbers of all candidates, each once."""
    if isinstance(leader, Exact):
        hashes = sql.argument(leading_hashes(leader), "bigint[]")
        return f"SELECT DISTINCT v.number FROM resource_value v WHERE v.hash = ANY ({hashes})"
    return " UNION ALL ".join(
        f"SELECT k.number FROM {walk.source} WHERE {' AND '.join(walk.conditions)}"
        for walk in walks_of(sql, resource_type, leader)
    )


def range_statement(sql: Sql, resource_type: str, leader: Criterion, limit: str) -> str:
    """Returns a subselect of up to `limit` rows of the leader's index ranges: how much it
    would have to walk.
    """
    if isinstance(leader, AnyOf):
        parts = [range_statement(sql, resource_type, item, limit) for item in leader.criteria]
        return " UNION ALL ".join(parts) or "SELECT WHERE false"
    if isinstance(leader, Exact):
        hashes = sql.argument(leading_hashes(leader), "bigint[]")
        return f"(SELECT FROM resource_value v WHERE v.hash = ANY ({hashes}) LIMIT {limit})"
    return " UNION ALL ".join(
        f"(SELECT FROM {walk.source} WHERE {' AND '.join(walk.range or walk.conditions)}"
        f" LIMIT {limit})"
        for walk in walks_of(sql, resource_type, leader)
    )


def rest_of(criteria: list[Criterion], leader: Criterion | None) -> Criterion:
    """Returns what candidates must meet beside the leader."""
    rest = [item for item in criteria if item is not leader or needs_check(item)]
    return rest[0] if len(rest) == 1 else AllOf(criteria=tuple(rest))


def flatten(criterion: Criterion) -> list[Criterion]:
    """Returns the criteria that must all be met; alternatives with one choice are that choice."""
    if isinstance(criterion, AllOf):
        return [item for part in criterion.criteria for item in flatten(part)]
    if getattr(criterion, "criteria", None) and len(criterion.criteria) == 1:  # type: ignore[union-attr]
        return flatten(criterion.criteria[0])  # type: ignore[union-attr]
    if isinstance(criterion, Not) and isinstance(criterion.criterion, Not):
        return flatten(criterion.criterion.criterion)
    return [criterion]


def merged_dates(criteria: list[Criterion], is_single: Set[int]) -> list[Criterion]:
    """Joins the bounds of a date that a resource has once: `ge` and `le` become one
    range of the index.
    """
    merged: dict[tuple[int, bool], DateRange] = {}
    others: list[Criterion] = []
    for item in criteria:
        if not isinstance(item, DateRange) or item.negated or item.key not in is_single:
            others.append(item)
            continue
        before = merged.get((item.key, item.by_clock))
        merged[(item.key, item.by_clock)] = item if before is None else _join(before, item)
    return [*others, *merged.values()]


def _join(first: DateRange, second: DateRange) -> DateRange:
    def bounds(name: str) -> list[int]:
        given = [getattr(item.range, name) for item in (first, second)]
        return [int(bound) for bound in given if bound is not None]

    joined = Range(
        low_from=max(bounds("low_from"), default=None),
        low_before=min(bounds("low_before"), default=None),
        high_after=max(bounds("high_after"), default=None),
        high_upto=min(bounds("high_upto"), default=None),
    )
    return DateRange(key=first.key, range=joined, by_clock=first.by_clock)
