"""Which invoice a payment pays first, which payment is used first, and whose money is
given back first.
"""

from datetime import UTC, datetime, timedelta

import pytest

from protos.billing.v1 import billing_pb2 as pb
from tests.billing.conftest import Client

pytestmark = pytest.mark.integration


async def issue(billing: Client, account_id: str, amount: int, days_ago: int) -> pb.Invoice:
    """An invoice of some days ago."""
    charge = await billing.charge(account_id, amount)
    draft = await billing.do(
        "CreateInvoice", account_id=account_id, charge_item_ids=[charge.charge_item_id]
    )
    day = (datetime.now(UTC) - timedelta(days=days_ago)).date().isoformat()
    issued: pb.Invoice = await billing.do(
        "IssueInvoice", invoice_id=draft.invoice_id, issued_on=day
    )
    return issued


async def open_of(billing: Client, invoice: pb.Invoice) -> int:
    answer = await billing.do("GetInvoice", invoice_id=invoice.invoice_id)
    return int(answer.open.minor_units)


async def test_invoice_that_is_due_first_is_paid_first(billing: Client) -> None:
    account_id = await billing.account()
    # The number of the older one is the higher: what is due decides.
    young = await issue(billing, account_id, 1_000, days_ago=1)
    old = await issue(billing, account_id, 1_000, days_ago=20)
    await billing.pay(account_id, 600)
    assert (await open_of(billing, old), await open_of(billing, young)) == (400, 1_000)


async def test_refund_opens_the_invoice_again_that_was_paid_last(billing: Client) -> None:
    account_id = await billing.account()
    old = await issue(billing, account_id, 1_000, days_ago=20)
    young = await issue(billing, account_id, 1_000, days_ago=1)
    payment = await billing.pay(account_id, 2_000)
    await billing.do(
        "RefundPayment", payment_id=payment.payment_id, amount={"minor_units": 300}, reason="r"
    )
    assert (await open_of(billing, old), await open_of(billing, young)) == (0, 300)


async def test_credit_goes_to_the_named_invoice_alone(billing: Client) -> None:
    account_id = await billing.account()
    await billing.pay(account_id, 500)
    old = await issue(billing, account_id, 400, days_ago=20)
    young = await issue(billing, account_id, 300, days_ago=1)
    fields = {"account_id": account_id, "invoice_id": young.invoice_id}
    await billing.do("ApplyCredit", **fields)
    assert (await open_of(billing, old), await open_of(billing, young)) == (400, 0)
    problem = await billing.refusal("ApplyCredit", **fields)
    assert (problem.status, problem.code) == (422, "invoice_not_open")


async def test_credit_of_the_oldest_payment_is_used_first(billing: Client) -> None:
    account_id = await billing.account()
    moments = [f"2026-01-0{day}T00:00:00Z" for day in (2, 1)]
    late, early = [await billing.pay(account_id, 500, received_at=moment) for moment in moments]
    await issue(billing, account_id, 400, days_ago=0)
    await billing.do("ApplyCredit", account_id=account_id)
    answer = await billing.do("ListPayments", account_id=account_id)
    left = {each.payment_id: each.unallocated.minor_units for each in answer.payments}
    assert left == {late.payment_id: 500, early.payment_id: 100}


async def test_credit_note_gives_back_what_was_paid_last(billing: Client) -> None:
    account_id = await billing.account()
    invoice = await issue(billing, account_id, 1_000, days_ago=0)
    first, last = [await billing.pay(account_id, 500) for _ in range(2)]
    await billing.do(
        "CreditInvoice", invoice_id=invoice.invoice_id, amount={"minor_units": 200}, reason="r"
    )
    answer = await billing.do("ListPayments", account_id=account_id)
    left = {each.payment_id: each.unallocated.minor_units for each in answer.payments}
    assert left == {first.payment_id: 0, last.payment_id: 200}


@pytest.mark.parametrize(("amount", "status"), [(10_000, "POSTED"), (10_001, "PENDING")])
async def test_write_off_above_the_limit_waits(billing: Client, amount: int, status: str) -> None:
    account_id = await billing.account()
    invoice = await issue(billing, account_id, 20_000, days_ago=0)
    answer = await billing.do(
        "WriteOffInvoice", invoice_id=invoice.invoice_id, amount={"minor_units": amount}, reason="r"
    )
    assert pb.WriteOffStatus.Name(answer.status) == f"WRITE_OFF_STATUS_{status}"
