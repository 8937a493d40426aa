"""What came of an issued invoice: payments allocated to it and taken back, credits
and write-offs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from uuid import UUID

from apps.billing.books import Change
from apps.billing.invoicing.invoice import Invoice, invoice_event
from apps.billing.invoicing.storage import update_invoice
from apps.kit.database import Connection


@dataclass(frozen=True, slots=True)
class Allocated:
    """How much of a payment stands on an invoice."""

    payment_id: UUID
    invoice_id: UUID
    amount: int


def settle(invoice: Invoice, *, paid: int = 0, credited: int = 0, written_off: int = 0) -> Invoice:
    """Adds to what came of the invoice; it is balanced while nothing of it is open. Pure."""
    changed = replace(
        invoice,
        paid=invoice.paid + paid,
        credited=invoice.credited + credited,
        written_off=invoice.written_off + written_off,
        version=invoice.version + 1,
    )
    if changed.status == "cancelled":
        return changed
    return replace(changed, status="issued" if changed.open else "balanced")


async def write_settled(
    change: Change,
    invoice: Invoice,
    patient_id: str,
    effective_at: datetime,
    *,
    groups: dict[str, tuple[int, int]] | None = None,
    credit_note_number: str = "",
) -> None:
    """Writes what came of an invoice, and tells: `invoice.paid` where nothing is open any more."""
    await update_invoice(change.connection, invoice)
    if invoice.status == "cancelled":
        event_type = "invoice.cancelled"
    elif invoice.status == "balanced" and not credit_note_number:
        event_type = "invoice.paid"
    else:
        event_type = "invoice.adjusted"
    change.emit(
        invoice_event(
            event_type,
            invoice,
            patient_id,
            effective_at=effective_at,
            groups=groups,
            credit_note_number=credit_note_number,
        )
    )


async def insert_allocation(
    connection: Connection, payment_id: UUID, invoice_id: UUID, amount: int
) -> None:
    """Allocates a sum, or takes it back below zero; the payment's own sum follows."""
    await connection.execute(
        """
        WITH allocated AS (INSERT INTO allocation (payment_id, invoice_id, amount) VALUES ($1, $2,
            $3))
        UPDATE payment SET allocated = allocated + $3, version = version + 1 WHERE payment_id =
            $1""",
        payment_id,
        invoice_id,
        amount,
    )


async def select_allocations_of_invoice(
    connection: Connection, invoice_id: UUID
) -> list[Allocated]:
    """Gives the payments that stand on an invoice, the latest first."""
    rows = await connection.fetch(
        """
        SELECT payment_id, invoice_id, sum(amount)::bigint AS amount FROM allocation WHERE
            invoice_id = $1
        GROUP BY payment_id, invoice_id HAVING sum(amount) <> 0 ORDER BY max(allocation_id) DESC""",
        invoice_id,
    )
    return [Allocated(**row) for row in rows]


async def select_allocations_of_payment(
    connection: Connection, payment_id: UUID
) -> list[Allocated]:
    """Gives the invoices that a payment stands on, the latest first."""
    rows = await connection.fetch(
        """
        SELECT payment_id, invoice_id, sum(amount)::bigint AS amount FROM allocation WHERE
            payment_id = $1
        GROUP BY payment_id, invoice_id HAVING sum(amount) <> 0 ORDER BY max(allocation_id) DESC""",
        payment_id,
    )
    return [Allocated(**row) for row in rows]


async def release(connection: Connection, invoice_id: UUID, amount: int) -> None:
    """Takes payments back from an invoice, the latest first: they become credit."""
    for allocated in await select_allocations_of_invoice(connection, invoice_id):
        part = min(amount, allocated.amount)
        if not part:
            break
        await insert_allocation(connection, allocated.payment_id, invoice_id, -part)
        amount -= part
    assert amount == 0, "an invoice has no more paid than was allocated to it"


def spread_oldest_first(amount: int, opens: Sequence[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
    """Fills what is open, one after the other, as far as the amount goes. Pure."""
    parts = []
    for invoice_id, open_amount in opens:
        part = min(amount, open_amount)
        if part:
            parts.append((invoice_id, part))
            amount -= part
    return parts


def day_as_moment(day: date, now: datetime) -> datetime:
    """Gives when something of that day counts: now for today, else noon (UTC)."""
    if day == now.date():
        return now
    return datetime.combine(day, time(12), UTC)
