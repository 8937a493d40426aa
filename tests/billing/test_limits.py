"""The last amount, number and day that a change takes, and the first that it refuses."""

from typing import Any

import pytest

from apps.billing.invoicing.crediting import spread_credit
from apps.billing.invoicing.methods import MAX_CHARGES
from apps.billing.ledger.methods import MAX_EXPORT_TRANSACTIONS
from apps.billing.money import MAX_MINOR_UNITS
from apps.billing.pages import write_token
from apps.billing.payments.allocating import MAX_ALLOCATIONS
from apps.kit.context import new_id
from apps.kit.errors import Problem, Unprocessable
from tests.billing.conftest import Client

integration = pytest.mark.integration


def money(amount: int) -> dict[str, int]:
    return {"minor_units": amount}


def named(problem: Problem) -> list[str]:
    return [fault.code for fault in problem.faults]


@integration
async def test_discount_may_be_the_whole_charge(billing: Client) -> None:
    account_id = await billing.account()
    free = await billing.charge(account_id, 500, discount={"amount": money(500), "reason": "r"})
    assert free.net.minor_units == 0
    problem = await billing.refusal(
        "AddChargeItem",
        account_id=account_id,
        code="own",
        unit_price=money(500),
        discount={"amount": money(501), "reason": "r"},
    )
    assert problem.code == "discount_too_large"


@integration
async def test_charge_may_be_as_large_as_the_books_hold(billing: Client) -> None:
    account_id = await billing.account()
    charge = await billing.charge(account_id, MAX_MINOR_UNITS)
    assert charge.net.minor_units == MAX_MINOR_UNITS
    problem = await billing.refusal(
        "AddChargeItem",
        account_id=account_id,
        code="own",
        unit_price=money(MAX_MINOR_UNITS),
        quantity_decimal="1.001",
    )
    assert problem.code == "amount_too_large"


@integration
@pytest.mark.parametrize(("days", "taken"), [(-1, False), (365, True), (366, False)])
async def test_invoice_is_due_within_a_year(billing: Client, days: int, taken: bool) -> None:
    account_id = await billing.account()
    await billing.charge(account_id, 100)
    if taken:
        await billing.do("CreateInvoice", account_id=account_id, payment_days=days)
        return
    problem = await billing.refusal("CreateInvoice", account_id=account_id, payment_days=days)
    assert named(problem) == ["invalid_payment_days"]


@integration
async def test_invoice_names_at_most_a_thousand_charges(billing: Client) -> None:
    account_id = await billing.account()
    ids = [new_id() for _ in range(MAX_CHARGES)]
    fields: dict[str, Any] = {"account_id": account_id}
    unknown = await billing.refusal("CreateInvoice", charge_item_ids=ids, **fields)
    assert unknown.code == "charge_item_not_billable"
    # Of what is missing the first few are named.
    assert [id for id in sorted(ids) if id in unknown.detail] == sorted(ids)[:5]
    too_many = await billing.refusal("CreateInvoice", charge_item_ids=[*ids, new_id()], **fields)
    assert named(too_many) == ["too_many_charges"]


@integration
async def test_credit_names_at_most_a_thousand_lines(billing: Client) -> None:
    invoice = await billing.invoice(await billing.account(), 100)
    for count, code in ((MAX_CHARGES, "line_twice"), (MAX_CHARGES + 1, "invalid_request")):
        problem = await billing.refusal(
            "CreditInvoice",
            invoice_id=invoice.invoice_id,
            lines=[{"line": 1, "amount": money(1)}] * count,
            reason="r",
        )
        assert problem.code == code


@pytest.mark.parametrize(("amount", "lines"), [(110, []), (0, [(1, 110)])])
def test_credit_may_be_all_that_is_left(amount: int, lines: list[tuple[int, int]]) -> None:
    left = {1: (100, 10)}
    assert spread_credit(left, amount, lines) == left
    more = [(number, part + 1) for number, part in lines]
    with pytest.raises(Unprocessable, match="credit_too_large"):
        spread_credit(left, amount + 1, more)


@integration
async def test_credit_ends_at_what_was_not_written_off(billing: Client) -> None:
    invoice = await billing.invoice(await billing.account(), 500)
    of_it = {"invoice_id": invoice.invoice_id, "reason": "r"}
    await billing.do("WriteOffInvoice", amount=money(100), **of_it)
    problem = await billing.refusal("CreditInvoice", amount=money(401), **of_it)
    assert problem.code == "credit_too_large"
    credited = await billing.do("CreditInvoice", amount=money(400), **of_it)
    assert credited.credited.minor_units == 400
    assert await billing.differences() == []


