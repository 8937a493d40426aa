"""Plans of searches: each follows its index, whatever the statistics say."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from apps.kit.errors import BadRequest
from apps.patient.search.criteria.criteria import Words
from apps.patient.search.index.hashing import parameter_key
from apps.patient.search.reading.reader import Reader
from apps.patient.search.statements.sql import Sql
from apps.patient.storage.audit_events import AuditFilter, select_audit_rows
from apps.patient.storage.planner import PLANNER_SETTINGS, with_bitmaps
from apps.patient.storage.plans import FEW_ROWS, PROBED_ROWS, fetch_rows, make_plan
from apps.patient.storage.scanning import Scans
from apps.patient.storage.search import Mark, count_matches, read_page
from tests.bench.record import BASE, SEARCHES
from tests.patient.storage.failing import Failing

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

_COLLECTING = ("Seq Scan", "Bitmap Heap Scan", "Hash Join", "Merge Join")
# What has rows by value and by resource; `k` is what leads.
_VALUES = ("resource_date", "resource_string", "resource_quantity")
_ROWS = """
    INSERT INTO resource_date (key, number, low, high) SELECT n % 9, n, n, n
        FROM generate_series(1, 3000) AS n;
    INSERT INTO resource_quantity (key, number, low, high) SELECT n % 9, n, n, n
        FROM generate_series(1, 3000) AS n;
    INSERT INTO resource_string (key, number, part, is_whole, value) SELECT n % 9, n, 0, true, n
        FROM generate_series(1, 3000) AS n;
"""


class Recording:
    """A connection that keeps the plan of each statement before it runs it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.plans: list[Any] = []
        self.arguments: list[Any] = []

    async def fetch(self, statement: str, *arguments: Any, timeout: float | None = None) -> Any:
        self.arguments += arguments
        rows = await self._connection.fetch(
            f"EXPLAIN (FORMAT JSON, VERBOSE) {statement}", *arguments
        )
        self.plans.append(json.loads(rows[0][0])[0]["Plan"])
        return await self._connection.fetch(statement, *arguments, timeout=timeout)

    def transaction(self) -> Any:
        return self._connection.transaction()

    async def execute(self, statement: str) -> None:
        await self._connection.execute(statement)

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
    transaction = opened.transaction()
    await transaction.start()
    try:
        # A table of one page has no plan that costs more than another.
        await opened.execute(_ROWS)
        yield opened
    finally:
        await transaction.rollback()
        await opened.close()


async def test_bitmaps_are_for_a_block_alone(patient_database: str) -> None:
    connection = await asyncpg.connect(patient_database, server_settings=dict(PLANNER_SETTINGS))
    try:
        async with with_bitmaps(connection):
            assert await connection.fetchval("SHOW enable_bitmapscan") == "on"
        assert await connection.fetchval("SHOW enable_bitmapscan") == "off"
    finally:
        await connection.close()


@pytest.mark.parametrize(("name", "query"), [item for item in (*SEARCHES, *MORE) if "?" in item[1]])
async def test_search_scans_no_table(connection: Any, name: str, query: str) -> None:
    recording = Recording(connection)
    resource_type, _, text = query.format(**PERSON).partition("?")
    pairs = [(pair.partition("=")[0], pair.partition("=")[2]) for pair in text.split("&")]
    asked = Reader(base_url=BASE).read((resource_type,), pairs)
    criterion = asked.criteria[resource_type]
    sort = asked.sort[0] if asked.sort else None

    await read_page(recording, [(resource_type, criterion)], sort, None, 20, scans=Scans())
    await count_matches(
        recording, await make_plan(recording, resource_type, criterion, scans=Scans())
    )

    assert recording.plans
    for plan in recording.plans:
        for node in nodes(plan):
            # A bitmap would collect all that match before the first of them is given.
            assert node["Node Type"] not in _COLLECTING, node
            if node["Node Type"] in ("Index Scan", "Index Only Scan"):
                assert "Index Cond" in node, node
            if node.get("Relation Name") in _VALUES and not node["Alias"].startswith("k"):
                # By the index of the values it would walk all that match, for each candidate.
                assert node["Index Name"] == f"{node['Relation Name']}_number", node


async def test_audit_is_searched_by_its_entities(connection: Any) -> None:
    recording = Recording(connection)
    criteria = AuditFilter(entities=((("Patient", "p"),),), actors=(("user-1",),))
    await select_audit_rows(recording, criteria, None, 20)
    (plan,) = recording.plans
    used = [node.get("Index Name") for node in nodes(plan)]
    assert "audit_event_entities" in used
    assert "Seq Scan" not in [node["Node Type"] for node in nodes(plan)]


@pytest.mark.parametrize("sort", ["-date", "date", "-_lastUpdated", "value-quantity"])
async def test_candidates_are_sorted_before_they_are_read(connection: Any, sort: str) -> None:
    recording = Recording(connection)
    pairs = [("patient", "p"), ("status", "final"), ("_sort", sort)]
    asked = Reader(base_url=BASE).read(("Observation",), pairs)
    await read_page(
        recording,
        [("Observation", asked.criteria["Observation"])],
        asked.sort[0],
        None,
        20,
        scans=Scans(),
    )
    # The step that sorts: the page's rows are joined to what the limit leaves.
    plan = recording.plans[1]
    below_limit = [
        node for limit in nodes(plan) if limit["Node Type"] == "Limit" for node in nodes(limit)
    ]
    assert any(node["Node Type"] == "Sort" for node in below_limit)
    assert not any("packed" in str(node.get("Output")) for node in below_limit)


