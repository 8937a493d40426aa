"""The ledger under many writers: balances, their order, and what they were at any moment."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from apps.billing.charges.consumer import caller_of
from apps.billing.ledger.chain import seal_block, verify_chain
from apps.billing.ledger.postings import LedgerAccount, make_posting
from apps.billing.ledger.reconcile import reconcile
from apps.billing.ledger.storage import post, select_balance
from apps.kit.database import Database, DatabaseSettings, open_database

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]

CALLER = caller_of("test")
ACCOUNTS = [LedgerAccount("revenue", "USD", name=f"group-{number}") for number in range(10)]
OPENING = 1_000


@pytest.fixture(scope="module")
def url(make_database: Any) -> Iterator[str]:
    with make_database("billing") as (runtime_url, _):
        yield runtime_url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with open_database(DatabaseSettings(url)) as opened:
        yield opened


async def total(database: Database) -> tuple[int, int]:
    """The sum of all balances, and of all entries, as one moment has them."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            """
            SELECT (SELECT coalesce(sum(balance), 0) FROM ledger_account WHERE kind = 'revenue'),
                   (SELECT coalesce(sum(CASE side WHEN 'D' THEN e.amount ELSE -e.amount END), 0)
                    FROM ledger_entry e JOIN ledger_account USING (ledger_account_id) WHERE kind = 'revenue')"""
        )
    return int(row[0]), int(row[1])


async def test_bank_keeps_its_total_whoever_transfers_what_at_once(database: Database) -> None:
    async with database.transaction() as connection:
        opening = [
            make_posting(
                "adjustment", [(account, OPENING), (LedgerAccount("bank", "USD"), -OPENING)]
            )
            for account in ACCOUNTS
        ]
        await post(connection, CALLER, opening)
    expected = (OPENING * len(ACCOUNTS),) * 2
    done = asyncio.Event()
    seen: list[tuple[int, int]] = []

    async def transfer_often(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(25):
            pairs = [chance.sample(ACCOUNTS, 2) for _ in range(chance.randint(1, 4))]
            amount = chance.randint(1, 50)
            postings = [
                make_posting("adjustment", [(taken, -amount), (given, amount)])
                for taken, given in pairs
            ]
            async with database.transaction() as connection:
                await post(connection, CALLER, postings)

    async def watch() -> None:
        while not done.is_set():
            seen.append(await total(database))

    watcher = asyncio.create_task(watch())
    # Locks are taken in sorted order: however they meet, none deadlocks.
    await asyncio.gather(*(transfer_often(seed) for seed in range(8)))
    done.set()
    await watcher
    assert len(seen) > 5
    assert set(seen) == {expected}
    async with database.connection() as connection:
        assert await reconcile(connection, ("transaction_not_sealed",)) == []


async def test_balance_at_a_moment_is_the_sum_of_what_counts_before_it(database: Database) -> None:
    chance = random.Random(7)
    account = LedgerAccount("receivable", "USD", await open_account(database))
    other = LedgerAccount("card", "USD")
    begin = datetime.now(UTC)
    for _ in range(40):
        shift = chance.choice([None, -40, -10, -1, 10])
        effective_at = begin + timedelta(days=shift) if shift else None
        amount = chance.randint(1, 1_000)
        posting = make_posting(
            "adjustment", [(account, amount), (other, -amount)], effective_at=effective_at
        )
        async with database.transaction() as connection:
            await post(connection, CALLER, [posting])
    async with database.connection() as connection:
        moments = [
            begin + timedelta(days=day, minutes=1) for day in (-50, -40, -20, -10, -5, 0, 9, 11)
        ]
        moments += [
            row["posted_at"]
            for row in await connection.fetch(
                "SELECT posted_at FROM ledger_entry WHERE ledger_account_id = $1", account.id
            )
        ]
        for moment in moments:
            expected = await connection.fetchval(
                """
                SELECT coalesce(sum(CASE side WHEN 'D' THEN amount ELSE -amount END), 0) FROM ledger_entry
                WHERE ledger_account_id = $1 AND effective_at < $2""",
                account.id,
                moment,
            )
            assert await select_balance(connection, account.id, moment) == expected
        now = await select_balance(connection, account.id)
        assert now == await select_balance(connection, account.id, begin + timedelta(days=365))


async def open_account(database: Database) -> Any:
    account_id = uuid4()
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO account (account_id, patient_id, status, currency, version)
            VALUES ($1, $2, 'active', 'USD', 1)""",
            account_id,
            str(account_id),
        )
    return account_id


async def test_blocks_chain_every_transaction_once(database: Database) -> None:
    async def transfer() -> None:
        posting = make_posting("adjustment", [(ACCOUNTS[0], 5), (ACCOUNTS[1], -5)])
        async with database.transaction() as connection:
            await post(connection, CALLER, [posting])

    for _ in range(3):
        await transfer()
        async with database.transaction() as connection:
            assert await seal_block(connection, everything=True) > 0
    async with database.transaction() as connection:
        assert await seal_block(connection, everything=False) == 0
        assert await verify_chain(connection) == []
        assert await connection.fetchval(
            "SELECT count(*) = (SELECT count(*) FROM ledger_seal) FROM ledger_transaction"
        )
        hashes = await connection.fetch(
            "SELECT previous_hash, hash FROM ledger_block ORDER BY block_no"
        )
    assert [row["previous_hash"] for row in hashes[1:]] == [row["hash"] for row in hashes[:-1]]
