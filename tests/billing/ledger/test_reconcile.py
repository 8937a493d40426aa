"""Faults that are put into the books, past triggers and privileges, are named by the checker."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from apps.billing.ledger.chain import seal_block
from apps.billing.ledger.reconcile import CHECKS, reconcile
from tests.billing.conftest import Client, open_client

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def urls(make_database: Any) -> Iterator[tuple[str, str]]:
    with make_database("billing") as found:
        yield found


@pytest.fixture
async def books(urls: tuple[str, str]) -> AsyncIterator[Client]:
    """Sound books with one of everything."""
    async for client in open_client(urls[0]):
        if not await has_books(client):
            await fill(client)
        yield client


async def has_books(client: Client) -> bool:
    async with client.database.connection() as connection:
        return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM ledger_block)"))


async def fill(client: Client) -> None:
    account_id = await client.account()
    await client.do(
        "SetCoverage",
        account_id=account_id,
        coverages=[
            {"payer_id": "p", "share": "COVERAGE_SHARE_PERCENT", "percent_basis_points": 5_000}
        ],
    )
    invoice = await client.invoice(account_id, 10_001, 2_000, tax_category="standard")
    await client.pay(account_id, 20_000, "TRANSFER")
    paid = await client.pay(account_id, 500, "CARD")
    await client.do(
        "RefundPayment", payment_id=paid.payment_id, amount={"minor_units": 200}, reason="r"
    )
    other = await client.invoice(account_id, 3_000)
    await client.do(
        "CreditInvoice", invoice_id=other.invoice_id, amount={"minor_units": 100}, reason="r"
    )
    await client.do(
        "WriteOffInvoice", invoice_id=other.invoice_id, amount={"minor_units": 50}, reason="r"
    )
    await client.do("CancelInvoice", invoice_id=invoice.invoice_id, reason="r")
    await client.pay(account_id, 10, "TRANSFER", received_at="2026-01-01T00:00:00Z")
    async with client.database.transaction() as connection:
        await connection.execute(
            """
            INSERT INTO charge_item (charge_item_id, account_id, currency, status, system, code,
                description, quantity,
                tax_category, revenue_group, occurred_at, source_type, source_id)
            SELECT gen_random_uuid(), $1, 'USD', 'unpriced', '', 'c', '', 1, 'exempt', 'other',
                now(),
                'Encounter', 'e'""",
            account_id,
        )
        await seal_block(connection, everything=True)


FAULTS = {
    "transaction_unbalanced": "UPDATE ledger_entry SET amount = amount + 1 WHERE line = 1",
    "balance_mismatch": "UPDATE ledger_account SET balance = balance + 1 WHERE kind = 'revenue'",
    "account_version_mismatch": "UPDATE ledger_account SET version = version + 1 WHERE kind = "
    "'bank'",
    "running_balance_mismatch": "UPDATE ledger_entry SET balance = balance + 1 WHERE line = 2",
    "shift_mismatch": "UPDATE ledger_shift SET amount = amount + 1",
    "entry_time_mismatch": "UPDATE ledger_entry SET effective_at = effective_at - interval '1 day' "
    "WHERE line = 1",
    "invoice_total_mismatch": "UPDATE invoice_line SET net = net + 1, total = total + 1 WHERE line "
    "= 1",
    "shared_charge_mismatch": "UPDATE invoice_line SET net = net + 1, total = total + 1 WHERE line "
    "= 1",
    "charge_net_mismatch": "UPDATE charge_item SET net = net + 1",
    "invoice_paid_mismatch": "UPDATE allocation SET amount = amount + 1 WHERE amount > 0",
    "invoice_credited_mismatch": "UPDATE credit_note SET net = net + 1, total = total + 1",
    "invoice_written_off_mismatch": "UPDATE write_off SET amount = amount + 1",
    "invoice_status_mismatch": "UPDATE invoice SET status = 'balanced' WHERE status = 'issued'",
    "credit_note_total_mismatch": "UPDATE credit_note_line SET net = net + 1",
    "payment_allocated_mismatch": "UPDATE payment SET allocated = allocated + 1 WHERE amount > "
    "refunded + allocated",
    "payment_refunded_mismatch": "UPDATE refund SET amount = amount + 1",
    "receivable_mismatch": "UPDATE invoice SET written_off = written_off - 1 WHERE written_off > 0",
    "credit_mismatch": "UPDATE payment SET refunded = refunded + 1 WHERE amount > refunded + "
    "allocated",
    "money_mismatch": "UPDATE payment SET amount = amount + 1",
    "document_not_posted": "UPDATE ledger_transaction SET document_id = NULL WHERE kind = 'refund'",
    "number_missing": "UPDATE number_series SET last_number = last_number + 1 WHERE series = "
    "'invoice'",
    "account_twice": """
        ALTER TABLE account DROP CONSTRAINT account_patient_id_key;
        INSERT INTO account (account_id, patient_id, status, currency, version)
        SELECT gen_random_uuid(), patient_id, status, currency, version FROM account LIMIT 1""",
    "charge_twice": """
        DROP INDEX charge_item_source;
        INSERT INTO charge_item (charge_item_id, account_id, currency, status, system, code,
            description, quantity,
            tax_category, revenue_group, occurred_at, source_type, source_id)
        SELECT gen_random_uuid(), account_id, currency, status, system, code, description, quantity,
            tax_category,
            revenue_group, occurred_at, source_type, source_id FROM charge_item WHERE source_type <>
                ''""",
    "charge_status_mismatch": "UPDATE charge_item SET status = 'billable' WHERE status = 'billed'",
    "transaction_not_sealed": """
        DELETE FROM ledger_seal;
        UPDATE ledger_transaction SET posted_at = posted_at - interval '1 hour';
        UPDATE ledger_entry SET posted_at = posted_at - interval '1 hour'""",
    "block_hash_mismatch": "UPDATE ledger_transaction SET subject = 'somebody else'",
}


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert FAULTS.keys() == CHECKS.keys() | {"block_hash_mismatch"}


async def test_sound_books_have_no_difference(books: Client) -> None:
    async with books.database.connection() as connection:
        assert await reconcile(connection) == []
    answer = await books.do("ReconcileLedger")
    assert (list(answer.differences), answer.blocks > 0) == ([], True)


async def codes_after(owner_url: str, statements: str) -> list[str]:
    """Returns the codes that the checker finds after the statements, which are taken back."""
    owner = await asyncpg.connect(owner_url)
    try:
        transaction = owner.transaction()
        await transaction.start()
        await owner.execute("SET LOCAL billing.migrating = 'on'")
        await owner.execute("ALTER TABLE invoice DISABLE TRIGGER invoice_frozen")
        await owner.execute("SET CONSTRAINTS ALL DEFERRED")
        await owner.execute(statements)
        found = [one.code for one in await reconcile(owner)]
        await transaction.rollback()
    finally:
        await owner.close()
    return found


@pytest.mark.parametrize("code", sorted(FAULTS))
async def test_planted_fault_is_named(books: Client, urls: tuple[str, str], code: str) -> None:
    assert code in await codes_after(urls[1], FAULTS[code])


async def test_a_check_names_a_hundred_rows_at_most(books: Client, urls: tuple[str, str]) -> None:
    found = await codes_after(
        urls[1],
        """
        ALTER TABLE account DROP CONSTRAINT account_patient_id_key;
        INSERT INTO account (account_id, patient_id, status, currency, version)
        SELECT gen_random_uuid(), number % 101, status, currency, version
        FROM (SELECT * FROM account LIMIT 1) AS model, generate_series(1, 202) AS number""",
    )
    assert found.count("account_twice") == 100