@integration
async def test_whole_payment_may_be_allocated_and_all_of_an_invoice_be_paid(
    billing: Client,
) -> None:
    account_id = await billing.account()
    invoice = await billing.invoice(account_id, 100)
    fields: dict[str, Any] = {"account_id": account_id, "amount": money(100)}
    fields["method"] = "PAYMENT_METHOD_CARD"

    def of(amount: int, invoice_id: str = invoice.invoice_id) -> dict[str, Any]:
        return {"invoice_id": invoice_id, "amount": money(amount)}

    for allocations, codes in (
        ([of(101)], ["more_than_paid"]),
        ([of(50), of(50)], ["invoice_twice"]),
        ([of(1, new_id()) for _ in range(MAX_ALLOCATIONS + 1)], ["too_many_allocations"]),
    ):
        problem = await billing.refusal("RecordPayment", allocations=allocations, **fields)
        assert named(problem) == codes
    many = [of(1, new_id()) for _ in range(MAX_ALLOCATIONS)]
    assert (await billing.refusal("RecordPayment", allocations=many, **fields)).code == (
        "more_than_open"
    )
    await billing.do("RecordPayment", allocations=[of(100)], **fields)
    assert await billing.due(account_id) == 0


@integration
async def test_whole_payment_may_be_refunded(billing: Client) -> None:
    payment = await billing.pay(await billing.account(), 100, keep_as_credit=True)
    refund: dict[str, Any] = {"payment_id": payment.payment_id, "reason": "r"}
    assert (await billing.refusal("RefundPayment", amount=money(101), **refund)).code == (
        "refund_too_large"
    )
    refunded = await billing.do("RefundPayment", amount=money(100), **refund)
    assert refunded.refunded.minor_units == 100


@integration
async def test_whole_credit_may_be_applied_to_all_that_is_open(billing: Client) -> None:
    account_id = await billing.account()
    await billing.pay(account_id, 100, keep_as_credit=True)
    await billing.invoice(account_id, 80)
    for amount, code in ((101, "credit_too_small"), (81, "more_than_open")):
        problem = await billing.refusal("ApplyCredit", account_id=account_id, amount=money(amount))
        assert problem.code == code
    await billing.do("ApplyCredit", account_id=account_id, amount=money(80))
    assert await billing.due(account_id) == -20
    nothing: dict[str, Any] = {}
    for fields in (nothing, {"amount": money(1)}):
        problem = await billing.refusal("ApplyCredit", account_id=account_id, **fields)
        assert problem.code == "more_than_open"


@integration
async def test_all_that_is_open_may_be_written_off(billing: Client) -> None:
    account_id = await billing.account()
    invoice = await billing.invoice(account_id, 500)
    await billing.do(
        "WriteOffInvoice", invoice_id=invoice.invoice_id, amount=money(500), reason="r"
    )
    assert await billing.due(account_id) == 0


@integration
@pytest.mark.parametrize(
    ("days", "taken"), [(-1, False), (0, True), (36_500, True), (36_501, False)]
)
async def test_reminders_are_of_the_last_hundred_years(
    billing: Client, days: int, taken: bool
) -> None:
    if taken:
        await billing.do("ListReminders", minimum_days_overdue=days)
        return
    problem = await billing.refusal("ListReminders", minimum_days_overdue=days)
    assert named(problem) == ["invalid_days"]


@integration
async def test_statement_may_be_of_one_day(billing: Client) -> None:
    account_id = await billing.account()
    one = {"account_id": account_id, "from": "2026-03-02"}
    await billing.do("GetStatement", to="2026-03-02", **one)
    problem = await billing.refusal("GetStatement", to="2026-03-01", **one)
    assert named(problem) == ["ends_before_it_begins"]


@integration
@pytest.mark.parametrize(
    ("line", "taken"), [(0, False), (1, True), (2**15 - 1, True), (2**15, False)]
)
async def test_page_of_entries_begins_after_a_line_of_a_transaction(
    billing: Client, line: int, taken: bool
) -> None:
    fields = {"account_id": await billing.account(), "page_token": write_token(new_id(), line)}
    if taken:
        await billing.do("ListLedgerEntries", **fields)
        return
    problem = await billing.refusal("ListLedgerEntries", **fields)
    assert (problem.status, problem.code) == (400, "invalid_page_token")


@integration
async def test_export_has_at_most_a_thousand_transactions_a_page(billing: Client) -> None:
    fields = {"format": "EXPORT_FORMAT_CSV"}
    await billing.do("ExportLedger", page_size=MAX_EXPORT_TRANSACTIONS, **fields)
    problem = await billing.refusal("ExportLedger", page_size=MAX_EXPORT_TRANSACTIONS + 1, **fields)
    assert problem.code == "invalid_page_size"


@integration
@pytest.mark.parametrize("row_id", ["9" * 18, "9" * 19, "-1", "²", ""])
async def test_row_of_the_outbox_that_nobody_has_is_unknown(billing: Client, row_id: str) -> None:
    for rpc in ("RetryOutboxRow", "DiscardOutboxRow"):
        problem = await billing.refusal(rpc, "operator", row_id=row_id)
        assert (problem.status, problem.code) == (404, "outbox_row_unknown")
