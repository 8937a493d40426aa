"""What is not there, or not as it must be, is refused with a code of its own."""

from dataclasses import replace
from typing import Any

import pytest

from apps.billing.accounts.coverage import MAX_COVERAGES
from apps.billing.books import Books
from apps.billing.charges.patient_events import read_event
from apps.billing.ledger import statement
from apps.billing.settings import Settings
from apps.kit.context import new_id
from apps.kit.event_batch import UnreadableError
from apps.kit.rpc import open_channel
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1.billing_pb2_grpc import BillingStub
from tests.billing.charges.events import fact, patient_event
from tests.billing.conftest import ENVIRONMENT, Client, FakeVerifier, make_server

integration = pytest.mark.integration
AMOUNT = {"minor_units": 1}
CARD = {"amount": AMOUNT, "method": "PAYMENT_METHOD_CARD"}
REASON = {"reason": "r"}
PDF = {"format": "DOCUMENT_FORMAT_PDF"}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("GetAccount", "account", {}),
    ("UpdateAccountStatus", "account", {"status": "ACCOUNT_STATUS_ON_HOLD"}),
    ("SetCoverage", "account", {}),
    ("GetBalance", "account", {}),
    ("GetStatement", "account", {}),
    ("ListLedgerEntries", "account", {}),
    ("AddChargeItem", "account", {"code": "c", "unit_price": AMOUNT}),
    ("ListChargeItems", "account", {}),
    ("VoidChargeItem", "charge_item", REASON),
    ("CreateInvoice", "account", {}),
    ("CreateInvoice", "account", {"dry_run": True}),
    ("ListInvoices", "account", {}),
    ("IssueInvoice", "invoice", {}),
    ("CancelInvoice", "invoice", REASON),
    ("CreditInvoice", "invoice", {"amount": AMOUNT, **REASON}),
    ("GetInvoice", "invoice", {}),
    ("WriteOffInvoice", "invoice", {"amount": AMOUNT, **REASON}),
    ("ApproveWriteOff", "write_off", {}),
    ("RefuseWriteOff", "write_off", REASON),
    ("RecordPayment", "account", CARD),
    ("RecordPayment", "invoice", CARD),
    ("ListPayments", "account", {}),
    ("GetPayment", "payment", {}),
    ("RefundPayment", "payment", {"amount": AMOUNT, **REASON}),
    ("ApplyCredit", "account", {}),
    ("GetCashDay", "cash_day", {}),
    ("CountCashDay", "cash_day", {"counted": AMOUNT}),
    ("CloseCashDay", "cash_day", {}),
    ("GetDocument", "account", PDF),
    ("GetDocument", "invoice", PDF),
    ("GetDocument", "credit_note", PDF),
    ("GetDocument", "payment", PDF),
]


@integration
@pytest.mark.parametrize(("rpc", "kind", "fields"), CASES)
async def test_what_nobody_has_is_not_found(
    billing: Client, rpc: str, kind: str, fields: dict[str, Any]
) -> None:
    for id in (new_id(), "banana"):
        problem = await billing.refusal(rpc, **{f"{kind}_id": id}, **fields)
        assert (problem.status, problem.code) == (404, f"{kind}_unknown"), id


@integration
@pytest.mark.parametrize(
    "rpc", ["ListInvoices", "ListChargeItems", "ListWriteOffs", "UpdateAccountStatus"]
)
async def test_status_that_is_none_is_refused(billing: Client, rpc: str) -> None:
    fields = {} if rpc == "ListWriteOffs" else {"account_id": await billing.account()}
    problem = await billing.refusal(rpc, status=99, **fields)
    assert (problem.status, problem.code) == (400, "invalid_status")


@integration
async def test_lists_are_of_the_status_that_is_asked_for(billing: Client) -> None:
    account_id = await billing.account()
    issued = await billing.invoice(account_id, 100)
    charge = await billing.charge(account_id, 50)
    draft = await billing.do("CreateInvoice", account_id=account_id)
    for status, expected in (("ISSUED", issued), ("DRAFT", draft)):
        answer = await billing.do(
            "ListInvoices", account_id=account_id, status=f"INVOICE_STATUS_{status}"
        )
        assert [each.invoice_id for each in answer.invoices] == [expected.invoice_id]
    charges = await billing.do(
        "ListChargeItems", account_id=account_id, status="CHARGE_ITEM_STATUS_BILLABLE"
    )
    assert [each.charge_item_id for each in charges.charge_items] == [charge.charge_item_id]


@integration
async def test_charge_is_voided_once_and_not_after_it_was_billed(billing: Client) -> None:
    account_id = await billing.account()
    charge = await billing.charge(account_id, 100)
    fields: dict[str, Any] = {"charge_item_id": charge.charge_item_id, **REASON}
    stale = await billing.refusal("VoidChargeItem", expected_version=charge.version + 1, **fields)
    assert stale.code == "stale_version"
    await billing.do("VoidChargeItem", **fields)
    assert (await billing.refusal("VoidChargeItem", **fields)).code == "charge_item_voided"
    invoice = await billing.invoice(account_id, 100)
    fields["charge_item_id"] = invoice.charge_item_ids[0]
    assert (await billing.refusal("VoidChargeItem", **fields)).code == "charge_item_billed"


