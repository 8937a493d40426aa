"""What the database itself refuses, whatever the code would do."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from apps.billing.charges.consumer import caller_of
from apps.billing.ledger.postings import LedgerAccount, make_posting
from apps.billing.ledger.storage import post

pytestmark = pytest.mark.integration

CASH = LedgerAccount("cash", "USD")
BANK = LedgerAccount("bank", "USD")
CALLER = caller_of("test")


@pytest.fixture(scope="module")
def urls(make_database: Any) -> Iterator[tuple[str, str]]:
    with make_database("billing") as found:
        yield found


@pytest.fixture
async def runtime(urls: tuple[str, str]) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(urls[0])
    yield connection
    await connection.close()


@pytest.fixture
async def owner(urls: tuple[str, str]) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(urls[1])
    yield connection
    await connection.close()


async def transfer(connection: Any, amount: int = 100) -> UUID:
    posting = make_posting("adjustment", [(CASH, amount), (BANK, -amount)])
    async with connection.transaction():
        (transaction_id,) = await post(connection, CALLER, [posting])
    return transaction_id


async def insert_transaction(connection: Any, currency: str = "USD") -> UUID:
    transaction_id = uuid4()
    await connection.execute(
        """
        INSERT INTO ledger_transaction (transaction_id, kind, currency, posted_at, effective_at,
            subject, client_id,
                                        correlation_id)
        VALUES ($1, 'adjustment', $2, now(), now(), 's', 'c', '')""",
        transaction_id,
        currency,
    )
    return transaction_id


async def insert_entry(
    connection: Any,
    transaction_id: UUID,
    line: int,
    side: str,
    amount: int,
    *,
    currency: str = "USD",
    version: int = 1_000,
) -> None:
    await connection.execute(
        """
        INSERT INTO ledger_entry (transaction_id, line, ledger_account_id, currency, side, amount,
            balance, version,
                                  posted_at, effective_at)
        VALUES ($1, $2, $3, $4, $5::text::"char", $6, 0, $7, now(), now())""",
        transaction_id,
        line,
        CASH.id,
        currency,
        side,
        amount,
        version,
    )


async def insert_by_hand(connection: Any, amounts: tuple[int, ...], currency: str = "USD") -> None:
    async with connection.transaction():
        transaction_id = await insert_transaction(connection, currency)
        for line, amount in enumerate(amounts, start=1):
            side = "D" if amount > 0 else "C"
            await insert_entry(
                connection,
                transaction_id,
                line,
                side,
                abs(amount),
                currency=currency,
                version=1_000 + line,
            )


async def test_transaction_that_does_not_sum_to_zero_is_not_committed(
    runtime: Any, owner: Any
) -> None:
    await transfer(runtime)
    for connection in (runtime, owner):
        with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
            await insert_by_hand(connection, (100, -99))


async def test_entry_cannot_be_added_to_a_transaction_of_before(runtime: Any) -> None:
    transaction_id = await transfer(runtime)
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await insert_entry(runtime, transaction_id, 3, "D", 1)


async def test_transaction_without_entries_is_not_committed(runtime: Any) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await insert_transaction(runtime)


async def test_entry_of_another_currency_is_refused(runtime: Any) -> None:
    await transfer(runtime)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await insert_by_hand(runtime, (1, -1), "EUR")


async def insert_alone(connection: Any, amount: int) -> None:
    async with connection.transaction():
        await insert_entry(connection, await insert_transaction(connection), 1, "D", amount)


@pytest.mark.parametrize("amount", [0, -5])
async def test_amounts_are_above_zero(runtime: Any, amount: int) -> None:
    await transfer(runtime)
    with pytest.raises(asyncpg.CheckViolationError, match="amount"):
        await insert_alone(runtime, amount)


GROWN = (
    "ledger_transaction",
    "ledger_entry",
    "ledger_block",
    "ledger_seal",
    "audit",
    "invoice_line",
    "credit_note",
    "credit_note_line",
    "allocation",
    "refund",
    "price",
)


@pytest.mark.parametrize("table", GROWN)
async def test_services_role_may_neither_change_nor_delete(runtime: Any, table: str) -> None:
    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}"):  # noqa: S608
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await runtime.execute(statement)
    column = await runtime.fetchval(
        """
        SELECT column_name FROM information_schema.columns WHERE table_name = $1
        ORDER BY ordinal_position DESC LIMIT 1""",
        table,
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await runtime.execute(f"UPDATE {table} SET {column} = {column}")  # noqa: S608


async def test_owner_may_not_either_unless_a_migration_says_so(runtime: Any, owner: Any) -> None:
    transaction_id = await transfer(runtime)
    for statement in (
        "UPDATE ledger_entry SET amount = amount + 1",
        "DELETE FROM ledger_entry",
        "TRUNCATE ledger_entry",
        "UPDATE ledger_transaction SET subject = 'x'",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only ever grows"):
            await owner.execute(statement)
    async with owner.transaction():
        await owner.execute("SET LOCAL billing.migrating = 'on'")
        await owner.execute(
            "UPDATE ledger_transaction SET subject = 'migrated' WHERE transaction_id = $1",
            transaction_id,
        )
    # The setting alone is no right.
    await runtime.execute("SET billing.migrating = 'on'")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await runtime.execute("UPDATE ledger_entry SET amount = amount + 1")


async def test_account_of_the_books_changes_only_by_its_balance(runtime: Any) -> None:
    await transfer(runtime)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await runtime.execute("UPDATE ledger_account SET currency = 'EUR'")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await runtime.execute("DELETE FROM ledger_account")
