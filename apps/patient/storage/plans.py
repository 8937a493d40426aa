"""Plans a search: resolves its chains and texts, and chooses the criterion that leads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.kit.database import Connection
from apps.kit.errors import BadRequest
from apps.patient.search.criteria.criteria import (
    AnyOf,
    Criterion,
    DateRange,
    Exact,
    NumberRange,
    Updated,
    WholeText,
    Words,
)
from apps.patient.search.index.single_valued import single_valued_date_keys
from apps.patient.search.reading.cursors import search_changed
from apps.patient.search.statements.leaders import flatten, leads, merged_dates, rest_of
from apps.patient.search.statements.sql import Sql
from apps.patient.search.statements.statements import range_statement
from apps.patient.storage.resolving import resolve
from apps.patient.storage.scanning import Scans

# Above this a criterion leads only where no other leads to fewer.
PROBED_ROWS = 2_000
# What leads to no more is taken without counting the others further.
FEW_ROWS = 100
SEARCH_SECONDS = 8.0


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
    row = await fetch_rows(connection, f"SELECT {', '.join(parts)}", sql)
    return dict(zip(leaders, row[0], strict=True))


async def fetch_rows(connection: Connection, statement: str, sql: Sql) -> list[Any]:
    text, arguments = sql.used(statement)
    try:
        rows: list[Any] = await connection.fetch(text, *arguments, timeout=SEARCH_SECONDS)
    except TimeoutError:
        raise BadRequest(
            "too_costly", "this search takes too long; narrow it, for example by patient or date"
        ) from None
    return rows
