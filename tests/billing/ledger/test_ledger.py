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
from apps.billing.ledger.storage import (
    post,
    select_balances,
    select_statement_lines,
    start_of,
)
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
                    FROM ledger_entry e JOIN ledger_account USING (ledger_account_id) WHERE kind =
                        'revenue')"""
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


async def test_balance_before_a_day_is_the_sum_of_what_counts_before_it(database: Database) -> None:
    chance = random.Random(7)
    account_id = await open_account(database)
    account = LedgerAccount("receivable", "USD", account_id)
    other = LedgerAccount("card", "USD")
    begin = datetime.now(UTC)
    for _ in range(40):
        shift = chance.choice([None, -40, -10, -1, 0, 10])
        effective_at = None if shift is None else begin + timedelta(days=shift)
        amount = chance.choice([-1, 1]) * chance.randint(1, 1_000)
        posting = make_posting(
            "adjustment", [(account, amount), (other, -amount)], effective_at=effective_at
        )
        async with database.transaction() as connection:
            await post(connection, CALLER, [posting])
    async with database.connection() as connection:
        for ago in (50, 40, 39, 20, 10, 9, 1, 0, -1, -10, -11, -12):
            day = (begin - timedelta(days=ago)).date()
            expected = await connection.fetchval(
                """
                SELECT coalesce(sum(CASE side WHEN 'D' THEN amount ELSE -amount END), 0) FROM
                    ledger_entry
                WHERE ledger_account_id = $1 AND effective_at < $2""",
                account.id,
                start_of(day),
            )
            balances = await select_balances(connection, account_id, day)
            assert balances == {("receivable", ""): expected}
            lines = await select_statement_lines(connection, account_id, None, day, 100)
            assert sum(line["amount"] for line in lines) == expected
        now = await select_balances(connection, account_id)
        later = (begin + timedelta(days=365)).date()
        assert now == await select_balances(connection, account_id, later)


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
