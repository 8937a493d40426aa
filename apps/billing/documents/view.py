"""What a document shows, taken from the API's own answers so that both have the same
figures. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from apps.billing.money import format_money
from apps.billing.settings import Seller
from protos.billing.v1 import billing_pb2 as pb

METHODS = {
    pb.PAYMENT_METHOD_CASH: "cash",
    pb.PAYMENT_METHOD_CARD: "card",
    pb.PAYMENT_METHOD_TRANSFER: "bank transfer",
}
KINDS = {
    "invoice": "Invoice",
    "credit_note": "Credit note",
    "payment": "Payment",
    "refund": "Refund",
    "credit_applied": "Credit applied",
    "write_off": "Written off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """`facts` and `totals` are label and value; `rows` are as wide as `columns`, whose last
    ones are amounts.
    """

    title: str
    file_name: str
    recipient: str
    seller: Seller
    facts: Sequence[tuple[str, str]]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    totals: Sequence[tuple[str, str]]
    note: str = ""


def show(money: pb.Money) -> str:
    return format_money(money.minor_units, money.currency)


def recipient_of(name: str, payer_id: str, patient_id: str) -> str:
    return name or (f"Payer {payer_id}" if payer_id else f"Patient {patient_id}")


def view_invoice(invoice: pb.Invoice, seller: Seller, patient_id: str, name: str) -> View:
    taxes = [
        (f"Tax {tax.tax_category} {percent(tax.rate_basis_points)}", show(tax.tax))
        for tax in invoice.taxes
        if tax.tax.minor_units
    ]
    settled = [
        (label, show(amount))
        for label, amount in (
            ("Paid", invoice.paid),
            ("Credited", invoice.credited),
            ("Written off", invoice.written_off),
        )
        if amount.minor_units
    ]
    return View(
        title=f"Invoice {invoice.number}" if invoice.number else "Draft of an invoice",
        file_name=f"invoice-{invoice.number or 'draft'}",
        recipient=recipient_of(name, invoice.payer_id, patient_id),
        seller=seller,
        facts=[
            ("Number", invoice.number or "not issued"),
            ("Date", invoice.issued_on),
            ("Due", invoice.due_on),
            ("Patient", patient_id),
            ("Account", invoice.account_id),
        ],
        columns=("Service", "Date", "Quantity", "Price", "Discount", "Net", "Tax", "Total"),
        rows=[
            (
                line.description or line.code,
                line.service_on,
                line.quantity,
                show(line.unit_price),
                show(line.discount) if line.discount.minor_units else "",
                show(line.net),
                show(line.tax),
                show(line.total),
            )
            for line in invoice.lines
        ],
        totals=[
            ("Net", show(invoice.net)),
            *taxes,
            ("Total", show(invoice.total)),
            *settled,
            ("To pay", show(invoice.open)),
        ],
        note=invoice.terms,
    )


def view_credit_note(
    invoice: pb.Invoice, note: pb.CreditNote, seller: Seller, patient_id: str, name: str
) -> View:
    return View(
        title=f"Credit note {note.number}",
        file_name=f"credit-note-{note.number}",
        recipient=recipient_of(name, invoice.payer_id, patient_id),
        seller=seller,
        facts=[
            ("Number", note.number),
            ("Date", note.issued_on),
            ("Invoice", invoice.number),
            ("Patient", patient_id),
            ("Account", invoice.account_id),
        ],
        columns=("Service", "Net", "Tax", "Total"),
        rows=[
            (line.description or line.code, show(line.net), show(line.tax), show(line.total))
            for line in note.lines
        ],
        totals=[("Net", show(note.net)), ("Tax", show(note.tax)), ("Credited", show(note.total))],
        note=note.reason,
    )


def view_receipt(
    payment: pb.Payment, numbers: dict[str, str], seller: Seller, patient_id: str, name: str
) -> View:
    refunds = [("Refunded", show(payment.refunded))] if payment.refunded.minor_units else []
    return View(
        title=f"Receipt {payment.receipt_number}",
        file_name=f"receipt-{payment.receipt_number}",
        recipient=recipient_of(name, payment.payer_id, patient_id),
        seller=seller,
        facts=[
            ("Number", payment.receipt_number),
            ("Received", payment.received_at.ToJsonString()[:10]),
            ("By", METHODS.get(payment.method, "")),
            ("Reference", payment.reference),
            ("Account", payment.account_id),
        ],
        columns=("Invoice", "Amount"),
        rows=[
            (numbers.get(allocation.invoice_id, allocation.invoice_id), show(allocation.amount))
            for allocation in payment.allocations
        ],
        totals=[
            ("Received", show(payment.amount)),
            *refunds,
            ("Credit", show(payment.unallocated)),
        ],
    )


def view_statement(statement: pb.Statement, seller: Seller, patient_id: str, name: str) -> View:
    begin = getattr(statement, "from")
    return View(
        title="Statement of account",
        file_name=f"statement-{statement.to}",
        recipient=recipient_of(name, "", patient_id),
        seller=seller,
        facts=[
            ("From", begin or "the beginning"),
            ("To", statement.to),
            ("Patient", patient_id),
            ("Account", statement.account_id),
        ],
        columns=("Date", "What", "Number", "Amount", "Balance"),
        rows=[
            (
                line.effective_at.ToJsonString()[:10],
                KINDS.get(line.kind, line.kind),
                line.number,
                show(line.amount),
                show(line.balance),
            )
            for line in statement.lines
        ],
        totals=[
            ("Balance at the beginning", show(statement.opening)),
            ("Balance at the end", show(statement.closing)),
        ],
    )


def percent(basis_points: int) -> str:
    """Writes 1900 as 19 % and 750 as 7.5 %."""
    whole, rest = divmod(basis_points, 100)
    return f"{whole}.{rest:02}".rstrip("0").rstrip(".") + " %"
