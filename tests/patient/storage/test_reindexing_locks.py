"""Reindexing among writers and other replicas."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from apps.kit.database import Connection, DatabaseSettings, open_database
from apps.patient.storage.backfill import running_backfill
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.reading import select_current, select_stored
from apps.patient.storage.reindexing import Reindexing, request_reindexing, running_reindexing
from apps.patient.storage.versions import Author, change_of
from apps.patient.storage.writing import TextCache, Writer
from tests.patient.patient_service import PUBLIC_URL
from tests.patient.relay.outbox import until
from tests.waiting import LOCK_WAITS

AUTHOR = Author("actor", "client", "request", "")
BASE = f"{PUBLIC_URL}/fhir/R4"
_FREE = "SELECT count(*) FROM (SELECT FROM record_layout FOR UPDATE SKIP LOCKED) AS l"


def writer() -> Writer:
    return Writer(NumberBlocks("resource_number"), TextCache())


async def write(connection: Connection, name: str) -> None:
    change = change_of(
        {"resourceType": "Organization", "name": name},
        id="g",
        method="PUT",
        base_url=BASE,
        stored=await select_stored(connection, "Organization", "g"),
    )
    await writer().write(connection, [change], AUTHOR)


@pytest.fixture
def database_url(make_database: Any) -> Iterator[str]:
    """A database of its own: elsewhere a running service indexes."""
    with make_database("patient") as (runtime_url, _):
        yield runtime_url


@asynccontextmanager
async def blocked(work: Awaitable[Any], observer: Connection) -> AsyncIterator[None]:
    """Has `work` wait for a lock while the block runs, and awaits it afterwards."""
    task = asyncio.ensure_future(work)

    async def waits() -> bool:
        assert not task.done(), "it did not wait"
        return bool(await observer.fetch(LOCK_WAITS))

    await until(waits)
    yield
    async with asyncio.timeout(15):
        await task


@pytest.mark.integration
async def test_change_that_is_being_committed_is_indexed_and_not_undone(database_url: str) -> None:
    other, observer = [await asyncpg.connect(database_url) for _ in range(2)]
    async with open_database(DatabaseSettings(database_url)) as database:
        await write(other, "Before")
        await request_reindexing(other)
        change = other.transaction()
        await change.start()
        await write(other, "After")
        batch = Reindexing(database, writer(), BASE).run_batch()
        async with blocked(batch, observer):
            # No other replica works on the same rows until this one has committed.
            assert await observer.fetchval(_FREE) == 0
            await change.commit()
        current = await select_current(observer, "Organization", "g")
    for connection in (other, observer):
        await connection.close()
    assert current is not None
    assert (current.version_id, '"After"' in (current.body or "")) == (2, True)


class Endless:
    """Work without an end of its own."""

    ended = False

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


@pytest.mark.parametrize("running", [running_backfill, running_reindexing])
async def test_work_ends_with_the_service(running: Any) -> None:
    work = Endless()
    async with running(work):
        await asyncio.sleep(0)
        assert not work.ended
    assert work.ended
