"""Payments, refunds, credit, write-offs and the cash desk."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from protos.billing.v1 import billing_pb2 as pb
from tests.billing.conftest import Client

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def billing_database(make_database: Any) -> Iterator[str]:
    """One of its own: a currency has one cash day at a time."""
    with make_database("billing") as (runtime_url, _):
        yield runtime_url


async def opens(billing: Client, account_id: str) -> list[int]:
    answer = await billing.do("ListInvoices", account_id=account_id)
    return [invoice.open.minor_units for invoice in answer.invoices]


async def test_oldest_invoice_is_paid_first_and_the_rest_is_credit(billing: Client) -> None:
    account_id = await billing.account()
    for amount in (300, 200, 100):
        await billing.invoice(account_id, amount)
    await billing.pay(account_id, 450)
    assert await opens(billing, account_id) == [0, 50, 100]
    payment = await billing.pay(account_id, 200)
    assert payment.unallocated.minor_units == 50
    assert await opens(billing, account_id) == [0, 0, 0]


async def test_payment_goes_where_it_is_told(billing: Client) -> None:
    account_id = await billing.account()
    first = await billing.invoice(account_id, 300)
    second = await billing.invoice(account_id, 200)
    payment = await billing.pay(
        account_id,
        250,
        allocations=[
            {"invoice_id": second.invoice_id, "amount": {"minor_units": 200}},
            {"invoice_id": first.invoice_id, "amount": {"minor_units": 10}},
        ],
    )
    assert payment.unallocated.minor_units == 40
    assert await opens(billing, account_id) == [290, 0]
    kept = await billing.pay(account_id, 100, keep_as_credit=True)
    assert kept.unallocated.minor_units == 100
    assert await billing.due(account_id) == 150


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": {"minor_units": 0}}, "invalid_request"),
        ({"amount": {"minor_units": -5}}, "invalid_request"),
        ({"amount": {"minor_units": 10**16}}, "invalid_request"),
        ({"method": "PAYMENT_METHOD_UNSPECIFIED"}, "invalid_request"),
        ({"received_at": "2199-01-01T00:00:00Z"}, "invalid_request"),
        ({"payer_id": "no such/id"}, "invalid_request"),
        ({"reference": "line\nbreak"}, "invalid_request"),
    ],
)
async def test_bad_payment_is_refused(billing: Client, change: dict[str, Any], code: str) -> None:
    fields: dict[str, Any] = {
        "account_id": await billing.account(),
        "amount": {"minor_units": 5},
        "method": "PAYMENT_METHOD_CARD",
    }
    problem = await billing.refusal("RecordPayment", **{**fields, **change})
    assert (problem.status, problem.code) == (400, code)
    assert problem.faults


async def test_no_more_is_allocated_than_is_open(billing: Client) -> None:
    account_id = await billing.account()
    invoice = await billing.invoice(account_id, 100)
    allocations = [{"invoice_id": invoice.invoice_id, "amount": {"minor_units": 101}}]
    problem = await billing.refusal(
        "RecordPayment",
        account_id=account_id,
        amount={"minor_units": 200},
        method="PAYMENT_METHOD_CARD",
        allocations=allocations,
    )
    assert (problem.status, problem.code) == (422, "more_than_open")


async def test_refund_ends_at_what_was_paid_even_at_once(billing: Client) -> None:
    account_id = await billing.account()
    await billing.invoice(account_id, 100)
    payment = await billing.pay(account_id, 100)
    calls = (
        billing.do(
            "RefundPayment",
            payment_id=payment.payment_id,
            amount={"minor_units": 60},
            reason="r",
        )
        for _ in range(4)
    )
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, pb.Payment) for answer in answers) == 1
    assert await billing.due(account_id) == 60
    problem = await billing.refusal(
        "RefundPayment", payment_id=payment.payment_id, amount={"minor_units": 41}, reason="r"
    )
    assert (problem.status, problem.code) == (422, "refund_too_large")


async def test_payers_pay_their_own_invoices(billing: Client) -> None:
    account_id = await billing.account()
    coverage = {"payer_id": "p", "share": "COVERAGE_SHARE_COPAYMENT", "amount": {"minor_units": 25}}
    await billing.do("SetCoverage", account_id=account_id, coverages=[coverage])
    await billing.invoice(account_id, 100)
    await billing.pay(account_id, 25)
    assert await billing.due(account_id) == 0
    payment = await billing.pay(account_id, 80, payer_id="p")
    assert (payment.unallocated.minor_units, payment.payer_id) == (5, "p")
    balance = await billing.do("GetBalance", account_id=account_id)
    assert (balance.due.minor_units, balance.payers_due.minor_units) == (0, 0)
    problem = await billing.refusal("ApplyCredit", account_id=account_id)
    assert problem.code == "credit_too_small"


async def test_small_write_off_is_posted_at_once(billing: Client) -> None:
    account_id = await billing.account()
    invoice = await billing.invoice(account_id, 500)
    written = await billing.do(
        "WriteOffInvoice",
        invoice_id=invoice.invoice_id,
        amount={"minor_units": 500},
        reason="insolvent",
    )
    assert written.status == pb.WRITE_OFF_STATUS_POSTED
    assert await billing.due(account_id) == 0


async def test_large_write_off_needs_a_second_person(billing: Client) -> None:
    account_id = await billing.account()
    invoice = await billing.invoice(account_id, 20_000)
    written = await billing.do(
        "WriteOffInvoice",
        invoice_id=invoice.invoice_id,
        amount={"minor_units": 10_001},
        reason="insolvent",
    )
    assert written.status == pb.WRITE_OFF_STATUS_PENDING
    assert await billing.due(account_id) == 20_000
    problem = await billing.refusal("ApproveWriteOff", write_off_id=written.write_off_id)
    assert (problem.status, problem.code) == (403, "second_person_needed")
    approved = await billing.do("ApproveWriteOff", "second", write_off_id=written.write_off_id)
    assert (approved.requested_by, approved.approved_by) == ("user-5", "user-6")
    assert await billing.due(account_id) == 9_999
    again = await billing.refusal("ApproveWriteOff", "second", write_off_id=written.write_off_id)
    assert (again.code, again.detail) == ("write_off_posted", "it was approved before")


async def test_write_off_that_waits_is_listed_until_it_is_refused(billing: Client) -> None:
    account_id = await billing.account()
    invoice = await billing.invoice(account_id, 20_000)
    fields: dict[str, Any] = {
        "invoice_id": invoice.invoice_id,
        "amount": {"minor_units": 15_000},
    }
    asked = await billing.do("WriteOffInvoice", **fields, reason="insolvent")

    async def pending() -> list[pb.WriteOff]:
        answer = await billing.do("ListWriteOffs", status="WRITE_OFF_STATUS_PENDING", page_size=100)
        assert answer.next_page_token == ""
        assert {each.status for each in answer.write_offs} <= {pb.WRITE_OFF_STATUS_PENDING}
        return [each for each in answer.write_offs if each.account_id == account_id]

    assert await pending() == [asked]
    account = await billing.do("GetAccount", account_id=account_id)
    assert asked.patient_id == account.patient_id
    assert (asked.invoice_number, asked.requested_by) == (invoice.number, "user-5")
    one = {"write_off_id": asked.write_off_id}
    nameless = await billing.refusal("RefuseWriteOff", "second", **one)
    assert nameless.faults[0].pointer == "reason"
    refused = await billing.do("RefuseWriteOff", "second", **one, reason="pays by instalments")
    assert refused.status == pb.WRITE_OFF_STATUS_REFUSED
    assert (refused.refused_by, refused.refusal_reason) == ("user-6", "pays by instalments")
    assert await pending() == []
    assert await billing.due(account_id) == 20_000
    for rpc, words in (("ApproveWriteOff", {}), ("RefuseWriteOff", {"reason": "r"})):
        again = await billing.refusal(rpc, "second", **one, **words)
        assert (again.status, again.code) == (422, "write_off_refused")
        assert again.detail == "it was refused before"
    assert await billing.differences() == []


async def test_who_asked_for_a_write_off_may_take_it_back(billing: Client) -> None:
    invoice = await billing.invoice(await billing.account(), 20_000)
    fields: dict[str, Any] = {
        "invoice_id": invoice.invoice_id,
        "amount": {"minor_units": 15_000},
    }
    asked = await billing.do("WriteOffInvoice", **fields, reason="insolvent")
    back = await billing.do("RefuseWriteOff", write_off_id=asked.write_off_id, reason="mistake")
    assert (back.requested_by, back.refused_by) == ("user-5", "user-5")


async def test_write_off_needs_a_reason_and_ends_at_what_is_open(billing: Client) -> None:
    invoice = await billing.invoice(await billing.account(), 500)
    fields: dict[str, Any] = {"invoice_id": invoice.invoice_id, "amount": {"minor_units": 501}}
    problem = await billing.refusal("WriteOffInvoice", **fields, reason="r")
    assert problem.code == "more_than_open"
    assert (await billing.refusal("WriteOffInvoice", **fields)).faults[0].pointer == "reason"


async def test_cash_day_is_opened_counted_and_closed_with_its_difference(billing: Client) -> None:
    account_id = await billing.account()
    await billing.invoice(account_id, 900)
    fields: dict[str, Any] = {
        "account_id": account_id,
        "amount": {"minor_units": 900},
        "method": "PAYMENT_METHOD_CASH",
    }
    problem = await billing.refusal("RecordPayment", **fields)
    assert (problem.status, problem.code) == (422, "cash_desk_closed")

    day = await billing.do("OpenCashDay", desk="front", opening={"minor_units": 10_000})
    twice = await billing.refusal("OpenCashDay", desk="back", opening={"minor_units": 0})
    assert (twice.status, twice.code) == (409, "cash_day_open")
    payment = await billing.do("RecordPayment", **fields)
    await billing.do(
        "RefundPayment", payment_id=payment.payment_id, amount={"minor_units": 100}, reason="r"
    )
    early = await billing.refusal("CloseCashDay", cash_day_id=day.cash_day_id)
    assert early.code == "cash_day_not_counted"
    counted = await billing.do(
        "CountCashDay", cash_day_id=day.cash_day_id, counted={"minor_units": 10_790}
    )
    assert (counted.expected.minor_units, counted.difference.minor_units) == (10_800, -10)
    closed = await billing.do("CloseCashDay", cash_day_id=day.cash_day_id)
    assert closed.status == pb.CASH_DAY_STATUS_CLOSED
    async with billing.database.connection() as connection:
        balances = await connection.fetch(
            "SELECT kind, balance FROM ledger_account WHERE kind IN ('cash', 'cash_difference') "
            "ORDER BY kind"
        )
    assert [tuple(row) for row in balances] == [("cash", 790), ("cash_difference", 10)]
    assert await billing.differences() == []


async def test_clerk_may_neither_write_off_nor_keep_the_cash_desk(billing: Client) -> None:
    invoice = await billing.invoice(await billing.account(), 500)
    calls: tuple[tuple[str, dict[str, Any]], ...] = (
        ("WriteOffInvoice", {"invoice_id": invoice.invoice_id}),
        ("ListWriteOffs", {}),
        ("RefuseWriteOff", {"write_off_id": invoice.invoice_id, "reason": "r"}),
        ("OpenCashDay", {"desk": "front"}),
    )
    for rpc, fields in calls:
        assert (await billing.refusal(rpc, "clerk", **fields)).status == 403
