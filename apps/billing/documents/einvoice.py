"""The structured e-invoice: EN 16931 in UN/CEFACT's Cross Industry Invoice, inside the
PDF as Factur-X.

Terms (BT-, BG-) are those of EN 16931-1.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from lxml import etree
from lxml.builder import ElementMaker

from apps.billing.charges.charge import gross_of
from apps.billing.money import format_plain
from apps.billing.settings import Seller
from protos.billing.v1 import billing_pb2 as pb

PROFILE = "urn:cen.eu:en16931:2017"
INVOICE, CREDIT_NOTE = "380", "381"
PIECE = "C62"
EXEMPTION = "Medical care, exempt from tax"

_NAMESPACES = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
    "qdt": "urn:un:unece:uncefact:data:standard:QualifiedDataType:100",
}
RSM = ElementMaker(namespace=_NAMESPACES["rsm"], nsmap=_NAMESPACES)
RAM = ElementMaker(namespace=_NAMESPACES["ram"], nsmap=_NAMESPACES)
UDT = ElementMaker(namespace=_NAMESPACES["udt"], nsmap=_NAMESPACES)
QDT = ElementMaker(namespace=_NAMESPACES["qdt"], nsmap=_NAMESPACES)


def write_invoice(invoice: pb.Invoice, seller: Seller, recipient: str) -> bytes:
    """Writes an issued invoice; raises ValueError for one of EN 16931's rules that its
    sums would break.
    """
    rates = {tax.tax_category: tax.rate_basis_points for tax in invoice.taxes}
    lines = [_line(line, rates[line.tax_category]) for line in invoice.lines]
    taxes = [
        _tax(tax.tax_category, tax.rate_basis_points, tax.net, tax.tax) for tax in invoice.taxes
    ]
    settlement = RAM.ApplicableHeaderTradeSettlement(
        RAM.InvoiceCurrencyCode(invoice.total.currency),
        *taxes,
        RAM.SpecifiedTradePaymentTerms(
            *([RAM.Description(invoice.terms)] if invoice.terms else []),
            RAM.DueDateDateTime(_date(invoice.due_on)),
        ),
        _sums(invoice.net, invoice.tax, invoice.total),
    )
    return _document(
        (invoice.number, INVOICE, invoice.issued_on, ""),
        lines=lines,
        seller=seller,
        recipient=recipient,
        delivered_on=invoice.lines[0].service_on if invoice.lines else invoice.issued_on,
        settlement=settlement,
    )


def write_credit_note(
    invoice: pb.Invoice, note: pb.CreditNote, seller: Seller, recipient: str
) -> bytes:
    """Writes a credit note, which names its invoice (BG-3)."""
    rates = {tax.tax_category: tax.rate_basis_points for tax in invoice.taxes}
    sums: dict[str, tuple[int, int]] = {}
    for line in note.lines:
        net, tax = sums.get(line.tax_category, (0, 0))
        sums[line.tax_category] = (net + line.net.minor_units, tax + line.tax.minor_units)
    currency = note.total.currency
    taxes = [
        _tax(
            category,
            rates[category],
            pb.Money(minor_units=net, currency=currency),
            pb.Money(minor_units=tax, currency=currency),
        )
        for category, (net, tax) in sums.items()
    ]
    settlement = RAM.ApplicableHeaderTradeSettlement(
        RAM.InvoiceCurrencyCode(currency),
        *taxes,
        _sums(note.net, note.tax, note.total),
        RAM.InvoiceReferencedDocument(
            RAM.IssuerAssignedID(invoice.number),
            RAM.FormattedIssueDateTime(_date(invoice.issued_on, QDT)),
        ),
    )
    lines = [_line(line, rates[line.tax_category]) for line in note.lines]
    return _document(
        (note.number, CREDIT_NOTE, note.issued_on, note.reason),
        lines=lines,
        seller=seller,
        recipient=recipient,
        delivered_on=note.issued_on,
        settlement=settlement,
    )


def _document(
    head: tuple[str, str, str, str],
    *,
    lines: Sequence[Any],
    seller: Seller,
    recipient: str,
    delivered_on: str,
    settlement: Any,
) -> bytes:
    number, kind, issued_on, note = head
    root = RSM.CrossIndustryInvoice(
        RSM.ExchangedDocumentContext(
            RAM.GuidelineSpecifiedDocumentContextParameter(RAM.ID(PROFILE))
        ),
        RSM.ExchangedDocument(
            RAM.ID(number),
            RAM.TypeCode(kind),
            RAM.IssueDateTime(_date(issued_on)),
            *([RAM.IncludedNote(RAM.Content(note))] if note else []),
        ),
        RSM.SupplyChainTradeTransaction(
            *lines,
            RAM.ApplicableHeaderTradeAgreement(
                RAM.SellerTradeParty(
                    RAM.Name(seller.name),
                    RAM.PostalTradeAddress(
                        RAM.PostcodeCode(seller.postal_code),
                        RAM.LineOne(seller.street),
                        RAM.CityName(seller.city),
                        RAM.CountryID(seller.country),
                    ),
                    RAM.SpecifiedTaxRegistration(RAM.ID(seller.tax_id, schemeID="VA")),
                ),
                RAM.BuyerTradeParty(
                    RAM.Name(recipient),
                    RAM.PostalTradeAddress(RAM.CountryID(seller.country)),
                ),
            ),
            RAM.ApplicableHeaderTradeDelivery(
                RAM.ActualDeliverySupplyChainEvent(RAM.OccurrenceDateTime(_date(delivered_on)))
            ),
            settlement,
        ),
    )
    xml: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return xml


def _line(line: pb.InvoiceLine, rate: int) -> Any:
    """Writes a line (BG-25); a share of a charge, or a part that is credited, as one piece at
    its net amount.
    """
    quantity, price, discount = line.quantity, line.unit_price, line.discount.minor_units
    whole = quantity and (
        gross_of(Decimal(quantity), price.minor_units) - discount == line.net.minor_units
    )
    if not whole:
        quantity, price, discount = "1", line.net, 0
    allowance = []
    if discount:
        allowance.append(
            RAM.SpecifiedTradeAllowanceCharge(
                RAM.ChargeIndicator(UDT.Indicator("false")),
                RAM.ActualAmount(_plain(line.discount)),
                RAM.Reason(line.discount_reason or "Discount"),
            )
        )
    return RAM.IncludedSupplyChainTradeLineItem(
        RAM.AssociatedDocumentLineDocument(RAM.LineID(str(line.line))),
        RAM.SpecifiedTradeProduct(
            RAM.SellerAssignedID(line.code), RAM.Name(line.description or line.code)
        ),
        RAM.SpecifiedLineTradeAgreement(
            RAM.NetPriceProductTradePrice(RAM.ChargeAmount(_plain(price)))
        ),
        RAM.SpecifiedLineTradeDelivery(RAM.BilledQuantity(quantity, unitCode=PIECE)),
        RAM.SpecifiedLineTradeSettlement(
            RAM.ApplicableTradeTax(
                RAM.TypeCode("VAT"),
                RAM.CategoryCode(_category(rate)),
                RAM.RateApplicablePercent(_percent(rate)),
            ),
            *allowance,
            RAM.SpecifiedTradeSettlementLineMonetarySummation(
                RAM.LineTotalAmount(_plain(line.net))
            ),
        ),
    )


def _tax(category: str, rate: int, net: pb.Money, tax: pb.Money) -> Any:
    return RAM.ApplicableTradeTax(
        RAM.CalculatedAmount(_plain(tax)),
        RAM.TypeCode("VAT"),
        *([] if rate else [RAM.ExemptionReason(EXEMPTION)]),
        RAM.BasisAmount(_plain(net)),
        RAM.CategoryCode(_category(rate)),
        RAM.RateApplicablePercent(_percent(rate)),
    )


def _sums(net: pb.Money, tax: pb.Money, total: pb.Money) -> Any:
    return RAM.SpecifiedTradeSettlementHeaderMonetarySummation(
        RAM.LineTotalAmount(_plain(net)),
        RAM.TaxBasisTotalAmount(_plain(net)),
        RAM.TaxTotalAmount(_plain(tax), currencyID=tax.currency),
        RAM.GrandTotalAmount(_plain(total)),
        RAM.DuePayableAmount(_plain(total)),
    )


def _date(day: str, namespace: ElementMaker = UDT) -> Any:
    return namespace.DateTimeString(day.replace("-", ""), format="102")


def _category(rate: int) -> str:
    return "S" if rate else "E"


def _percent(rate: int) -> str:
    return f"{Decimal(rate).scaleb(-2):.2f}"


def _plain(money: pb.Money) -> str:
    return format_plain(money.minor_units, money.currency)
