"""What billing does by itself: it ships its first prices once, and waits for what is away."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from apps.billing import housekeeping
from apps.billing.books import Books
from apps.billing.housekeeping import keep_house
from apps.billing.settings import Settings
from apps.kit.database import DatabaseSettings, open_database
from apps.kit.errors import Unavailable
from apps.kit.tasks import running
from tests.billing.conftest import ENVIRONMENT
from tests.billing.waiting import until_blocked

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]


@pytest.fixture
async def books(make_database: Any) -> AsyncIterator[Books]:
    with make_database("billing") as (url, _):
        async with open_database(DatabaseSettings(url)) as database:
            yield Books(database, Settings.from_environment(ENVIRONMENT))


async def prices(books: Books) -> int:
    async with books.database.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM price"))


async def until_shipped(books: Books) -> None:
    async with asyncio.timeout(20):
        while not await prices(books):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_prices_are_shipped_with_the_first_cleaning_or_not_at_all(books: Books) -> None:
    async with books.database.transaction() as connection:
        await connection.execute("LOCK TABLE request IN ACCESS EXCLUSIVE MODE")
        keeping = asyncio.create_task(keep_house(books))
        await until_blocked(books.database, [keeping])
        keeping.cancel()
        await asyncio.wait([keeping])
    assert await prices(books) == 0
    async with running(keep_house(books)):
        await until_shipped(books)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Unavailable("database_unavailable"), "housekeeping waits"),
        (ValueError("odd"), "housekeeping failed"),
    ],
)
async def test_housekeeping_goes_on_after_an_error(
    books: Books,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    message: str,
) -> None:
    monkeypatch.setattr(housekeeping, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(housekeeping, "CLEANING_SECONDS", 0.01)
    caplog.set_level(logging.INFO)
    clean, failures, cleaned = housekeeping.delete_old_requests, [error], asyncio.Event()

    async def fail_first(connection: Any) -> None:
        if failures:
            raise failures.pop()
        await clean(connection)
        if await connection.fetchval("SELECT EXISTS (SELECT FROM price)"):
            cleaned.set()

    monkeypatch.setattr(housekeeping, "delete_old_requests", fail_first)
    async with asyncio.timeout(20), running(keep_house(books)):
        for _ in range(3):
            cleaned.clear()
            await cleaned.wait()
    told = [record.getMessage() for record in caplog.records]
    assert message in told
    assert told.count("price list shipped") >= 1
