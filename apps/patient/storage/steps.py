"""The steps of a plan, in which a search reads its matches in the order that was asked for."""

from dataclasses import dataclass, replace
from typing import Any

from apps.kit.database import Connection
from apps.patient.definitions.model import search_parameters
from apps.patient.search.criteria.criteria import (
    AllOf,
    AnyOf,
    Criterion,
    DateRange,
    Exact,
    Missing,
    Not,
    NumberRange,
    Range,
    Updated,
    WholeText,
)
from apps.patient.search.criteria.query import SortKey, missing_position
from apps.patient.search.index.hashing import parameter_key
from apps.patient.search.statements.leaders import rest_of
from apps.patient.search.statements.sql import Sql, condition, values_of
from apps.patient.search.statements.statements import (
    COLUMNS,
    Page,
    candidates_statement,
    exact_page_statement,
    page_statement,
)
from apps.patient.search.statements.walks import Walk, walks_of
from apps.patient.storage.plans import Plan, fetch_rows

# What can be walked in the order of an index.
_SORTED_TABLES = {
    "date": ("resource_date", "low", "bigint"),
    "string": ("resource_string", "value", "text"),
    "number": ("resource_quantity", "low", "numeric"),
    "quantity": ("resource_quantity", "low", "numeric"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement's worth of a search: an index range, or all candidates sorted."""

    leader: Criterion | None
    rest: Criterion
    # None where the leader is exact, or the candidates are sorted.
    walk_index: int | None = None
    sort: SortKey | None = None
    # Of a sorted search: those that have no value come last.
    without_value: bool = False


def steps_of(plan: Plan, sort: SortKey | None) -> list[Step]:
    """Returns the steps of a plan in their order; each resource comes in one of them."""
    if sort is not None:
        return _sorted_steps(plan, sort)
    leaders = plan.leader.criteria if isinstance(plan.leader, AnyOf) else (plan.leader,)
    steps: list[Step] = []
    for index, leader in enumerate(leaders):
        # What an alternative before gave is not given again.
        earlier = tuple(Not(criterion=item) for item in leaders[:index] if item is not None)
        rest = plan.rest if len(leaders) == 1 else rest_of(plan.criteria, plan.leader)
        if len(leaders) > 1 and leader is not None:
            rest = AllOf(criteria=(rest_of([leader], leader), rest))
        if earlier:
            rest = AllOf(criteria=(rest, *earlier))
        if isinstance(leader, Exact):
            steps.append(Step(leader=leader, rest=rest))
        elif isinstance(leader, AnyOf):
            steps += steps_of(
                Plan(resource_type=plan.resource_type, criteria=[leader, rest], leader_index=0),
                None,
            )
        else:
            count = len(walks_of(Sql(), plan.resource_type, leader))
            steps += [Step(leader=leader, rest=rest, walk_index=walk) for walk in range(count)]
    return steps


def _sorted_steps(plan: Plan, sort: SortKey) -> list[Step]:
    resource_type, code = plan.resource_type, sort.parameter.code
    if code == "_lastUpdated":
        if plan.is_small:
            return [Step(leader=plan.leader, rest=plan.rest, sort=sort)]
        rest = AllOf(criteria=tuple(plan.criteria))
        return [Step(leader=Updated(range=Range()), rest=rest, walk_index=0, sort=sort)]
    missing = Missing(position=missing_position(resource_type, code))
    if plan.is_small:
        return [
            Step(leader=plan.leader, rest=plan.rest, sort=sort),
            Step(leader=plan.leader, rest=plan.rest, sort=sort, without_value=True),
        ]
    rest = AllOf(criteria=tuple(plan.criteria))
    without = Step(leader=None, rest=AllOf(criteria=(rest, missing)), walk_index=0)
    return [
        Step(leader=sort_leader(resource_type, sort), rest=rest, walk_index=0, sort=sort),
        without,
    ]


def sort_leader(resource_type: str, sort: SortKey) -> Criterion:
    """Returns the criterion that walks all values of the parameter."""
    key = parameter_key(resource_type, sort.parameter.code)
    match sort.parameter.kind:
        case "date":
            return DateRange(key=key, range=Range(), by_clock=False)
        case "number" | "quantity":
            return NumberRange(key=key, range=Range())
    return WholeText(key=key, operator=">=", text="")


async def read_step(
    connection: Connection, resource_type: str, step: Step, page: Page
) -> list[Any]:
    """Returns the rows of a step: number, the version's columns, position."""
    sql = Sql()
    if step.sort is not None and step.walk_index is None:
        statement = _sorted_statement(sql, resource_type, step, page)
    elif isinstance(step.leader, Exact):
        statement = exact_page_statement(sql, step.leader, step.rest, page)
    else:
        descending = step.sort is not None and step.sort.descending
        walks = walks_of(sql, resource_type, step.leader, descending=descending)
        walk = _ordered(walks[step.walk_index or 0], step.sort)
        statement = page_statement(sql, walk, step.rest, page)
    return await fetch_rows(connection, statement, sql)


def _ordered(walk: Walk, sort: SortKey | None) -> Walk:
    return walk if sort is None else replace(walk, descending=sort.descending)


def _sorted_statement(sql: Sql, resource_type: str, step: Step, page: Page) -> str:
    """Returns the statement that sorts all candidates; for a plan that has few of them.

    Only the rows of the page are read: what is sorted are numbers and positions.
    """
    assert step.sort is not None
    way, sign = ("DESC", "<") if step.sort.descending else ("ASC", ">")
    candidates = candidates_of(sql, resource_type, step.leader)
    checked = condition(sql, step.rest)
    resource = f"resource r WHERE r.number = k.number AND {checked} OFFSET 0"
    if step.sort.parameter.code == "_lastUpdated":
        kind = "timestamptz"
        source = f" CROSS JOIN LATERAL (SELECT r.last_updated AS position FROM {resource}) AS p"
    else:
        table, column, kind = _SORTED_TABLES[step.sort.parameter.kind]
        # Of several values the one that comes first counts; a text has a row for each of
        # its words too.
        best = "max" if step.sort.descending else "min"
        whole = " AND d.is_whole" if table == "resource_string" else ""
        key = sql.argument(parameter_key(resource_type, step.sort.parameter.code), "bigint")
        source = "" if checked == "true" else f" CROSS JOIN LATERAL (SELECT FROM {resource}) AS r"
        source += (
            f" CROSS JOIN LATERAL (SELECT {best}(d.{column}) AS position"
            f" FROM {values_of(table, 'k')} AS d WHERE d.key = {key}{whole}) AS p"
        )
    where = ["p.position IS NULL" if step.without_value else "p.position IS NOT NULL"]
    if page.number is not None:
        number = sql.argument(page.number, "bigint")
        if step.without_value:
            where.append(f"k.number {sign} {number}")
        else:
            position = sql.argument(page.position, kind)
            where.append(f"(p.position, k.number) {sign} ({position}, {number})")
    limit = sql.argument(page.limit, "bigint")
    return (
        f"SELECT {COLUMNS}, s.position FROM (SELECT k.number, p.position"
        f" FROM ({candidates}) AS k{source} WHERE {' AND '.join(where)}"
        f" ORDER BY p.position {way}, k.number {way} LIMIT {limit}) AS s"
        " CROSS JOIN LATERAL (SELECT * FROM resource r WHERE r.number = s.number OFFSET 0) AS r"
        f" ORDER BY s.position {way}, s.number {way}"
    )


def candidates_of(sql: Sql, resource_type: str, leader: Criterion | None) -> str:
    """Returns a subselect of the numbers of all candidates; those of alternatives once."""
    if isinstance(leader, AnyOf):
        if not leader.criteria:
            return "SELECT 0::bigint AS number WHERE false"
        parts = [candidates_of(sql, resource_type, item) for item in leader.criteria]
        return " UNION ".join(f"({part})" for part in parts)
    return candidates_statement(sql, resource_type, leader)


def is_sortable(parameter_kind: str, code: str) -> bool:
    return code == "_lastUpdated" or parameter_kind in _SORTED_TABLES


def sortable(resource_type: str) -> list[str]:
    """Returns the parameters that a type may be sorted by."""
    return [
        code
        for code, parameter in search_parameters(resource_type).items()
        if is_sortable(parameter.kind, code)
    ]
