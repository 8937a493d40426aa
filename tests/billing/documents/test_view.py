"""What stands on a document: the figures of the API's own answers, each under its label."""

from dataclasses import replace

import pytest

from apps.billing.documents.rendering import first_amount
from apps.billing.documents.view import (
    View,
    percent,
    recipient_of,
    view_credit_note,
    view_invoice,
    view_receipt,
    view_statement,
)
from apps.billing.settings import Seller
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.documents.amounts import usd

SELLER = replace(Seller(), name="Clinic")


def invoice() -> pb.Invoice:
    line = pb.InvoiceLine(
        code="c",
        description="Visit",
        service_on="2026-03-01",
        quantity="1.5",
        unit_price=usd(1_000),
        discount=usd(0),
        net=usd(1_500),
        tax=usd(285),
        total=usd(1_785),
    )
    nameless = pb.InvoiceLine()
    nameless.CopyFrom(line)
    nameless.description = ""
    nameless.discount.CopyFrom(usd(7))
    return pb.Invoice(
        number="2026-7",
        issued_on="2026-03-02",
        due_on="2026-04-01",
        account_id="account-1",
        payer_id="payer-1",
        terms="thirty days",
        lines=[line, nameless],
        taxes=[
            pb.TaxTotal(tax_category="standard", rate_basis_points=1_900, tax=usd(570)),
            pb.TaxTotal(tax_category="exempt", rate_basis_points=0, tax=usd(0)),
        ],
        net=usd(3_000),
        total=usd(3_570),
        paid=usd(1),
        credited=usd(0),
        written_off=usd(3),
        open=usd(3_566),
    )


def test_invoice_shows_its_lines_taxes_and_what_is_left() -> None:
    view = view_invoice(invoice(), SELLER, "patient-1", "")
    assert (view.title, view.file_name) == ("Invoice 2026-7", "invoice-2026-7")
    assert (view.recipient, view.seller, view.note) == ("Payer payer-1", SELLER, "thirty days")
    assert view.facts == [
        ("Number", "2026-7"),
        ("Date", "2026-03-02"),
        ("Due", "2026-04-01"),
        ("Patient", "patient-1"),
        ("Account", "account-1"),
    ]
    amounts = ("$15.00", "$2.85", "$17.85")
    assert view.rows == [
        ("Visit", "2026-03-01", "1.5", "$10.00", "", *amounts),
        ("c", "2026-03-01", "1.5", "$10.00", "$0.07", *amounts),
    ]
    assert view.totals == [
        ("Net", "$30.00"),
        ("Tax standard 19 %", "$5.70"),
        ("Total", "$35.70"),
        ("Paid", "$0.01"),
        ("Written off", "$0.03"),
        ("To pay", "$35.66"),
    ]
    assert view.columns[first_amount(view) :][0] == "Quantity"


def test_draft_is_called_one() -> None:
    draft = invoice()
    draft.number = ""
    view = view_invoice(draft, SELLER, "patient-1", "A. Payer")
    assert (view.title, view.file_name) == ("Draft of an invoice", "invoice-draft")
    assert (view.facts[0], view.recipient) == (("Number", "not issued"), "A. Payer")


def test_credit_note_names_its_invoice_and_reason() -> None:
    line = pb.InvoiceLine(code="c", net=usd(100), tax=usd(19), total=usd(119))
    note = pb.CreditNote(number="2026-3", issued_on="2026-03-05", reason="mistake", lines=[line])
    note.net.CopyFrom(usd(100))
    note.tax.CopyFrom(usd(19))
    note.total.CopyFrom(usd(119))
    view = view_credit_note(invoice(), note, SELLER, "patient-1", "")
    assert (view.title, view.file_name, view.note) == (
        *("Credit note 2026-3", "credit-note-2026-3", "mistake"),
    )
    assert view.facts == [
        ("Number", "2026-3"),
        ("Date", "2026-03-05"),
        ("Invoice", "2026-7"),
        ("Patient", "patient-1"),
        ("Account", "account-1"),
    ]
    assert view.rows == [("c", "$1.00", "$0.19", "$1.19")]
    assert view.totals == [("Net", "$1.00"), ("Tax", "$0.19"), ("Credited", "$1.19")]
    assert first_amount(view) == 1


