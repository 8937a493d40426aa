"""Two that post to one ledger account: the second waits, and goes on from the first's balance."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from apps.billing.charges.consumer import caller_of
from apps.billing.ledger.postings import LedgerAccount, Posting, make_posting
from apps.billing.ledger.storage import post
from apps.kit.database import Database, DatabaseSettings, open_database
from tests.billing.waiting import until_blocked

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]

CALLER = caller_of("test")


@pytest.fixture
async def database(billing_database: str) -> AsyncIterator[Database]:
    async with open_database(DatabaseSettings(billing_database)) as opened:
        yield opened


def transfer(account: LedgerAccount, amount: int) -> Posting | None:
    """Of two revenues: an account of money must agree with the payments."""
    other = LedgerAccount("revenue", "USD", name=str(uuid4()))
    return make_posting("adjustment", [(account, amount), (other, -amount)])


@pytest.mark.parametrize("is_known", [True, False])
async def test_second_posting_waits_for_the_first(database: Database, is_known: bool) -> None:
    account = LedgerAccount("revenue", "USD", name=str(uuid4()))
    other = LedgerAccount("revenue", "USD", name=str(uuid4()))

    async def transfer_alone(amount: int) -> None:
        async with database.transaction() as connection:
            posting = make_posting("adjustment", [(account, amount), (other, -amount)])
            await post(connection, CALLER, [posting])

    if is_known:
        await transfer_alone(5)
    async with database.transaction() as connection:
        posting = make_posting("adjustment", [(account, 10), (other, -10)])
        await post(connection, CALLER, [posting])
        task = asyncio.create_task(transfer_alone(100))
        await until_blocked(database, [task])
    await task
    async with database.connection() as connection:
        balances = await connection.fetch(
            """
            SELECT balance, version FROM ledger_account
            WHERE ledger_account_id = ANY($1::uuid[]) ORDER BY balance""",
            [account.id, other.id],
        )
    whole, version = (115, 3) if is_known else (110, 2)
    assert [tuple(row) for row in balances] == [(-whole, version), (whole, version)]


async def test_nothing_to_post_is_no_posting(database: Database) -> None:
    account = LedgerAccount("revenue", "USD", name=str(uuid4()))
    async with database.transaction() as connection:
        assert await post(connection, CALLER, [None]) == []
        ids = await post(connection, CALLER, [None, transfer(account, 1), None])
        sides = await connection.fetch(
            "SELECT side, amount, balance FROM ledger_entry WHERE transaction_id = ANY($1::uuid[])"
            " AND ledger_account_id = $2",
            ids,
            account.id,
        )
    assert len(ids) == 1
    assert [tuple(row) for row in sides] == [(b"D", 1, 1)]
