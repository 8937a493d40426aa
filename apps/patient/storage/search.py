"""Runs searches: reads a page of what matches, and counts it (decision 0306)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.kit.database import Connection
from apps.patient.search.criteria.criteria import NOTHING, Criterion
from apps.patient.search.criteria.query import SortKey
from apps.patient.search.reading.cursors import search_changed
from apps.patient.search.statements.sql import Sql, condition
from apps.patient.search.statements.statements import Page
from apps.patient.storage.plans import Plan, fetch_rows, make_plan
from apps.patient.storage.scanning import ScanBudget, Scans
from apps.patient.storage.steps import candidates_of, read_step, steps_of
from apps.patient.storage.versions import Version, version_of


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


async def count_matches(connection: Connection, plan: Plan) -> int:
    """Returns how many resources match."""
    if plan.criteria == [NOTHING]:
        return 0
    sql = Sql()
    candidates = candidates_of(sql, plan.resource_type, plan.leader)
    rest = condition(sql, plan.rest)
    statement = f"SELECT count(*) FROM ({candidates}) AS k"
    if rest != "true":
        statement += (
            " CROSS JOIN LATERAL (SELECT FROM resource r WHERE r.number = k.number"
            f" AND {rest} OFFSET 0) AS r"
        )
    rows = await fetch_rows(connection, statement, sql)
    return int(rows[0][0])


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
