"""A database that fails under the audit of reads: nobody is told unrecorded, nobody waits for the
others' attempts.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.kit.database import Database, DatabaseSettings, open_database
from apps.kit.errors import Unavailable
from apps.patient.storage.read_audit import ReadAudit, ReadEntry
from apps.patient.storage.versions import Author
from tests.patient.patient_service import Service, run


def entry(id: str, request_id: str = "r") -> ReadEntry:
    return ReadEntry("read", Author("user-1", "client-1", request_id, ""), "Patient", id, 1, id)


class Failing(Database):
    """Refuses statements that hold one of `bad`, and those of the numbers in `away`, as a
    failing server does.
    """

    def __init__(self, bad: Sequence[str], away: Sequence[int], error: Exception) -> None:
        self.bad, self.away, self.error = bad, away, error
        self.statements = 0
        self.committed: list[str] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        yield self

    async def execute(self, sql: str, *columns: Any) -> None:
        self.statements += 1
        number = self.statements
        await asyncio.sleep(0)
        if number in self.away:
            raise self.error
        if set(columns[5]) & set(self.bad):
            raise asyncpg.CheckViolationError("bad")
        self.committed += columns[5]


async def record_all(read_audit: ReadAudit, ids: Sequence[str]) -> list[BaseException | None]:
    return await asyncio.gather(
        *(read_audit.record(entry(id)) for id in ids), return_exceptions=True
    )


IDS = [str(number) for number in range(40)]


@settings(max_examples=80, deadline=None)
@given(
    bad=st.sets(st.sampled_from(IDS), max_size=4),
    away=st.sets(st.integers(1, 12), max_size=3),
    gone=st.sets(st.sampled_from(IDS), max_size=5),
)
def test_a_read_is_told_exactly_where_its_entry_was_committed(
    bad: set[str], away: set[int], gone: set[str]
) -> None:
    async def record() -> None:
        database = Failing(list(bad), list(away), Unavailable("database_unavailable"))
        read_audit = ReadAudit(database)
        reads = {id: asyncio.create_task(read_audit.record(entry(id))) for id in IDS}
        await asyncio.sleep(0)
        for id in gone:
            reads[id].cancel()
        async with asyncio.timeout(5):
            outcomes = await asyncio.gather(*reads.values(), return_exceptions=True)
            await read_audit.settle()
        told = {id for id, outcome in zip(reads, outcomes, strict=True) if outcome is None}
        assert told == set(database.committed) - gone
        assert not told & bad
        if not away:
            assert told == set(IDS) - bad - gone

    asyncio.run(record())


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ReadOnlySQLTransactionError("away"),
        asyncpg.QueryCanceledError("slow"),
        Unavailable("away"),
    ],
)
async def test_server_that_fails_is_asked_once_and_not_for_each_that_waits(
    error: Exception,
) -> None:
    database = Failing([], range(1, 1000), error)
    outcomes = await record_all(ReadAudit(database), IDS)
    assert all(isinstance(outcome, type(error)) for outcome in outcomes)
    assert database.statements == 1


async def test_entry_at_fault_costs_the_others_few_statements() -> None:
    database = Failing(["7"], [], Unavailable("away"))
    outcomes = await record_all(ReadAudit(database), IDS)
    assert [outcome is None for outcome in outcomes] == [id != "7" for id in IDS]
    assert database.statements <= 14


@pytest.mark.integration
def test_what_postgresql_refuses_of_an_entry_is_that_entrys_fault(service: Service) -> None:
    async def record() -> list[BaseException | None]:
        async with open_database(DatabaseSettings(service.database_url)) as database:
            read_audit = ReadAudit(database)
            odd = [
                entry("a\0b", "odd-1"),
                entry("\ud800", "odd-1"),
                ReadEntry("nonsense", entry("x").author, "Patient"),
            ]
            good = [entry(str(number), "odd-1") for number in range(5)]
            return await asyncio.gather(
                *(read_audit.record(one) for one in (*odd, *good)), return_exceptions=True
            )

    outcomes = run(record())
    assert [outcome is None for outcome in outcomes] == [False] * 3 + [True] * 5
    rows = service.sql("SELECT resource_id FROM audit_event WHERE request_id = 'odd-1'")
    assert {row["resource_id"] for row in rows} == set("01234")
