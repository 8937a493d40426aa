"""A balance or statement as of a day holds all of that day, and nothing of the next."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.billing.conftest import Client

pytestmark = pytest.mark.integration


def day(ago: int) -> str:
    return (datetime.now(UTC) - timedelta(days=ago)).date().isoformat()


async def test_day_is_counted_to_its_end(billing: Client) -> None:
    account_id = await billing.account()
    await billing.charge(account_id, 700)
    draft = await billing.do("CreateInvoice", account_id=account_id)
    await billing.do("IssueInvoice", invoice_id=draft.invoice_id, issued_on=day(3))
    await billing.pay(account_id, 200)

    async def due(ago: int) -> int:
        answer = await billing.do("GetBalance", account_id=account_id, as_of=day(ago))
        return int(answer.due.minor_units)

    assert [await due(ago) for ago in (4, 3, 1, 0)] == [0, 700, 700, 500]

    async def lines(begin: int, end: int) -> tuple[int, list[str], int]:
        fields = {"from": day(begin), "to": day(end)}
        answer = await billing.do("GetStatement", account_id=account_id, **fields)
        kinds = [line.kind for line in answer.lines]
        return answer.opening.minor_units, kinds, answer.closing.minor_units

    assert await lines(3, 3) == (0, ["invoice"], 700)
    assert await lines(2, 1) == (700, [], 700)
    assert await lines(2, 0) == (700, ["payment"], 500)
    assert await lines(5, 4) == (0, [], 0)


async def test_entry_is_never_written_down_before_one_that_its_account_has(billing: Client) -> None:
    account_id = await billing.account()
    await billing.invoice(account_id, 100)
    # As a clock that is set back leaves it.
    later = datetime.now(UTC) + timedelta(hours=1)
    async with billing.database.transaction() as connection:
        await connection.execute(
            "UPDATE ledger_account SET last_posted_at = $2 WHERE account_id = $1", account_id, later
        )
    payment = await billing.pay(account_id, 40)
    async with billing.database.connection() as connection:
        posted_at = await connection.fetchval(
            "SELECT posted_at FROM ledger_transaction WHERE document_id = $1", payment.payment_id
        )
    assert posted_at >= later
