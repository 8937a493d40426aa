"""The sealing of the ledger: by one at a time, whole or not at all, whatever fails meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from apps.billing.charges.consumer import caller_of
from apps.billing.ledger import chain
from apps.billing.ledger.postings import LedgerAccount, make_posting
from apps.billing.ledger.storage import post
from apps.kit.database import Database, DatabaseSettings, open_database
from apps.kit.errors import Unavailable
from apps.kit.tasks import running
from tests.billing.waiting import until_blocked

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]

BANK, CARD = LedgerAccount("bank", "USD"), LedgerAccount("card", "USD")


@pytest.fixture
def urls(make_database: Any) -> Iterator[tuple[str, str]]:
    with make_database("billing") as found:
        yield found


@pytest.fixture
async def database(urls: tuple[str, str]) -> AsyncIterator[Database]:
    """A ledger with one transaction, not sealed yet."""
    async with open_database(DatabaseSettings(urls[0])) as opened:
        await transfer(opened)
        yield opened


async def transfer(database: Database) -> None:
    async with database.transaction() as connection:
        posting = make_posting("adjustment", [(BANK, 5), (CARD, -5)])
        await post(connection, caller_of("test"), [posting])


async def sealed(database: Database) -> tuple[int, int]:
    """How many blocks there are, and how many transactions are sealed."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM ledger_block), (SELECT count(*) FROM ledger_seal)"
        )
    return int(row[0]), int(row[1])


async def until_sealed(database: Database, blocks: int) -> None:
    async with asyncio.timeout(20):
        while (await sealed(database))[0] < blocks:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_one_seals_at_a_time(database: Database) -> None:
    async with database.transaction() as first, database.transaction() as second:
        assert await chain.seal_block(first, everything=True) == 1
        assert await chain.seal_block(second, everything=True) == 0
    async with database.transaction() as connection:
        assert await chain.seal_block(connection, everything=True) == 0
    assert await sealed(database) == (1, 1)


async def test_block_is_written_with_its_seals_or_not_at_all(
    database: Database, urls: tuple[str, str]
) -> None:
    owner = await asyncpg.connect(urls[1])
    async with owner.transaction():
        await owner.execute("LOCK TABLE ledger_seal IN SHARE ROW EXCLUSIVE MODE")
        sealing = asyncio.create_task(chain.seal_forever(database))
        await until_blocked(database, [sealing])
        sealing.cancel()
        await asyncio.wait([sealing])
    await owner.close()
    assert await sealed(database) == (0, 0)
    async with running(chain.seal_forever(database)):
        await until_sealed(database, 1)
    assert await sealed(database) == (1, 1)


@pytest.mark.parametrize("error", [Unavailable("database_unavailable"), ValueError("odd")])
async def test_sealing_goes_on_after_an_error(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(chain, "SEAL_PERIOD_SECONDS", 0.01)
    seal, failures = chain.seal_block, [error, error]

    async def fail_first(connection: Any, *, everything: bool) -> int:
        if failures:
            raise failures.pop()
        return await seal(connection, everything=everything)

    monkeypatch.setattr(chain, "seal_block", fail_first)
    async with running(chain.seal_forever(database)):
        await until_sealed(database, 1)
        await transfer(database)
        await until_sealed(database, 2)
    assert await sealed(database) == (2, 2)
    async with database.connection() as connection:
        assert await chain.verify_chain(connection) == []
