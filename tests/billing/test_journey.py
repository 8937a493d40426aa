"""A patient's bill from the first charge to the statement, as a front desk calls it."""

import pytest

from protos.billing.v1 import billing_pb2 as pb
from tests.billing.conftest import Client

pytestmark = pytest.mark.integration


async def test_charges_are_invoiced_paid_in_parts_refunded_and_stated(billing: Client) -> None:
    account_id = await billing.account()
    await billing.charge(account_id, 10_000, description="Visit")
    await billing.charge(account_id, 2_500, quantity_decimal="1.5")

    preview = await billing.do("CreateInvoice", account_id=account_id, dry_run=True)
    assert preview.total.minor_units == 13_750
    draft = await billing.do("CreateInvoice", account_id=account_id)
    assert draft.number == ""
    first = await billing.do("IssueInvoice", invoice_id=draft.invoice_id)
    assert first.number
    assert first.status == pb.INVOICE_STATUS_ISSUED
    second = await billing.invoice(account_id, 6_250)

    await billing.pay(account_id, 3_750, "CARD", invoice_id=first.invoice_id)
    assert await billing.due(account_id) == 16_250
    rest = await billing.pay(account_id, 16_750, "TRANSFER")
    assert [allocation.amount.minor_units for allocation in rest.allocations] == [10_000, 6_250]
    assert rest.unallocated.minor_units == 500
    assert await billing.due(account_id) == -500

    third = await billing.invoice(account_id, 2_000)
    applied = await billing.do("ApplyCredit", account_id=account_id)
    assert applied.credit_left.minor_units == 0
    assert await billing.due(account_id) == 1_500
    refunded = await billing.do(
        "RefundPayment", payment_id=rest.payment_id, amount={"minor_units": 700}, reason="too much"
    )
    assert refunded.refunded.minor_units == 700
    assert await billing.due(account_id) == 2_200

    statement = await billing.do("GetStatement", account_id=account_id)
    assert statement.closing.minor_units == 2_200
    assert [(line.kind, line.amount.minor_units) for line in statement.lines] == [
        ("invoice", 13_750),
        ("invoice", 6_250),
        ("payment", -3_750),
        ("payment", -16_750),
        ("invoice", 2_000),
        ("credit_applied", 0),
        ("refund", 700),
    ]
    # A refund goes by the receipt of what it gives back.
    numbers = [line.number for line in statement.lines]
    assert (numbers[0], numbers[3], numbers[5], numbers[6]) == (
        first.number,
        rest.receipt_number,
        "",
        rest.receipt_number,
    )
    statuses = {
        invoice.invoice_id: invoice.status
        for invoice in (await billing.do("ListInvoices", account_id=account_id)).invoices
    }
    assert statuses[first.invoice_id] == pb.INVOICE_STATUS_BALANCED
    # The refund took back what was allocated last: all of the credit, and 2.00 of the transfer.
    assert statuses[second.invoice_id] == pb.INVOICE_STATUS_ISSUED
    assert statuses[third.invoice_id] == pb.INVOICE_STATUS_ISSUED
    assert await billing.differences() == []