@pytest.mark.parametrize("refunded", [0, 50])
def test_receipt_shows_what_was_paid_with_it(refunded: int) -> None:
    payment = pb.Payment(
        receipt_number="2026-9",
        account_id="account-1",
        method=pb.PAYMENT_METHOD_TRANSFER,
        reference="ref",
        amount=usd(500),
        refunded=usd(refunded),
        unallocated=usd(25),
        allocations=[
            pb.Allocation(invoice_id="i1", amount=usd(400)),
            pb.Allocation(invoice_id="i2", amount=usd(75)),
        ],
    )
    payment.received_at.FromJsonString("2026-03-04T09:30:00Z")
    view = view_receipt(payment, {"i1": "2026-7"}, SELLER, "patient-1", "")
    assert (view.title, view.file_name) == ("Receipt 2026-9", "receipt-2026-9")
    assert view.recipient == "Patient patient-1"
    assert view.facts == [
        ("Number", "2026-9"),
        ("Received", "2026-03-04"),
        ("By", "bank transfer"),
        ("Reference", "ref"),
        ("Account", "account-1"),
    ]
    assert view.rows == [("2026-7", "$4.00"), ("i2", "$0.75")]
    refunds = [("Refunded", "$0.50")] if refunded else []
    assert view.totals == [("Received", "$5.00"), *refunds, ("Credit", "$0.25")]


@pytest.mark.parametrize("begin", ["", "2026-03-01"])
def test_statement_shows_each_movement_with_its_balance(begin: str) -> None:
    line = pb.StatementLine(kind="refund", number="2026-9", amount=usd(50), balance=usd(-20))
    line.effective_at.FromJsonString("2026-03-04T09:30:00Z")
    statement = pb.Statement(
        account_id="account-1", to="2026-03-31", lines=[line], opening=usd(-70), closing=usd(-20)
    )
    setattr(statement, "from", begin)
    view = view_statement(statement, SELLER, "patient-1", "A. Payer")
    assert (view.file_name, view.recipient) == ("statement-2026-03-31", "A. Payer")
    assert view.facts == [
        ("From", begin or "the beginning"),
        ("To", "2026-03-31"),
        ("Patient", "patient-1"),
        ("Account", "account-1"),
    ]
    assert view.rows == [("2026-03-04", "Refund", "2026-9", "$0.50", "-$0.20")]
    assert view.totals == [
        ("Balance at the beginning", "-$0.70"),
        ("Balance at the end", "-$0.20"),
    ]


def test_recipient_is_named_or_else_the_payer_or_the_patient() -> None:
    assert recipient_of("A. Payer", "payer-1", "patient-1") == "A. Payer"
    assert recipient_of("", "payer-1", "patient-1") == "Payer payer-1"
    assert recipient_of("", "", "patient-1") == "Patient patient-1"


@pytest.mark.parametrize(
    ("points", "text"),
    [(0, "0 %"), (5, "0.05 %"), (700, "7 %"), (750, "7.5 %"), (1_900, "19 %"), (10_000, "100 %")],
)
def test_percentage_has_no_more_decimals_than_it_needs(points: int, text: str) -> None:
    assert percent(points) == text


def test_words_stand_before_amounts() -> None:
    columns = ("Date", "What", "Number", "Amount", "Balance")
    view = View(
        title="",
        file_name="",
        recipient="",
        seller=SELLER,
        facts=[],
        columns=columns,
        rows=[],
        totals=[],
    )
    assert columns[first_amount(view)] == "Amount"
