"""Drafts, which are computed anew whenever they are looked at, and issuing, which fixes them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from apps.billing.accounts.account import Account
from apps.billing.accounts.coverage import select_coverages
from apps.billing.books import Change
from apps.billing.charges.charge import Charge
from apps.billing.charges.storage import select_charges_of_invoice, update_charges_invoice
from apps.billing.invoicing.calculation import Part, draw_up
from apps.billing.invoicing.invoice import (
    Invoice,
    InvoiceLine,
    group_totals,
    invoice_event,
    render_invoice,
)
from apps.billing.invoicing.settlement import day_as_moment
from apps.billing.invoicing.storage import draw_number, insert_invoice, insert_lines, update_invoice
from apps.billing.ledger.postings import LedgerAccount, Posting, make_posting, receivable
from apps.billing.ledger.storage import post
from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import Unprocessable
from protos.billing.v1 import billing_pb2 as pb


def lines_of(part: Part) -> list[InvoiceLine]:
    return [
        InvoiceLine(
            line=number,
            charge_item_id=line.charge.charge_item_id,
            system=line.charge.system,
            code=line.charge.code,
            description=line.charge.description,
            quantity=line.charge.quantity,
            unit_price=line.charge.unit_price or 0,
            discount=line.charge.discount,
            discount_reason=line.charge.discount_reason,
            is_share=line.is_share,
            net=line.net,
            tax=line.tax,
            tax_category=line.charge.tax_category,
            tax_basis_points=line.tax_basis_points,
            revenue_group=line.charge.revenue_group,
            service_on=line.charge.service_on,
        )
        for number, line in enumerate(part.lines, start=1)
    ]


async def draft_parts(
    connection: Connection,
    account: Account,
    charges: list[Charge],
    tax_rates: Mapping[str, int],
) -> list[Part]:
    """Gives the parts of what these charges come to under today's coverages.

    Raises Unprocessable for a tax category that the settings have no rate for any more.
    """
    for charge in charges:
        if charge.tax_category not in tax_rates:
            raise Unprocessable("tax_category_unknown", f"no rate for {charge.tax_category}")
    coverages = await select_coverages(connection, account.account_id)
    return draw_up(charges, coverages, tax_rates)


def invoice_of(draft: Invoice, part: Part, invoice_id: UUID) -> Invoice:
    """Gives the draft as the invoice of one part."""
    return replace(
        draft,
        invoice_id=invoice_id,
        payer_id=part.payer_id,
        payer_name=part.payer_name,
        net=part.net,
        tax=part.tax,
        total=part.total,
    )


def render_draft(draft: Invoice, parts: list[Part]) -> pb.Invoice:
    """Writes the draft as it comes out now: the first part, and the payers' within it."""
    others = [
        render_invoice(
            replace(invoice_of(draft, part, draft.invoice_id), invoice_id=draft.invoice_id),
            lines_of(part),
        )
        for part in parts[1:]
    ]
    for other in others:
        # They get their ids when they are issued.
        other.invoice_id = ""
    first = invoice_of(draft, parts[0], draft.invoice_id)
    return render_invoice(first, lines_of(parts[0]), payer_invoices=others)


async def issue(
    change: Change,
    account: Account,
    draft: Invoice,
    tax_rates: Mapping[str, int],
    issued_on: date | None,
) -> pb.Invoice:
    """Issues the draft: numbers, lines, postings and events for each part. Gives the patient's
    with the payers'.
    """
    if account.status == "on-hold":
        raise Unprocessable("account_on_hold", "no invoice is issued while the account is on hold")
    connection = change.connection
    charges = await select_charges_of_invoice(connection, draft.invoice_id)
    if not charges:
        raise Unprocessable("invoice_empty", "every charge of the draft was voided")
    parts = await draft_parts(connection, account, charges, tax_rates)

    now = datetime.now(UTC)
    day = issued_on or now.date()
    # Not read again: other invoices wait for these.
    issued: list[pb.Invoice] = []
    postings: list[Posting | None] = []
    for index, part in enumerate(parts):
        invoice = invoice_of(draft, part, draft.invoice_id if index == 0 else UUID(new_id()))
        invoice = replace(
            invoice,
            status="issued" if part.total else "balanced",
            version=draft.version + 1 if index == 0 else 1,
            number=await draw_number(connection, "invoice", day.year),
            issued_on=day,
            due_on=day + timedelta(days=draft.payment_days),
            issued_at=now,
        )
        lines = lines_of(part)
        await (update_invoice if index == 0 else insert_invoice)(connection, invoice)
        await insert_lines(connection, invoice.invoice_id, lines)
        issued.append(render_invoice(invoice, lines))
        effective_at = None if day == now.date() else day_as_moment(day, now)
        postings.append(invoice_posting(invoice, lines, effective_at))
        change.audit("invoice.issued", account.account_id, invoice.invoice_id)
        change.emit(
            invoice_event(
                "invoice.issued",
                invoice,
                account.patient_id,
                effective_at=effective_at or now,
                groups=group_totals((line, line.net, line.tax) for line in lines),
            )
        )
    await update_charges_invoice(
        connection,
        [charge.charge_item_id for charge in charges],
        status="billed",
        invoice_id=draft.invoice_id,
    )
    await post(connection, change.caller, postings)
    issued[0].payer_invoices.extend(issued[1:])
    return issued[0]


def invoice_posting(
    invoice: Invoice, lines: list[InvoiceLine], effective_at: datetime | None
) -> Posting | None:
    """Posts what is owed against revenue and tax. Pure."""
    owed = receivable(invoice.currency, invoice.account_id, invoice.payer_id)
    return make_posting(
        "invoice",
        [
            (owed, invoice.total),
            *earned(invoice.currency, [(line, line.net, line.tax) for line in lines], -1),
        ],
        account_id=invoice.account_id,
        document_id=invoice.invoice_id,
        effective_at=effective_at,
    )


def earned(
    currency: str, amounts: list[tuple[InvoiceLine, int, int]], sign: int
) -> list[tuple[LedgerAccount, int]]:
    """Gives the entries of revenue by group and tax by category. Pure."""
    entries = []
    for line, net, tax in amounts:
        revenue = LedgerAccount("revenue", currency, name=line.revenue_group)
        tax_account = LedgerAccount("tax", currency, name=line.tax_category)
        entries += [(revenue, sign * net), (tax_account, sign * tax)]
    return entries
