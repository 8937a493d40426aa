"""Documents for people, and exports for accountants: the figures of the API, read back
by other tools.
"""

import io
from collections.abc import Iterator
from typing import Any

import facturx
import pytest
from beancount import loader
from beancount.core.inventory import Inventory
from beancount.core.realization import iter_children, realize
from lxml import etree
from pypdf import PdfReader

from tests.billing.conftest import Client
from tests.billing.documents.exports import export, fill_books

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def billing_database(make_database: Any) -> Iterator[str]:
    with make_database("billing") as (runtime_url, _):
        yield runtime_url


async def document(billing: Client, kind: str, **fields: Any) -> bytes:
    answer = await billing.do("GetDocument", format=f"DOCUMENT_FORMAT_{kind}", **fields)
    return bytes(answer.content)


async def test_invoice_has_the_same_figures_on_paper_and_in_its_data(billing: Client) -> None:
    account_id = await billing.account()
    charge: dict[str, Any] = {
        "code": "c<1>",
        "description": "Visit & <b>more</b>",
        "quantity_decimal": "1.5",
        "discount": {"percent_basis_points": 1_000, "reason": "staff"},
        "tax_category": "standard",
        "unit_price": {"minor_units": 123_456},
    }
    await billing.do("AddChargeItem", account_id=account_id, **charge)
    draft = await billing.do("CreateInvoice", account_id=account_id)
    assert (
        await billing.refusal(
            "GetDocument", invoice_id=draft.invoice_id, format="DOCUMENT_FORMAT_PDF"
        )
    ).code == "invoice_not_issued"
    invoice = await billing.do("IssueInvoice", invoice_id=draft.invoice_id)
    assert invoice.total.minor_units == 198_333

    page = (await document(billing, "HTML", invoice_id=invoice.invoice_id)).decode()
    pdf = await document(billing, "PDF", invoice_id=invoice.invoice_id, recipient_name="A. Payer")
    xml = await document(billing, "XML", invoice_id=invoice.invoice_id)
    reader = PdfReader(io.BytesIO(pdf))
    text = "".join(sheet.extract_text() for sheet in reader.pages)
    for shown in (page, text):
        assert invoice.number in shown
        assert "$1,983.33" in shown
    assert "Visit &amp; &lt;b&gt;more" in page
    assert "A. Payer" in text

    # Tagged PDF/A-3 with the invoice's data inside.
    catalogue: Any = reader.trailer["/Root"]
    assert catalogue["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in catalogue
    metadata = catalogue["/Metadata"].get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part>" in metadata
    assert "<pdfaid:conformance>A</pdfaid:conformance>" in metadata
    name, inside = facturx.get_xml_from_pdf(pdf)
    assert name == "factur-x.xml"
    assert facturx.xml_check_xsd(inside, flavor="factur-x", level="en16931")
    for data in (xml, inside):
        tree = etree.fromstring(data)
        assert tree.findtext(".//{*}GrandTotalAmount") == "1983.33"
        assert tree.findtext(".//{*}TaxTotalAmount") == "316.67"
        assert tree.findtext(".//{*}LineTotalAmount") == "1666.66"
        assert tree.findtext("{*}ExchangedDocument/{*}ID") == invoice.number


async def test_credit_note_names_its_invoice(billing: Client) -> None:
    account_id = await billing.account()
    coverage = {"payer_id": "p", "share": "COVERAGE_SHARE_FIXED", "amount": {"minor_units": 333}}
    await billing.do("SetCoverage", account_id=account_id, coverages=[coverage])
    invoice = await billing.invoice(account_id, 1_000, 500)
    shared = await document(billing, "XML", invoice_id=invoice.payer_invoices[0].invoice_id)
    assert facturx.xml_check_xsd(shared, flavor="factur-x", level="en16931")
    cancelled = await billing.do("CancelInvoice", invoice_id=invoice.invoice_id, reason="mistake")
    note = cancelled.credit_notes[0]
    pdf = await document(billing, "PDF", credit_note_id=note.credit_note_id)
    _, inside = facturx.get_xml_from_pdf(pdf)
    tree = etree.fromstring(inside)
    assert tree.findtext("{*}ExchangedDocument/{*}TypeCode") == "381"
    assert tree.findtext(".//{*}InvoiceReferencedDocument/{*}IssuerAssignedID") == invoice.number
    assert tree.findtext(".//{*}GrandTotalAmount") == "11.67"


async def test_receipt_and_statement_are_written(billing: Client) -> None:
    account_id = await billing.account()
    invoice = await billing.invoice(account_id, 1_000)
    payment = await billing.pay(account_id, 1_250)
    receipt = (await document(billing, "HTML", payment_id=payment.payment_id)).decode()
    for shown in (payment.receipt_number, invoice.number, "$12.50", "$2.50"):
        assert shown in receipt
    for fields in ({"payment_id": payment.payment_id}, {"account_id": account_id}):
        pdf = PdfReader(io.BytesIO(await document(billing, "PDF", **fields)))
        catalogue: Any = pdf.trailer["/Root"]
        assert "/StructTreeRoot" in catalogue
    statement = (await document(billing, "HTML", account_id=account_id)).decode()
    assert statement.count("<tr>") >= 4
    assert "-$2.50" in statement


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"format": "DOCUMENT_FORMAT_PDF"}, "one_document"),
        ({"invoice_id": "i", "payment_id": "p", "format": "DOCUMENT_FORMAT_PDF"}, "one_document"),
        ({"invoice_id": "i"}, "invalid_format"),
        ({"invoice_id": "i", "format": "DOCUMENT_FORMAT_PDF"}, "invoice_unknown"),
    ],
)
async def test_bad_request_for_a_document_is_refused(
    billing: Client, fields: dict[str, Any], code: str
) -> None:
    assert (await billing.refusal("GetDocument", **fields)).code == code


async def test_beancount_reads_the_journal_and_comes_to_the_same_balances(
    billing: Client,
) -> None:
    expected = await fill_books(billing)
    entries, errors, _ = loader.load_string(await export(billing, "JOURNAL"))
    assert errors == []
    found = {node.account: node.balance for node in iter_children(realize(entries))}  # type: ignore[no-untyped-call]
    for (name, currency), amount in expected.items():
        balance: Inventory = found[name]
        assert balance.get_currency_units(currency).number == amount, name  # type: ignore[no-untyped-call]


async def test_csv_has_every_entry_and_both_sides_are_equal(billing: Client) -> None:
    import csv
    from decimal import Decimal

    await billing.invoice(await billing.account(), 1_001)
    rows = list(csv.DictReader(io.StringIO(await export(billing, "CSV"))))
    async with billing.database.connection() as connection:
        assert len(rows) == await connection.fetchval("SELECT count(*) FROM ledger_entry")
    for currency in {row["currency"] for row in rows}:
        sides = [
            sum(Decimal(row[side] or 0) for row in rows if row["currency"] == currency)
            for side in ("debit", "credit")
        ]
        assert sides[0] == sides[1]