@integration
async def test_draft_whose_charges_were_all_voided_is_not_issued(billing: Client) -> None:
    account_id = await billing.account()
    charge = await billing.charge(account_id, 100)
    draft = await billing.do("CreateInvoice", account_id=account_id)
    await billing.do("VoidChargeItem", charge_item_id=charge.charge_item_id, **REASON)
    empty = await billing.do("GetInvoice", invoice_id=draft.invoice_id)
    assert (empty.total.minor_units, empty.status) == (0, pb.INVOICE_STATUS_DRAFT)
    problem = await billing.refusal("IssueInvoice", invoice_id=draft.invoice_id)
    assert (problem.status, problem.code) == (422, "invoice_empty")


@integration
async def test_invoice_is_taken_back_only_as_far_as_it_stands(billing: Client) -> None:
    account_id = await billing.account()
    await billing.charge(account_id, 100)
    draft = await billing.do("CreateInvoice", account_id=account_id)
    credit: dict[str, Any] = {"amount": AMOUNT, **REASON}
    problem = await billing.refusal("CreditInvoice", invoice_id=draft.invoice_id, **credit)
    assert problem.code == "invoice_not_issued"
    fields: dict[str, Any] = {"invoice_id": draft.invoice_id}
    await billing.do("IssueInvoice", **fields)
    both = {**credit, "lines": [{"line": 1, "amount": AMOUNT}]}
    problem = await billing.refusal("CreditInvoice", **fields, **both)
    assert [fault.code for fault in problem.faults] == ["contradiction"]
    for numbers, code in (([2], "line_unknown"), ([1, 1], "line_twice")):
        lines = [{"line": number, "amount": AMOUNT} for number in numbers]
        problem = await billing.refusal("CreditInvoice", lines=lines, **fields, **REASON)
        assert (problem.status, problem.code) == (422, code)
    await billing.do("WriteOffInvoice", **fields, **credit)
    problem = await billing.refusal("CancelInvoice", **fields, **REASON)
    assert problem.code == "invoice_written_off"


@integration
async def test_account_has_at_most_ten_coverages(billing: Client) -> None:
    account_id = await billing.account()
    one = {"share": "COVERAGE_SHARE_FIXED", "amount": AMOUNT}
    coverages = [{"payer_id": f"p{number}", **one} for number in range(MAX_COVERAGES + 1)]
    fields: dict[str, Any] = {"account_id": account_id}
    problem = await billing.refusal("SetCoverage", coverages=coverages, **fields)
    assert [fault.code for fault in problem.faults] == ["too_many_coverages"]
    account = await billing.do("SetCoverage", coverages=coverages[1:], **fields)
    assert len(account.coverages) == MAX_COVERAGES


@integration
@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"share": "COVERAGE_SHARE_UNSPECIFIED"}, "share"),
        ({"share": "COVERAGE_SHARE_PERCENT"}, "percent_basis_points"),
        ({"amount": {"minor_units": 0}}, "amount/minor_units"),
        ({"payer_id": ""}, "payer_id"),
        ({"valid_from": "2026-01-02", "valid_to": "2026-01-01"}, "valid_to"),
    ],
)
async def test_coverage_says_who_pays_what_and_when(
    billing: Client, change: dict[str, Any], pointer: str
) -> None:
    one: dict[str, Any] = {
        "payer_id": "p",
        "share": "COVERAGE_SHARE_FIXED",
        "amount": AMOUNT,
        "valid_from": "2026-01-01",
        "valid_to": "2026-01-01",
    }
    account_id = await billing.account()
    problem = await billing.refusal(
        "SetCoverage", account_id=account_id, coverages=[{**one, **change}]
    )
    assert [fault.pointer for fault in problem.faults] == [f"coverages/0/{pointer}"]
    await billing.do("SetCoverage", account_id=account_id, coverages=[one])


@integration
async def test_statement_is_bounded(billing: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "MAX_LINES", 2)
    account_id = await billing.account()
    for _ in range(2):
        await billing.pay(account_id, 100)
    answer = await billing.do("GetStatement", account_id=account_id)
    assert len(answer.lines) == 2
    await billing.pay(account_id, 100)
    problem = await billing.refusal("GetStatement", account_id=account_id)
    assert (problem.status, problem.code) == (422, "statement_too_long")


@integration
async def test_draft_of_a_tax_category_that_is_gone_is_refused(billing: Client) -> None:
    account_id = await billing.account()
    await billing.charge(account_id, 100, tax_category="reduced")
    draft = await billing.do("CreateInvoice", account_id=account_id)
    settings = replace(Settings.from_environment(ENVIRONMENT), tax_rates={"exempt": 0})
    server = make_server(settings, Books(billing.database, settings), FakeVerifier())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        later = replace(billing, stub=BillingStub(channel))
        problem = await later.refusal("IssueInvoice", invoice_id=draft.invoice_id)
    await server.stop(None)
    assert (problem.status, problem.code) == (422, "tax_category_unknown")


def test_merge_with_what_is_no_id_cannot_be_read() -> None:
    event = patient_event("p", "patient.updated", merged_into="no id")
    with pytest.raises(UnreadableError) as refused:
        read_event(event.SerializeToString())
    assert refused.value.reason == "invalid_merged_into"


def test_time_that_no_calendar_has_cannot_be_read() -> None:
    event = fact("p", "r")
    event.clinical.effective_at.seconds = 2**60
    with pytest.raises(UnreadableError) as refused:
        read_event(event.SerializeToString())
    assert refused.value.reason == "invalid_time"
