"""Runs searches: resolves chains and texts, chooses what leads, and reads a page
(decision 0306).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from apps.kit.database import Connection
from apps.kit.errors import BadRequest
from apps.patient.definitions.model import search_parameters
from apps.patient.search.criteria import (
    NOTHING,
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
    Words,
)
from apps.patient.search.cursors import search_changed
from apps.patient.search.hashing import parameter_key
from apps.patient.search.leaders import (
    COLUMNS,
    Page,
    Walk,
    candidates_statement,
    exact_page_statement,
    flatten,
    leads,
    merged_dates,
    page_statement,
    range_statement,
    rest_of,
    walks_of,
)
from apps.patient.search.query import SortKey, missing_position
from apps.patient.search.single_valued import single_valued_date_keys
from apps.patient.search.sql import Sql, condition, values_of
from apps.patient.storage.resolving import resolve
from apps.patient.storage.scanning import ScanBudget, Scans
from apps.patient.storage.versions import Version, version_of

# Above this a criterion leads only where no other leads to fewer.
PROBED_ROWS = 2_000
# What leads to no more is taken without counting the others further.
FEW_ROWS = 100
SEARCH_SECONDS = 8.0
# What can be walked in the order of an index.
_SORTED_TABLES = {
    "date": ("resource_date", "low", "bigint"),
    "string": ("resource_string", "value", "text"),
    "number": ("resource_quantity", "low", "numeric"),
    "quantity": ("resource_quantity", "low", "numeric"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where a page ended: which of the search's index ranges, and the row in it."""

    type_index: int
    leader_index: int
    walk_index: int
    position: Any
    number: int
    # How many steps the search had: None where a mark goes on by its position alone.
    steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A matching version, and its number."""

    version: Version
    number: int


@dataclass(slots=True, kw_only=True)
class Plan:
    """A type's search: its criteria in order, and the index of the one that leads (-1: none)."""

    resource_type: str
    criteria: list[Criterion]
    leader_index: int = -1
    # Whether the leader gives few enough candidates to be sorted.
    is_small: bool = False

    @property
    def leader(self) -> Criterion | None:
        return None if self.leader_index < 0 else self.criteria[self.leader_index]

    @property
    def rest(self) -> Criterion:
        return rest_of(self.criteria, self.leader)


async def make_plan(
    connection: Connection,
    resource_type: str,
    criterion: Criterion,
    *,
    scans: Scans,
    leader_index: int | None = None,
    is_sorted: bool = False,
) -> Plan:
    """Returns the plan; `leader_index` of an earlier page is taken as it is."""
    resolved = await resolve(connection, resource_type, criterion, scans)
    criteria = merged_dates(flatten(resolved), single_valued_date_keys(resource_type))
    plan = Plan(resource_type=resource_type, criteria=criteria)
    leaders = [index for index, item in enumerate(criteria) if can_lead(item)]
    narrow = [index for index in leaders if is_narrow(criteria[index])]
    if leader_index is not None and leader_index < 0:
        plan.is_small = False
        return plan
    if leader_index is not None:
        if leader_index not in leaders:
            raise search_changed()
        plan.leader_index = leader_index
        return plan
    if narrow and not is_sorted:
        plan.leader_index = narrow[0]
    elif len(leaders) == 1 and not is_sorted:
        plan.leader_index = leaders[0]
    elif leaders:
        counts = await _count_candidates(connection, plan, leaders, FEW_ROWS)
        if min(counts.values()) > FEW_ROWS:
            counts = await _count_candidates(connection, plan, leaders, PROBED_ROWS)
        # Of equals an exact value is first: its rows come in the order of the pages.
        best = min(
            leaders, key=lambda index: (counts[index], not isinstance(criteria[index], Exact))
        )
        plan.leader_index = best
        plan.is_small = counts[best] <= PROBED_ROWS
    return plan


def can_lead(criterion: Criterion) -> bool:
    """Tells whether a criterion leads: alternatives do if each of them does."""
    if isinstance(criterion, AnyOf):
        return all(can_lead(item) for item in criterion.criteria)
    return leads(criterion)


def is_narrow(criterion: Criterion) -> bool:
    if isinstance(criterion, AnyOf):
        return all(is_narrow(item) for item in criterion.criteria)
    return (
        leads(criterion)
        and (not isinstance(criterion, Exact) or criterion.is_narrow)
        and (not isinstance(criterion, (DateRange, NumberRange, Updated, WholeText, Words)))
    )


async def _count_candidates(
    connection: Connection, plan: Plan, leaders: Sequence[int], most: int
) -> dict[int, int]:
    """Returns how many rows each leads to, up to one above `most`."""
    sql = Sql()
    parts = []
    limit = sql.argument(most + 1, "bigint")
    for index in leaders:
        rows = range_statement(sql, plan.resource_type, plan.criteria[index], limit)
        parts.append(f"(SELECT count(*) FROM ({rows}) AS c)")
    row = await _fetch(connection, f"SELECT {', '.join(parts)}", sql)
    return dict(zip(leaders, row[0], strict=True))


