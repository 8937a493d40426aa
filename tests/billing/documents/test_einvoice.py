"""Lines of an e-invoice: as they were charged, or as one piece where only a part is invoiced."""

from typing import Any

import pytest
from lxml import etree

from apps.billing.documents.einvoice import write_credit_note, write_invoice
from apps.billing.settings import Seller
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.documents.amounts import usd


def line(net: int, *, quantity: str = "1.5", discount: int = 0, reason: str = "") -> pb.InvoiceLine:
    return pb.InvoiceLine(
        line=1,
        code="c",
        quantity=quantity,
        unit_price=usd(1_000),
        discount=usd(discount),
        discount_reason=reason,
        net=usd(net),
        tax=usd(0),
        total=usd(net),
        tax_category="exempt",
        service_on="2026-03-01",
    )


def invoice_of(one: pb.InvoiceLine) -> pb.Invoice:
    net = one.net
    tax = pb.TaxTotal(tax_category="exempt", rate_basis_points=0, net=net, tax=usd(0))
    return pb.Invoice(
        number="2026-7",
        issued_on="2026-03-02",
        due_on="2026-04-01",
        lines=[one],
        taxes=[tax],
        net=net,
        tax=usd(0),
        total=net,
    )


def written(xml: bytes) -> dict[str, Any]:
    tree: Any = etree.fromstring(xml)

    def text(name: str) -> Any:
        return tree.findtext(f".//{{*}}IncludedSupplyChainTradeLineItem//{{*}}{name}")

    names = ("Name", "BilledQuantity", "ChargeAmount", "ActualAmount", "Reason", "LineTotalAmount")
    return {name: text(name) for name in names}


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (line(1_500), ("1.5", "10.00", None, None, "15.00")),
        (line(1_400, discount=100), ("1.5", "10.00", "1.00", "Discount", "14.00")),
        (line(1_400, discount=100, reason="staff"), ("1.5", "10.00", "1.00", "staff", "14.00")),
        # A share of a charge, and a part that is credited.
        (line(1_499), ("1", "14.99", None, None, "14.99")),
        (line(700, discount=100), ("1", "7.00", None, None, "7.00")),
        (line(700, quantity=""), ("1", "7.00", None, None, "7.00")),
    ],
)
def test_line_is_written_so_that_its_sum_can_be_calculated(
    one: pb.InvoiceLine, expected: tuple[Any, ...]
) -> None:
    found = written(write_invoice(invoice_of(one), Seller(), "A. Payer"))
    assert tuple(found.values()) == ("c", *expected)


def test_credit_note_adds_up_each_tax_category() -> None:
    one, other = line(700), line(300)
    note = pb.CreditNote(
        number="2026-3",
        issued_on="2026-03-05",
        reason="mistake",
        lines=[one, other],
        net=usd(1_000),
        tax=usd(0),
        total=usd(1_000),
    )
    tree: Any = etree.fromstring(
        write_credit_note(invoice_of(line(1_500)), note, Seller(), "A. Payer")
    )
    settlement = tree.find(".//{*}ApplicableHeaderTradeSettlement")
    assert settlement.findtext("{*}ApplicableTradeTax/{*}BasisAmount") == "10.00"
    assert settlement.findtext(".//{*}IssuerAssignedID") == "2026-7"
    assert settlement.findtext(".//{*}FormattedIssueDateTime/{*}DateTimeString") == "20260302"
    document = tree.find("{*}ExchangedDocument")
    assert document.findtext("{*}ID") == "2026-3"
    assert document.findtext("{*}IncludedNote/{*}Content") == "mistake"
    assert tree.findtext(".//{*}BuyerTradeParty/{*}Name") == "A. Payer"
