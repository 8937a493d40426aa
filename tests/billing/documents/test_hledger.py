"""The exported journal, read back by hledger itself."""

import asyncio
import csv
import io
from decimal import Decimal

import pytest

from tests.billing.conftest import Client
from tests.billing.documents.exports import export, fill_books

pytestmark = pytest.mark.clients


async def hledger(journal: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *("hledger", "--file=-", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        output, errors = await process.communicate(journal.encode())
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_hledger_reads_the_journal_and_comes_to_the_same_balances(billing: Client) -> None:
    expected = await fill_books(billing)
    journal = await export(billing, "HLEDGER")
    # Its amounts balance by transaction, and its dates are read as it means them.
    await hledger(journal, "check")
    table = await hledger(journal, "balance", "--flat", "--layout=bare", "--output-format=csv")
    found = {
        (row["account"], row["commodity"]): Decimal(row["balance"])
        for row in csv.DictReader(io.StringIO(table))
        if row["account"] != "total"
    }
    assert found == {key: balance for key, balance in expected.items() if balance}
    # By its number, as an accountant looks for it.
    invoice = await hledger(journal, "print", "code:^20[0-9][0-9]-000001$")
    assert " invoice\n" in invoice and " payment\n" in invoice
    transactions = await hledger(journal, "print", "tag:transaction=.", "--output-format=csv")
    assert len({row["txnidx"] for row in csv.DictReader(io.StringIO(transactions))}) >= 6