def _candidates(sql: Sql, resource_type: str, leader: Criterion | None) -> str:
    if isinstance(leader, AnyOf):
        if not leader.criteria:
            return "SELECT 0::bigint AS number WHERE false"
        parts = [_candidates(sql, resource_type, item) for item in leader.criteria]
        return " UNION ".join(f"({part})" for part in parts)
    return candidates_statement(sql, resource_type, leader)


async def _fetch(connection: Connection, statement: str, sql: Sql) -> list[Any]:
    text, arguments = sql.used(statement)
    try:
        rows: list[Any] = await connection.fetch(text, *arguments, timeout=SEARCH_SECONDS)
    except TimeoutError:
        raise BadRequest(
            "too_costly", "this search takes too long; narrow it, for example by patient or date"
        ) from None
    return rows


async def count_matches(connection: Connection, plan: Plan) -> int:
    """Returns how many resources match."""
    if plan.criteria == [NOTHING]:
        return 0
    sql = Sql()
    candidates = _candidates(sql, plan.resource_type, plan.leader)
    rest = condition(sql, plan.rest)
    statement = f"SELECT count(*) FROM ({candidates}) AS k"
    if rest != "true":
        statement += (
            " CROSS JOIN LATERAL (SELECT FROM resource r WHERE r.number = k.number"
            f" AND {rest} OFFSET 0) AS r"
        )
    rows = await _fetch(connection, statement, sql)
    return int(rows[0][0])


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
    return await _fetch(connection, statement, sql)


def _ordered(walk: Walk, sort: SortKey | None) -> Walk:
    return walk if sort is None else replace(walk, descending=sort.descending)


def _sorted_statement(sql: Sql, resource_type: str, step: Step, page: Page) -> str:
    """Returns the statement that sorts all candidates; for a plan that has few of them.

    Only the rows of the page are read: what is sorted are numbers and positions.
    """
    assert step.sort is not None
    way, sign = ("DESC", "<") if step.sort.descending else ("ASC", ">")
    candidates = _candidates(sql, resource_type, step.leader)
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


def found_of(row: Any) -> Found:
    return Found(version=version_of(row[1:8]), number=row[0])


async def read_page(
    connection: Connection,
    criteria: Sequence[tuple[str, Criterion]],
    sort: SortKey | None,
    mark: Mark | None,
    limit: int,
    *,
    scans: Scans,
) -> tuple[list[Found], Mark | None]:
    """Returns up to `limit` matches behind `mark`, type after type, and the mark of
    the next page.
    """
    found: list[Found] = []
    last: Mark | None = None
    for type_index in range(mark.type_index if mark else 0, len(criteria)):
        resource_type, criterion = criteria[type_index]
        if criterion == NOTHING:
            continue
        here = mark if mark and mark.type_index == type_index else None
        plan = await make_plan(
            connection,
            resource_type,
            criterion,
            leader_index=here.leader_index if here and sort is None else None,
            is_sorted=sort is not None,
            scans=scans,
        )
        steps = steps_of(plan, sort)
        if here and sort is not None:
            # A sorted search goes on as it began, however many candidates there are by now.
            plan.is_small = here.leader_index == 1
            steps = steps_of(plan, sort)
        if here and (here.walk_index >= len(steps) or here.steps not in (None, len(steps))):
            # What a chain may lead to has come or gone: the index ranges are others.
            raise search_changed()
        for walk_index in range(here.walk_index if here else 0, len(steps)):
            is_resumed = here is not None and walk_index == here.walk_index
            page = Page(
                position=here.position if here and is_resumed else None,
                number=here.number if here and is_resumed else None,
                limit=limit + 1 - len(found),
            )
            rows = await read_step(connection, resource_type, steps[walk_index], page)
            for row in rows:
                if len(found) == limit:
                    return found, last
                found.append(found_of(row))
                last = Mark(
                    type_index=type_index,
                    leader_index=plan.leader_index if sort is None else int(plan.is_small),
                    walk_index=walk_index,
                    position=row[8],
                    number=row[0],
                    steps=len(steps),
                )
    return found, None


async def select_matches(
    connection: Connection,
    resource_type: str,
    criterion: Criterion,
    budget: ScanBudget,
    limit: int = 2,
) -> list[Version]:
    """Returns the first matches, for a condition that asks whether it is none, one or
    more. Not audited.
    """
    scans = Scans(budget)
    found, _ = await read_page(
        connection, [(resource_type, criterion)], None, None, limit, scans=scans
    )
    return [item.version for item in found]


def is_sortable(parameter_kind: str, code: str) -> bool:
    return code == "_lastUpdated" or parameter_kind in _SORTED_TABLES


def sortable(resource_type: str) -> list[str]:
    """Returns the parameters that a type may be sorted by."""
    return [
        code
        for code, parameter in search_parameters(resource_type).items()
        if is_sortable(parameter.kind, code)
    ]
