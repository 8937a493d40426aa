"""Drafts, issued invoices, their numbers, credit notes and reminders."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest

from apps.kit.context import new_id
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.conftest import Client

pytestmark = pytest.mark.integration

SPLIT = [{"payer_id": "p", "share": "COVERAGE_SHARE_PERCENT", "percent_basis_points": 8_000}]


def days_ago(days: int) -> str:
    return (datetime.now(UTC).date() - timedelta(days=days)).isoformat()


async def draft_of(billing: Client, account_id: str, *amounts: int) -> pb.Invoice:
    for amount in amounts:
        await billing.charge(account_id, amount)
    draft: pb.Invoice = await billing.do("CreateInvoice", account_id=account_id)
    return draft


async def test_dry_run_keeps_nothing(billing: Client) -> None:
    account_id = await billing.account()
    await billing.charge(account_id, 500)
    for _ in range(2):
        preview = await billing.do("CreateInvoice", account_id=account_id, dry_run=True)
        assert (preview.total.minor_units, preview.number) == (500, "")
    assert not (await billing.do("ListInvoices", account_id=account_id)).invoices


async def test_draft_is_computed_anew_and_issued_as_it_is_then(billing: Client) -> None:
    account_id = await billing.account()
    draft = await draft_of(billing, account_id, 500, 300)
    assert draft.total.minor_units == 800
    await billing.do("VoidChargeItem", charge_item_id=draft.charge_item_ids[0], reason="mistake")
    await billing.do("SetCoverage", account_id=account_id, coverages=SPLIT)
    again = await billing.do("GetInvoice", invoice_id=draft.invoice_id)
    assert again.total.minor_units == 60
    assert [part.total.minor_units for part in again.payer_invoices] == [240]
    issued = await billing.do("IssueInvoice", invoice_id=draft.invoice_id)
    assert issued.total.minor_units == 60
    assert [part.payer_id for part in issued.payer_invoices] == ["p"]
    assert issued.payer_invoices[0].number != issued.number
    balance = await billing.do("GetBalance", account_id=account_id)
    assert (balance.due.minor_units, balance.payers_due.minor_units) == (60, 240)


async def test_discarded_draft_frees_its_charges(billing: Client) -> None:
    account_id = await billing.account()
    draft = await draft_of(billing, account_id, 500)
    problem = await billing.refusal("CreateInvoice", account_id=account_id)
    assert problem.code == "nothing_to_bill"
    await billing.do("CancelInvoice", invoice_id=draft.invoice_id, reason="not yet")
    again = await billing.do("CreateInvoice", account_id=account_id)
    assert again.total.minor_units == 500


async def test_numbers_have_no_gap_however_many_are_issued_and_fail_at_once(
    billing: Client,
) -> None:
    accounts = [await billing.account() for _ in range(8)]
    drafts = [await draft_of(billing, account_id, 100) for account_id in accounts]
    empty = await draft_of(billing, accounts[0], 100)
    await billing.do("VoidChargeItem", charge_item_id=empty.charge_item_ids[0], reason="mistake")
    calls = [billing.do("IssueInvoice", invoice_id=draft.invoice_id) for draft in drafts]
    failing = [billing.do("IssueInvoice", invoice_id=empty.invoice_id) for _ in range(4)]
    answers = await asyncio.gather(*calls, *failing, return_exceptions=True)
    issued = [answer for answer in answers if isinstance(answer, pb.Invoice)]
    assert len(issued) == 8
    numbers = sorted(int(invoice.number.split("-")[1]) for invoice in issued)
    assert numbers == list(range(numbers[0], numbers[0] + 8))
    assert await billing.differences() == []


async def test_draft_that_is_issued_twice_at_once_has_one_number(billing: Client) -> None:
    draft = await draft_of(billing, await billing.account(), 100)
    answers = await asyncio.gather(
        *(billing.do("IssueInvoice", invoice_id=draft.invoice_id) for _ in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, pb.Invoice) for answer in answers) == 1


async def test_issued_invoice_never_changes(billing: Client) -> None:
    invoice = await billing.invoice(await billing.account(), 1_000)
    async with billing.database.connection() as connection:
        for column in ("total = total + 1, net = net + 1", "number = 'x'", "due_on = now()"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changes"):
                await connection.execute(
                    f"UPDATE invoice SET {column} WHERE invoice_id = $1",  # noqa: S608
                    invoice.invoice_id,
                )


async def test_cancellation_is_a_credit_note_and_what_was_paid_becomes_credit(
    billing: Client,
) -> None:
    account_id = await billing.account()
    await billing.do("SetCoverage", account_id=account_id, coverages=SPLIT)
    invoice = await billing.invoice(account_id, 1_000, tax_category="standard")
    await billing.pay(account_id, 150)
    cancelled = await billing.do(
        "CancelInvoice", invoice_id=invoice.invoice_id, reason="wrong payer"
    )
    assert cancelled.status == pb.INVOICE_STATUS_CANCELLED
    (note,) = cancelled.credit_notes
    assert note.total == invoice.total
    assert note.number
    payers = await billing.do("GetInvoice", invoice_id=invoice.payer_invoices[0].invoice_id)
    assert payers.status == pb.INVOICE_STATUS_CANCELLED
    balance = await billing.do("GetBalance", account_id=account_id)
    assert (balance.credit.minor_units, balance.payers_due.minor_units) == (150, 0)
    await billing.do("SetCoverage", account_id=account_id)
    again = await billing.do("CreateInvoice", account_id=account_id, dry_run=True)
    assert again.total.minor_units == 1_190
    assert await billing.differences() == []


async def test_part_of_an_invoice_is_credited_line_by_line(billing: Client) -> None:
    account_id = await billing.account()
    invoice = await billing.invoice(account_id, 1_000, 500)
    await billing.pay(account_id, 1_400)
    credited = await billing.do(
        "CreditInvoice",
        invoice_id=invoice.invoice_id,
        lines=[{"line": 2, "amount": {"minor_units": 500}}],
        reason="not rendered",
    )
    assert (credited.paid.minor_units, credited.open.minor_units) == (1_000, 0)
    assert credited.status == pb.INVOICE_STATUS_BALANCED
    assert credited.total == invoice.total
    assert await billing.due(account_id) == -400
    problem = await billing.refusal(
        "CreditInvoice",
        invoice_id=invoice.invoice_id,
        lines=[{"line": 2, "amount": {"minor_units": 1}}],
        reason="again",
    )
    assert problem.code == "credit_too_large"
    assert await billing.differences() == []


async def test_charges_that_cannot_be_billed_are_named(billing: Client) -> None:
    account_id = await billing.account()
    other = await billing.charge(await billing.account(), 100)
    problem = await billing.refusal(
        "CreateInvoice", account_id=account_id, charge_item_ids=[other.charge_item_id]
    )
    assert (problem.status, problem.code) == (422, "charge_item_not_billable")
    assert other.charge_item_id in problem.detail


async def test_account_on_hold_gets_no_invoice(billing: Client) -> None:
    account_id = await billing.account()
    draft = await draft_of(billing, account_id, 100)
    await billing.do("UpdateAccountStatus", account_id=account_id, status="ACCOUNT_STATUS_ON_HOLD")
    problem = await billing.refusal("IssueInvoice", invoice_id=draft.invoice_id)
    assert problem.code == "account_on_hold"


async def test_account_is_closed_once_it_is_settled_and_then_takes_no_charge(
    billing: Client,
) -> None:
    account_id = await billing.account()
    await billing.charge(account_id, 100)
    close: dict[str, Any] = {"account_id": account_id, "status": "ACCOUNT_STATUS_INACTIVE"}
    assert (await billing.refusal("UpdateAccountStatus", **close)).code == "account_not_settled"
    draft = await billing.do("CreateInvoice", account_id=account_id)
    await billing.do("IssueInvoice", invoice_id=draft.invoice_id)
    await billing.pay(account_id, 100)
    await billing.do("UpdateAccountStatus", **close)
    problem = await billing.refusal(
        "AddChargeItem", account_id=account_id, code="c", unit_price={"minor_units": 1}
    )
    assert problem.code == "account_inactive"


async def test_stale_version_is_refused(billing: Client) -> None:
    draft = await draft_of(billing, await billing.account(), 100)
    problem = await billing.refusal(
        "IssueInvoice", invoice_id=draft.invoice_id, expected_version=draft.version + 1
    )
    assert (problem.status, problem.code) == (412, "stale_version")
    issued = await billing.do(
        "IssueInvoice", invoice_id=draft.invoice_id, expected_version=draft.version
    )
    assert issued.version == draft.version + 1


@pytest.mark.parametrize(("days", "level"), [(31, 1), (60, 1), (61, 2), (90, 2), (91, 3)])
async def test_overdue_invoices_are_listed_by_age(billing: Client, days: int, level: int) -> None:
    account_id = await billing.account()
    await billing.charge(account_id, 700)
    draft = await billing.do("CreateInvoice", account_id=account_id, payment_days=30)
    issued = await billing.do("IssueInvoice", invoice_id=draft.invoice_id, issued_on=days_ago(days))
    assert issued.due_on == days_ago(days - 30)

    async def reminders(**fields: Any) -> list[pb.Reminder]:
        answer = await billing.do("ListReminders", page_size=100, **fields)
        return [one for one in answer.reminders if one.account_id == account_id]

    (reminder,) = await reminders()
    assert (reminder.days_overdue, reminder.level) == (days - 30, level)
    assert reminder.open.minor_units == 700
    assert await reminders(minimum_days_overdue=days - 30)
    assert not await reminders(minimum_days_overdue=days - 29)
    await billing.pay(account_id, 700)
    assert not await reminders()


async def test_backdated_invoice_counts_on_its_day(billing: Client) -> None:
    account_id = await billing.account()
    draft = await draft_of(billing, account_id, 700)
    await billing.do("IssueInvoice", invoice_id=draft.invoice_id, issued_on=days_ago(10))

    async def due(day: str) -> int:
        balance = await billing.do("GetBalance", account_id=account_id, as_of=day)
        return int(balance.due.minor_units)

    assert [await due(days_ago(days)) for days in (11, 10, 0)] == [0, 700, 700]
    statement = await billing.do(
        "GetStatement", account_id=account_id, **{"from": days_ago(5), "to": days_ago(0)}
    )
    assert (statement.opening.minor_units, len(statement.lines)) == (700, 0)


async def test_invoice_is_not_issued_in_the_future(billing: Client) -> None:
    draft = await draft_of(billing, await billing.account(), 100)
    problem = await billing.refusal(
        "IssueInvoice", invoice_id=draft.invoice_id, issued_on=days_ago(-1)
    )
    assert problem.faults[0].code == "in_the_future"


@pytest.mark.parametrize("currency", ["JPY", "KWD"])
async def test_accounts_in_other_currencies_keep_their_own_books(
    billing: Client, currency: str
) -> None:
    account_id = await billing.account(currency=currency)
    invoice = await billing.invoice(account_id, 1_001)
    assert invoice.total == pb.Money(minor_units=1_001, currency=currency)
    problem = await billing.refusal(
        "RecordPayment",
        account_id=account_id,
        amount={"minor_units": 1, "currency": "USD"},
        method="PAYMENT_METHOD_CARD",
    )
    assert problem.faults[0].pointer == "amount/currency"
    await billing.pay(account_id, 1_001)
    assert await billing.due(account_id) == 0


async def test_request_that_is_sent_many_times_at_once_has_one_answer(billing: Client) -> None:
    account_id = await billing.account()
    request_id = new_id()
    calls = (
        billing.do(
            "AddChargeItem",
            request_id=request_id,
            account_id=account_id,
            code="c",
            unit_price={"minor_units": 5},
        )
        for _ in range(10)
    )
    answers = await asyncio.gather(*calls)
    assert len({answer.charge_item_id for answer in answers}) == 1
    assert len((await billing.do("ListChargeItems", account_id=account_id)).charge_items) == 1
    problem = await billing.refusal(
        "AddChargeItem",
        request_id=request_id,
        account_id=account_id,
        code="other",
        unit_price={"minor_units": 5},
    )
    assert (problem.status, problem.code) == (422, "request_id_reused")


async def test_deadline_ends_a_call_and_changes_nothing(billing: Client) -> None:
    account_id = await billing.account()
    async with billing.database.transaction() as connection:
        await connection.execute("SELECT FROM account WHERE account_id = $1 FOR UPDATE", account_id)
        request = pb.AddChargeItemRequest(
            request_id=new_id(), account_id=account_id, code="c", unit_price=pb.Money(minor_units=1)
        )
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await billing.call("AddChargeItem", request, user="manager", timeout=0.3)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert not (await billing.do("ListChargeItems", account_id=account_id)).charge_items
