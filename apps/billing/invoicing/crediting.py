"""Takes issued invoices back, whole or in part, by credit notes: an issued invoice itself
never changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from apps.billing.accounts.account import Account
from apps.billing.books import Change
from apps.billing.charges.charge import charge_event
from apps.billing.charges.storage import (
    select_charges_of_invoice,
    update_charges_invoice,
    update_voided,
)
from apps.billing.invoicing.calculation import credit_shares, split_credit
from apps.billing.invoicing.invoice import CreditNote, Invoice, InvoiceLine, group_totals
from apps.billing.invoicing.issuing import earned
from apps.billing.invoicing.settlement import release, settle, write_settled
from apps.billing.invoicing.storage import (
    draw_number,
    insert_credit_note,
    select_credit_notes,
    select_lines,
)
from apps.billing.ledger.postings import Posting, credit, make_posting, receivable
from apps.kit.context import new_id
from apps.kit.errors import Unprocessable


async def credit_invoice(
    change: Change,
    account: Account,
    invoice: Invoice,
    credits: Mapping[int, tuple[int, int]],
    reason: str,
    *,
    cancels: bool,
) -> tuple[Invoice, Posting | None]:
    """Writes a credit note over `credits`, (net, tax) by line; the posting is left to the caller.

    What the invoice no longer asks for, though it was paid, becomes credit.
    """
    connection = change.connection
    now = datetime.now(UTC)
    note = CreditNote(
        credit_note_id=UUID(new_id()),
        invoice_id=invoice.invoice_id,
        number=await draw_number(connection, "credit_note", now.year),
        net=sum(net for net, _ in credits.values()),
        tax=sum(tax for _, tax in credits.values()),
        issued_on=now.date(),
        reason=reason,
        lines=dict(credits),
    )
    await insert_credit_note(connection, note)
    surplus = max(0, note.total - invoice.open)
    await release(connection, invoice.invoice_id, surplus)

    changed = settle(invoice, paid=-surplus, credited=note.total)
    if cancels:
        changed = replace(changed, status="cancelled", cancel_reason=reason)
    lines = {line.line: line for line in await select_lines(connection, invoice.invoice_id)}
    amounts = [(lines[number], net, tax) for number, (net, tax) in credits.items()]
    await write_settled(
        change,
        changed,
        account.patient_id,
        now,
        groups=group_totals(amounts),
        credit_note_number=note.number,
    )
    change.audit(
        "invoice.cancelled" if cancels else "invoice.credited",
        account.account_id,
        note.credit_note_id,
    )
    return changed, credit_note_posting(invoice, note, amounts, surplus)


def credit_note_posting(
    invoice: Invoice,
    note: CreditNote,
    amounts: list[tuple[InvoiceLine, int, int]],
    surplus: int,
) -> Posting | None:
    """Takes back revenue and tax; what was paid already stays as credit. Pure."""
    owed = receivable(invoice.currency, invoice.account_id, invoice.payer_id)
    kept = credit(invoice.currency, invoice.account_id, invoice.payer_id)
    return make_posting(
        "credit_note",
        [
            *earned(invoice.currency, amounts, 1),
            (owed, surplus - note.total),
            (kept, -surplus),
        ],
        account_id=invoice.account_id,
        document_id=note.credit_note_id,
    )


async def lines_left(change: Change, invoice: Invoice) -> dict[int, tuple[int, int]]:
    """Gives what was not credited yet, (net, tax) by line."""
    left = {
        line.line: (line.net, line.tax)
        for line in await select_lines(change.connection, invoice.invoice_id)
    }
    for note in await select_credit_notes(change.connection, invoice.invoice_id):
        for number, (net, tax) in note.lines.items():
            left[number] = (left[number][0] - net, left[number][1] - tax)
    return left


def spread_credit(
    left: Mapping[int, tuple[int, int]], amount: int, named: Sequence[tuple[int, int]]
) -> dict[int, tuple[int, int]]:
    """Divides a credit over lines: those that are named with their amounts, else all in
    proportion. Pure.

    Raises Unprocessable for more than is left.
    """
    if named:
        credits: dict[int, tuple[int, int]] = {}
        for number, part in named:
            if number not in left:
                raise Unprocessable(
                    "line_unknown", f"the invoice has no line {number}", pointer="lines"
                )
            if number in credits:
                raise Unprocessable("line_twice", f"line {number} is named twice", pointer="lines")
            if part > sum(left[number]):
                message = f"of line {number} {sum(left[number])} minor units are left"
                raise Unprocessable("credit_too_large", message, pointer="lines")
            credits[number] = split_credit(part, *left[number])
        return credits
    whole = sum(net + tax for net, tax in left.values())
    if amount > whole:
        raise Unprocessable("credit_too_large", f"{whole} minor units are left", pointer="amount")
    parts = zip(left, credit_shares(amount, list(left.values())), strict=True)
    return {number: part for number, part in parts if sum(part)}


async def settle_charges(change: Change, account: Account, group_id: UUID) -> None:
    """Lets charges be billed again after a cancellation of the whole group, unless the record
    withdrew them.
    """
    charges = await select_charges_of_invoice(change.connection, group_id)
    await update_charges_invoice(
        change.connection,
        [charge.charge_item_id for charge in charges if not charge.needs_credit],
        status="billable",
        invoice_id=None,
    )
    for charge in charges:
        if charge.needs_credit:
            await void_credited(change, account, charge.charge_item_id, group_id)


async def void_credited(
    change: Change, account: Account, charge_item_id: UUID, group_id: UUID
) -> None:
    """Voids a charge that the record withdrew, now that its invoice was credited."""
    for charge in await select_charges_of_invoice(change.connection, group_id):
        if charge.charge_item_id == charge_item_id and charge.needs_credit:
            voided = await update_voided(change.connection, charge, charge.void_reason)
            change.audit("charge.voided", account.account_id, charge_item_id)
            change.emit(charge_event("charge.voided", voided, account.patient_id))
