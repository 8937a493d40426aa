"""Plans of searches: each follows its index, whatever the statistics say."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from apps.patient.search.query import Reader
from apps.patient.storage.planner import PLANNER_SETTINGS
from apps.patient.storage.search import count_matches, make_plan, read_page
from tests.bench.record import BASE, SEARCHES

pytestmark = pytest.mark.integration

PERSON = {
    "patient": "p",
    "family": "family",
    "given": "given",
    "birth": "1980-01-01",
    "identifier": "urn:x|1",
}
MORE = (
    ("status", "Observation?status=final"),
    ("by encounter", "Observation?encounter=Encounter/1&_sort=date"),
    ("text", "Condition?code:text=heart"),
    ("alternatives", "Observation?code=1,2,3&date=2020,2021"),
    ("last update", "Condition?_lastUpdated=ge2020"),
    ("by value", "Observation?value-quantity=gt5"),
    ("period", "Encounter?date=ge2020&date=lt2021"),
    ("several steps", "Observation?encounter.service-provider.name=x"),
)


class Recording:
    """A connection that keeps the plan of each statement before it runs it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.plans: list[Any] = []

    async def fetch(self, statement: str, *arguments: Any, timeout: float | None = None) -> Any:
        rows = await self._connection.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
        self.plans.append(json.loads(rows[0][0])[0]["Plan"])
        return await self._connection.fetch(statement, *arguments, timeout=timeout)

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        rows = await self.fetch(statement, *arguments)
        return rows[0][0]


def nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.fixture
async def connection(patient_database: str) -> AsyncIterator[Any]:
    opened = await asyncpg.connect(patient_database, server_settings=dict(PLANNER_SETTINGS))
    try:
        yield opened
    finally:
        await opened.close()


@pytest.mark.parametrize(("name", "query"), [item for item in (*SEARCHES, *MORE) if "?" in item[1]])
async def test_search_scans_no_table(connection: Any, name: str, query: str) -> None:
    recording = Recording(connection)
    resource_type, _, text = query.format(**PERSON).partition("?")
    pairs = [(pair.partition("=")[0], pair.partition("=")[2]) for pair in text.split("&")]
    asked = Reader(base_url=BASE).read((resource_type,), pairs)
    criterion = asked.criteria[resource_type]
    sort = asked.sort[0] if asked.sort else None

    await read_page(recording, [(resource_type, criterion)], sort, None, 20)
    await count_matches(recording, await make_plan(recording, resource_type, criterion))

    assert recording.plans
    for plan in recording.plans:
        for node in nodes(plan):
            assert node["Node Type"] not in ("Seq Scan", "Hash Join", "Merge Join"), node
            if node["Node Type"] in ("Index Scan", "Index Only Scan"):
                assert "Index Cond" in node, node
