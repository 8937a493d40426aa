"""What is read is recorded before it is told, many reads in one commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from apps.kit.database import Database, DatabaseSettings, open_database
from apps.kit.errors import Unavailable
from apps.patient.storage import read_audit as read_audits
from apps.patient.storage.read_audit import ReadAudit, ReadEntry, open_read_audit
from apps.patient.storage.reading import read_patient_view
from apps.patient.storage.versions import Author
from tests.patient.patient_service import Service, run

AUTHOR = Author("user-1", "client-1", "request-1", "")


def entry(id: str = "p", action: str = "read", author: Author = AUTHOR) -> ReadEntry:
    return ReadEntry(action, author, "Patient", id, 1, id)


class FakeDatabase(Database):
    """Writes when it is let go; fails as it is told. `batches`: the ids of each
    statement's entries.
    """

    def __init__(self, failure: Exception | None = None) -> None:
        self.batches: list[list[str]] = []
        self.failure = failure
        self.go_on = asyncio.Event()
        self.go_on.set()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        yield self

    async def execute(self, sql: str, *columns: Any) -> None:
        self.batches.append(list(columns[5]))
        await self.go_on.wait()
        if self.failure and ("bad" in columns[5] or "all" in str(self.failure)):
            raise self.failure

    async def fetchrow(self, sql: str, *arguments: Any) -> Any:
        return {"summary": "{}", "version_id": 1}


async def test_reads_that_come_during_a_write_share_the_next_one() -> None:
    database = FakeDatabase()
    database.go_on.clear()
    read_audit = ReadAudit(database)
    reads = [asyncio.create_task(read_audit.record(entry("first")))]
    await asyncio.sleep(0.01)
    reads += [
        asyncio.create_task(read_audit.record(entry(str(number)), entry("again")))
        for number in range(5)
    ]
    await asyncio.sleep(0.01)
    assert not any(read.done() for read in reads)
    database.go_on.set()
    await asyncio.gather(*reads)
    assert database.batches == [
        ["first"],
        ["0", "again", "1", "again", "2", "again", "3", "again", "4", "again"],
    ]


async def test_batch_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_audits, "MAX_BATCH_READS", 3)
    database = FakeDatabase()
    read_audit = ReadAudit(database)
    await asyncio.gather(*(read_audit.record(entry(str(number))) for number in range(7)))
    assert [len(batch) for batch in database.batches] == [3, 3, 1]


async def test_read_that_cannot_be_recorded_is_not_told() -> None:
    read_audit = ReadAudit(FakeDatabase(Unavailable("all_away")))
    with pytest.raises(Unavailable):
        await read_patient_view(read_audit, "p", AUTHOR)
    # Each has an error of its own, and the next is tried anew.
    outcomes = await asyncio.gather(
        *(read_audit.record(entry()) for _ in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    assert len({id(outcome) for outcome in outcomes}) == 3


async def test_too_many_waiting_reads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_audits, "MAX_WAITING_READS", 3)
    database = FakeDatabase()
    database.go_on.clear()
    read_audit = ReadAudit(database)
    reads = [asyncio.create_task(read_audit.record(entry()))]
    await asyncio.sleep(0.01)
    reads += [asyncio.create_task(read_audit.record(entry())) for _ in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable):
        await read_audit.record(entry())
    database.go_on.set()
    await asyncio.gather(*reads)


async def test_entry_that_cannot_be_written_holds_up_itself_alone() -> None:
    database = FakeDatabase(asyncpg.CheckViolationError("bad"))
    read_audit = ReadAudit(database)
    outcomes = await asyncio.gather(
        *(read_audit.record(entry(id)) for id in ("1", "bad", "2")), return_exceptions=True
    )
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1], asyncpg.CheckViolationError)


async def test_caller_who_hangs_up_holds_up_nobody() -> None:
    database = FakeDatabase()
    database.go_on.clear()
    read_audit = ReadAudit(database)
    gone, other = (asyncio.create_task(read_audit.record(entry(id))) for id in ("gone", "other"))
    await asyncio.sleep(0.01)
    gone.cancel()
    database.go_on.set()
    async with asyncio.timeout(5):
        await other
        await read_audit.record(entry("next"))
    assert gone.cancelled()


async def test_stop_waits_for_what_is_being_written() -> None:
    database = FakeDatabase()
    database.go_on.clear()
    async with open_read_audit(database) as read_audit:
        reading = asyncio.create_task(read_audit.record(entry()))
        await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.05, database.go_on.set)
    assert len(database.batches) == 1
    await reading


@pytest.mark.integration
def test_every_column_arrives(service: Service) -> None:
    author = Author("someone", "some-client", "read_audit-columns", "")
    searched = ReadEntry(
        "search", author, "Patient", query="name=a&_count=2", returned_ids=["b", "a"]
    )
    nothing = ReadEntry("search", author, "Condition", returned_ids=[])

    async def record() -> None:
        async with open_database(DatabaseSettings(service.database_url)) as database:
            read_audit = ReadAudit(database)
            await asyncio.gather(
                read_audit.record(entry("x", author=author), searched), read_audit.record(nothing)
            )
            with pytest.raises(asyncpg.CheckViolationError):
                await read_audit.record(entry("y", "nonsense", author))

    run(record())
    rows = service.sql(
        "SELECT * FROM audit_event WHERE request_id = 'read_audit-columns' ORDER BY id"
    )
    assert {(row["actor_id"], row["client_id"]) for row in rows} == {("someone", "some-client")}
    names = (
        "action",
        "resource_type",
        "resource_id",
        "version_id",
        "patient_id",
        "query",
        "returned_ids",
    )
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("read", "Patient", "x", 1, "x", None, None),
        ("search", "Patient", None, None, None, "name=a&_count=2", ["b", "a"]),
        ("search", "Condition", None, None, None, None, []),
    ]