async def test_statements_are_planned_once_a_connection(connection: Any) -> None:
    for day in range(1, 10):
        pairs = [("patient", f"p{day}"), ("code", f"code-{day}"), ("date", f"ge2024-01-0{day}")]
        asked = Reader(base_url=BASE).read(("Observation",), pairs)
        await read_page(
            connection,
            [("Observation", asked.criteria["Observation"])],
            None,
            None,
            20,
            scans=Scans(),
        )
    rows = await connection.fetch(
        "SELECT generic_plans, custom_plans FROM pg_prepared_statements"
        " WHERE statement LIKE '%resource r%' AND statement NOT LIKE '%pg_prepared%'"
    )
    assert [tuple(row) for row in rows] == [(9, 0)]


async def test_targets_of_a_chain_are_counted_up_to_a_bound(connection: Any) -> None:
    recording = Recording(connection)
    asked = Reader(base_url=BASE).read(("Patient",), [("_has:Condition:patient:code", "1")])
    await make_plan(recording, "Patient", asked.criteria["Patient"], scans=Scans())
    kinds = {node["Node Type"] for node in nodes(recording.plans[0])}
    assert "Limit" in kinds
    # To sort or to hash them is to read them all.
    assert not kinds & {"Sort", "Unique", "Incremental Sort"}
    assert [node["Strategy"] for node in nodes(recording.plans[0]) if "Strategy" in node] == [
        "Plain"
    ]


@pytest.mark.parametrize(
    ("query", "walked"),
    [
        ("Patient?family=ab&given=cd", "k"),
        ("Observation?code=1&date=ge2021", "v"),
        ("Observation?date=ge2021&value-quantity=gt5", "k"),
    ],
)
async def test_candidates_fail_before_their_rows_are_read(
    connection: Any, query: str, walked: str
) -> None:
    recording = Recording(connection)
    resource_type, _, text = query.partition("?")
    pairs = [(pair.partition("=")[0], pair.partition("=")[2]) for pair in text.split("&")]
    asked = Reader(base_url=BASE).read((resource_type,), pairs)
    await read_page(
        recording, [(resource_type, asked.criteria[resource_type])], None, None, 20, scans=Scans()
    )
    filtered = {
        node["Alias"]
        for node in nodes(recording.plans[-1])
        if "EXISTS" in str(node.get("Filter")) or "SubPlan" in str(node.get("Filter"))
    }
    assert filtered == {walked}


async def test_rare_value_leads_and_others_are_counted_no_further(connection: Any) -> None:
    common, rare = (parameter_key("Patient", name) for name in ("given", "family"))
    await connection.execute(
        "INSERT INTO resource_string (key, number, part, is_whole, value)"
        " SELECT $1, n, 0, true, 'jo' FROM generate_series(1, 500) AS n",
        common,
    )
    recording = Recording(connection)
    asked = Reader(base_url=BASE).read(("Patient",), [("given", "jo"), ("family", "rare")])
    plan = await make_plan(recording, "Patient", asked.criteria["Patient"], scans=Scans())
    assert isinstance(plan.leader, Words) and plan.leader.key == rare
    assert FEW_ROWS + 1 in recording.arguments
    assert PROBED_ROWS + 1 not in recording.arguments


@pytest.mark.parametrize("index", [-1, 0, 1])
async def test_leader_of_an_earlier_page_stays(connection: Any, index: int) -> None:
    criterion = Reader(base_url=BASE).read(("Patient",), [("given", "a"), ("family", "b")])
    wanted = criterion.criteria["Patient"]
    plan = await make_plan(connection, "Patient", wanted, scans=Scans(), leader_index=index)
    assert plan.leader_index == index
    with pytest.raises(BadRequest, match="invalid_cursor"):
        await make_plan(connection, "Patient", wanted, scans=Scans(), leader_index=2)


async def test_mark_behind_the_last_step_is_refused(connection: Any) -> None:
    """The previous release's cursors do not tell how many steps there were."""
    criteria = Reader(base_url=BASE).read(("Observation",), [("patient", "p")]).criteria
    mark = Mark(type_index=0, leader_index=0, walk_index=1, position=None, number=0)
    with pytest.raises(BadRequest, match="invalid_cursor"):
        await read_page(connection, [*criteria.items()], None, mark, 20, scans=Scans())
    await read_page(
        connection, [*criteria.items()], None, replace(mark, walk_index=0), 20, scans=Scans()
    )


async def test_search_that_takes_too_long_is_too_costly() -> None:
    slow: Any = Failing(TimeoutError())
    with pytest.raises(BadRequest, match="too_costly"):
        await fetch_rows(slow, "SELECT 1", Sql())
