"""The statements of a search: a page of matches, all candidates, and how many there are. Pure.

A leader walks one index range and checks the other criteria row by row (`OFFSET 0` keeps PostgreSQL
from joining the other way round). The plan follows from the text, not from statistics: a bulk load
cannot turn it over.
"""

from dataclasses import dataclass

from apps.patient.search.criteria.criteria import (
    AnyOf,
    Contains,
    Criterion,
    DateRange,
    Exact,
    NumberRange,
    WholeText,
    Words,
)
from apps.patient.search.statements.leaders import flatten, rest_of
from apps.patient.search.statements.sql import Sql, body_of, condition
from apps.patient.search.statements.walks import Walk, walks_of

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
