"""The SQL of invoices, their lines, credit notes and numbers."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from operator import attrgetter
from uuid import UUID

from apps.billing.invoicing.invoice import CreditNote, Invoice, InvoiceLine
from apps.kit.database import Connection

COLUMNS = ", ".join(field.name for field in fields(Invoice))
_PLACES = ", ".join(f"${number}" for number, _ in enumerate(fields(Invoice), start=1))
LINE_COLUMNS = ", ".join(field.name for field in fields(InvoiceLine))
_values = attrgetter(*(field.name for field in fields(Invoice)))
_line_values = attrgetter(*(field.name for field in fields(InvoiceLine)))
MAX_GROUP = 20


async def draw_number(connection: Connection, series: str, year: int) -> str:
    """Draws the next number of the series: `2026-000123`. It is held until the commit, and not lost
    by a rollback.
    """
    number: int = await connection.fetchval(
        """
        INSERT INTO number_series (series, year, last_number) VALUES ($1, $2, 1)
        ON CONFLICT (series, year) DO UPDATE SET last_number = number_series.last_number + 1
        RETURNING last_number""",
        series,
        year,
    )
    return f"{year}-{number:06}"


async def insert_invoice(connection: Connection, invoice: Invoice) -> None:
    await connection.execute(
        f"INSERT INTO invoice ({COLUMNS}) VALUES ({_PLACES})",  # noqa: S608 - columns of ours
        *_values(invoice),
    )


async def update_invoice(connection: Connection, invoice: Invoice) -> None:
    """Writes all that may change; of an issued invoice the database takes only what came of it."""
    await connection.execute(
        """
        UPDATE invoice SET status = $2, version = $3, payer_id = $4, payer_name = $5, number = $6,
            net = $7, tax = $8,
            total = $9, paid = $10, credited = $11, written_off = $12, issued_on = $13, due_on =
                $14,
            cancel_reason = $15, issued_at = $16
        WHERE invoice_id = $1""",
        invoice.invoice_id,
        invoice.status,
        invoice.version,
        invoice.payer_id,
        invoice.payer_name,
        invoice.number,
        invoice.net,
        invoice.tax,
        invoice.total,
        invoice.paid,
        invoice.credited,
        invoice.written_off,
        invoice.issued_on,
        invoice.due_on,
        invoice.cancel_reason,
        invoice.issued_at,
    )


async def insert_lines(
    connection: Connection, invoice_id: UUID, lines: Sequence[InvoiceLine]
) -> None:
    places = ", ".join(f"${number}" for number in range(1, len(fields(InvoiceLine)) + 3))
    await connection.executemany(
        f"INSERT INTO invoice_line (invoice_id, total, {LINE_COLUMNS}) VALUES ({places})",  # noqa: S608
        [(invoice_id, line.total, *_line_values(line)) for line in lines],
    )


async def select_invoice(connection: Connection, invoice_id: UUID) -> Invoice | None:
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM invoice WHERE invoice_id = $1",  # noqa: S608 - columns of ours
        invoice_id,
    )
    return Invoice(**row) if row else None


async def select_group(connection: Connection, group_id: UUID) -> list[Invoice]:
    """Gives the invoices that were issued together, the first one first."""
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM invoice WHERE group_id = $1
        ORDER BY invoice_id <> group_id, invoice_id LIMIT $2""",  # noqa: S608 - columns of ours
        group_id,
        MAX_GROUP,
    )
    return [Invoice(**row) for row in rows]


async def select_invoices(
    connection: Connection, account_id: UUID, *, status: str, after: UUID | None, limit: int
) -> list[Invoice]:
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM invoice
        WHERE account_id = $1 AND ($2 = '' OR status = $2) AND ($3::uuid IS NULL OR invoice_id > $3)
        ORDER BY invoice_id LIMIT $4""",  # noqa: S608 - columns of ours
        account_id,
        status,
        after,
        limit,
    )
    return [Invoice(**row) for row in rows]


async def select_open_invoices(
    connection: Connection, account_id: UUID, payer_id: str
) -> list[Invoice]:
    """Gives what a party has to pay, the oldest first."""
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM invoice WHERE account_id = $1 AND payer_id = $2 AND status = 'issued'
        ORDER BY due_on, number""",  # noqa: S608 - columns of ours
        account_id,
        payer_id,
    )
    return [Invoice(**row) for row in rows]


async def select_overdue(
    connection: Connection, due_before: date, after: tuple[date, UUID] | None, limit: int
) -> list[Invoice]:
    """Gives issued invoices that were due before a day, the longest overdue first."""
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM invoice
        WHERE status = 'issued' AND due_on < $1
          AND ($2::date IS NULL OR (due_on, invoice_id) > ($2, $3::uuid))
        ORDER BY due_on, invoice_id LIMIT $4""",  # noqa: S608 - columns of ours
        due_before,
        *(after or (None, None)),
        limit,
    )
    return [Invoice(**row) for row in rows]


async def select_lines(connection: Connection, invoice_id: UUID) -> list[InvoiceLine]:
    rows = await connection.fetch(
        f"SELECT {LINE_COLUMNS} FROM invoice_line WHERE invoice_id = $1 ORDER BY line",  # noqa: S608
        invoice_id,
    )
    return [InvoiceLine(**row) for row in rows]


async def insert_credit_note(connection: Connection, note: CreditNote) -> None:
    await connection.execute(
        """
        INSERT INTO credit_note (credit_note_id, invoice_id, number, net, tax, total, issued_on,
            reason)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
        note.credit_note_id,
        note.invoice_id,
        note.number,
        note.net,
        note.tax,
        note.total,
        note.issued_on,
        note.reason,
    )
    await connection.executemany(
        """
        INSERT INTO credit_note_line (credit_note_id, invoice_id, line, net, tax) VALUES ($1, $2,
            $3, $4, $5)""",
        [
            (note.credit_note_id, note.invoice_id, line, net, tax)
            for line, (net, tax) in note.lines.items()
        ],
    )


async def select_credit_notes(connection: Connection, invoice_id: UUID) -> list[CreditNote]:
    rows = await connection.fetch(
        """
        SELECT credit_note_id, number, n.net, n.tax, issued_on, reason, line, l.net AS line_net,
            l.tax AS line_tax
        FROM credit_note n LEFT JOIN credit_note_line l USING (credit_note_id)
        WHERE n.invoice_id = $1 ORDER BY number, line""",
        invoice_id,
    )
    notes: dict[UUID, CreditNote] = {}
    for row in rows:
        note = notes.get(row["credit_note_id"])
        if note is None:
            note = CreditNote(
                credit_note_id=row["credit_note_id"],
                invoice_id=invoice_id,
                number=row["number"],
                net=row["net"],
                tax=row["tax"],
                issued_on=row["issued_on"],
                reason=row["reason"],
                lines={},
            )
            notes[note.credit_note_id] = note
        if row["line"] is not None:
            note.lines[row["line"]] = (row["line_net"], row["line_tax"])  # type: ignore[index]
    return list(notes.values())


async def select_invoice_of_credit_note(
    connection: Connection, credit_note_id: UUID
) -> UUID | None:
    invoice_id: UUID | None = await connection.fetchval(
        "SELECT invoice_id FROM credit_note WHERE credit_note_id = $1", credit_note_id
    )
    return invoice_id
