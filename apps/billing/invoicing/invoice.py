"""Invoices and credit notes: rows, messages and events."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from apps.billing.charges.charge import format_quantity
from apps.billing.money import render_money
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1 import events_pb2

STATUSES = {
    "draft": pb.INVOICE_STATUS_DRAFT,
    "issued": pb.INVOICE_STATUS_ISSUED,
    "balanced": pb.INVOICE_STATUS_BALANCED,
    "cancelled": pb.INVOICE_STATUS_CANCELLED,
}
STATUS_NAMES = {value: name for name, value in STATUSES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    invoice_id: UUID
    account_id: UUID
    currency: str
    group_id: UUID
    # draft | issued | balanced | cancelled
    status: str
    version: int = 1
    # Empty for the patient's.
    payer_id: str = ""
    payer_name: str = ""
    number: str | None = None
    net: int = 0
    tax: int = 0
    total: int = 0
    paid: int = 0
    credited: int = 0
    written_off: int = 0
    payment_days: int
    terms: str = ""
    issued_on: date | None = None
    due_on: date | None = None
    cancel_reason: str = ""
    issued_at: datetime | None = None

    @property
    def open(self) -> int:
        return self.total - self.credited - self.written_off - self.paid


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    line: int
    charge_item_id: UUID
    system: str
    code: str
    description: str
    quantity: Decimal
    unit_price: int
    discount: int
    discount_reason: str
    is_share: bool
    net: int
    tax: int
    tax_category: str
    tax_basis_points: int
    revenue_group: str
    service_on: date

    @property
    def total(self) -> int:
        return self.net + self.tax


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNote:
    credit_note_id: UUID
    invoice_id: UUID
    number: str
    net: int
    tax: int
    issued_on: date
    reason: str
    # By line of the invoice: what is taken back of its net and tax.
    lines: Mapping[int, tuple[int, int]]

    @property
    def total(self) -> int:
        return self.net + self.tax


def render_invoice(
    invoice: Invoice,
    lines: Sequence[InvoiceLine] = (),
    credit_notes: Sequence[CreditNote] = (),
    payer_invoices: Sequence[pb.Invoice] = (),
) -> pb.Invoice:
    def money(minor_units: int) -> pb.Money:
        return render_money(minor_units, invoice.currency)

    by_line = {line.line: line for line in lines}
    message = pb.Invoice(
        invoice_id=str(invoice.invoice_id),
        account_id=str(invoice.account_id),
        status=STATUSES[invoice.status],
        number=invoice.number or "",
        total=money(invoice.total),
        charge_item_ids=[str(line.charge_item_id) for line in lines],
        version=invoice.version,
        payer_id=invoice.payer_id,
        lines=[render_line(line, invoice.currency) for line in lines],
        taxes=[
            pb.TaxTotal(
                tax_category=category, rate_basis_points=rate, net=money(net), tax=money(tax)
            )
            for (category, rate), (net, tax) in tax_totals(lines).items()
        ],
        net=money(invoice.net),
        tax=money(invoice.tax),
        paid=money(invoice.paid),
        credited=money(invoice.credited),
        written_off=money(invoice.written_off),
        open=money(invoice.open),
        issued_on=invoice.issued_on.isoformat() if invoice.issued_on else "",
        due_on=invoice.due_on.isoformat() if invoice.due_on else "",
        terms=invoice.terms,
        credit_notes=[render_credit_note(note, by_line, invoice.currency) for note in credit_notes],
        payer_invoices=payer_invoices,
        group_id=str(invoice.group_id),
        cancel_reason=invoice.cancel_reason,
    )
    if invoice.issued_at:
        message.issued_at.FromDatetime(invoice.issued_at)
    return message


def render_line(line: InvoiceLine, currency: str) -> pb.InvoiceLine:
    return pb.InvoiceLine(
        line=line.line,
        charge_item_id=str(line.charge_item_id),
        system=line.system,
        code=line.code,
        description=line.description,
        quantity=format_quantity(line.quantity),
        unit_price=render_money(line.unit_price, currency),
        discount=render_money(line.discount, currency),
        net=render_money(line.net, currency),
        tax=render_money(line.tax, currency),
        total=render_money(line.total, currency),
        tax_category=line.tax_category,
        revenue_group=line.revenue_group,
        service_on=line.service_on.isoformat(),
        discount_reason=line.discount_reason,
    )


def render_credit_note(
    note: CreditNote, lines: Mapping[int, InvoiceLine], currency: str
) -> pb.CreditNote:
    return pb.CreditNote(
        credit_note_id=str(note.credit_note_id),
        number=note.number,
        total=render_money(note.total, currency),
        net=render_money(note.net, currency),
        tax=render_money(note.tax, currency),
        issued_on=note.issued_on.isoformat(),
        reason=note.reason,
        lines=[
            pb.InvoiceLine(
                line=number,
                charge_item_id=str(lines[number].charge_item_id),
                code=lines[number].code,
                description=lines[number].description,
                net=render_money(net, currency),
                tax=render_money(tax, currency),
                total=render_money(net + tax, currency),
                tax_category=lines[number].tax_category,
                revenue_group=lines[number].revenue_group,
            )
            for number, (net, tax) in note.lines.items()
            if number in lines
        ],
    )


def tax_totals(lines: Iterable[InvoiceLine]) -> dict[tuple[str, int], tuple[int, int]]:
    """Sums net and tax by category and rate."""
    totals: dict[tuple[str, int], tuple[int, int]] = {}
    for line in lines:
        key = (line.tax_category, line.tax_basis_points)
        net, tax = totals.get(key, (0, 0))
        totals[key] = (net + line.net, tax + line.tax)
    return totals


def group_totals(
    lines: Iterable[tuple[InvoiceLine, int, int]],
) -> dict[str, tuple[int, int]]:
    """Sums (net, tax) of lines by revenue group."""
    totals: dict[str, tuple[int, int]] = {}
    for line, net, tax in lines:
        known_net, known_tax = totals.get(line.revenue_group, (0, 0))
        totals[line.revenue_group] = (known_net + net, known_tax + tax)
    return totals


def invoice_event(
    event_type: str,
    invoice: Invoice,
    patient_id: str,
    *,
    effective_at: datetime,
    groups: Mapping[str, tuple[int, int]] | None = None,
    credit_note_number: str = "",
) -> events_pb2.BillingEvent:
    """Tells how the invoice stands after a change."""
    event = events_pb2.BillingEvent(
        patient_id=patient_id,
        account_id=str(invoice.account_id),
        event_type=event_type,
        currency=invoice.currency,
        invoice=events_pb2.InvoiceEvent(
            invoice_id=str(invoice.invoice_id),
            number=invoice.number or "",
            version=invoice.version,
            payer_id=invoice.payer_id,
            total=invoice.total,
            tax=invoice.tax,
            paid=invoice.paid,
            credited=invoice.credited,
            written_off=invoice.written_off,
            open=invoice.open,
            issued_on=invoice.issued_on.isoformat() if invoice.issued_on else "",
            due_on=invoice.due_on.isoformat() if invoice.due_on else "",
            groups=[
                events_pb2.GroupAmount(revenue_group=group, net=net, tax=tax)
                for group, (net, tax) in (groups or {}).items()
            ],
            credit_note_number=credit_note_number,
        ),
    )
    event.occurred_at.GetCurrentTime()
    event.effective_at.FromDatetime(effective_at)
    return event
