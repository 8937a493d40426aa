"""The SQL that keeps the figures. Every function takes the connection of its transaction."""

from collections.abc import Sequence

from apps.analytics.events.billing import ChargeEvent, InvoiceEvent, PaymentEvent
from apps.analytics.events.patient import ClinicalEvent, PatientEvent
from apps.analytics.figures.changes import Changes, Event, changes_of
from apps.kit.database import Connection

REBUILD_TIMEOUT_SECONDS = 600
FIGURE_TABLES = (
    "seen_event",
    "registration",
    "patient",
    "fact",
    "charge",
    "invoice_version",
    "revenue",
    "payment",
)


async def apply_events(connection: Connection, events: Sequence[Event]) -> None:
    """Adds events, none of which was applied before, to the figures."""
    changes = changes_of(events)
    if changes.patients:
        await upsert_patients(connection, changes.patients)
    if changes.facts:
        await upsert_facts(connection, changes.facts)
    if changes.charges:
        await upsert_charges(connection, changes.charges)
    if changes.invoices:
        await insert_invoices(connection, changes.invoices)
        await insert_revenue(connection, changes.invoices)
    if changes.payments:
        await insert_payments(connection, changes.payments)
    # Last: every consumer adds to the same quarter's row, and holds it until it commits.
    if changes.registrations:
        await add_registrations(connection, changes)


async def add_registrations(connection: Connection, changes: Changes) -> None:
    # The column is called `hour` since the first release; it holds quarters of an hour.
    await connection.execute(
        """
        INSERT INTO registration (hour, count) SELECT * FROM unnest($1::timestamptz[], $2::bigint[])
        ON CONFLICT (hour) DO UPDATE SET count = registration.count + EXCLUDED.count
        """,
        *zip(*changes.registrations, strict=True),
    )


async def upsert_patients(connection: Connection, events: Sequence[PatientEvent]) -> None:
    await connection.execute(
        """
        INSERT INTO patient (patient_id, version_id, birth_year, gender, postal_prefix, deleted)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::text[], $5::text[],
            $6::boolean[])
        ON CONFLICT (patient_id) DO UPDATE SET
            version_id = EXCLUDED.version_id, birth_year = EXCLUDED.birth_year, gender =
                EXCLUDED.gender,
            postal_prefix = EXCLUDED.postal_prefix, deleted = EXCLUDED.deleted
        WHERE patient.version_id < EXCLUDED.version_id
        """,
        [event.patient_id for event in events],
        [event.version_id for event in events],
        [event.birth_year for event in events],
        [event.gender for event in events],
        [event.postal_prefix for event in events],
        [event.event_type == "patient.deleted" for event in events],
    )


async def upsert_facts(connection: Connection, events: Sequence[ClinicalEvent]) -> None:
    await connection.execute(
        """
        INSERT INTO fact (
            resource_type, resource_id, version_id, patient_id, system, code, category, status,
            effective_at, ended_at, reason_system, reason_code, deleted
        )
        SELECT * FROM unnest(
            $1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::text[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[],
            $13::boolean[]
        )
        ON CONFLICT (resource_type, resource_id) DO UPDATE SET
            version_id = EXCLUDED.version_id, patient_id = EXCLUDED.patient_id,
            system = EXCLUDED.system, code = EXCLUDED.code, category = EXCLUDED.category,
            status = EXCLUDED.status, effective_at = EXCLUDED.effective_at,
            ended_at = EXCLUDED.ended_at, reason_system = EXCLUDED.reason_system,
            reason_code = EXCLUDED.reason_code, deleted = EXCLUDED.deleted
        WHERE fact.version_id < EXCLUDED.version_id
        """,
        [event.resource_type for event in events],
        [event.resource_id for event in events],
        [event.version_id for event in events],
        [event.patient_id for event in events],
        [event.system for event in events],
        [event.code for event in events],
        [event.category for event in events],
        [event.status for event in events],
        [event.effective_at for event in events],
        [event.ended_at for event in events],
        [event.reason_system for event in events],
        [event.reason_code for event in events],
        [event.event_type == "clinical.deleted" for event in events],
    )


async def upsert_charges(connection: Connection, events: Sequence[ChargeEvent]) -> None:
    await connection.execute(
        """
        INSERT INTO charge (
            charge_item_id, patient_id, effective_at, currency, system, code, revenue_group, net,
            voided
        )
        SELECT * FROM unnest(
            $1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::bigint[], $9::boolean[]
        )
        ON CONFLICT (charge_item_id) DO UPDATE SET voided = true WHERE EXCLUDED.voided
        """,
        [event.charge_item_id for event in events],
        [event.patient_id for event in events],
        [event.effective_at for event in events],
        [event.currency for event in events],
        [event.system for event in events],
        [event.code for event in events],
        [event.revenue_group for event in events],
        [event.net for event in events],
        [event.event_type == "charge.voided" for event in events],
    )


async def insert_invoices(connection: Connection, events: Sequence[InvoiceEvent]) -> None:
    await connection.execute(
        """
        INSERT INTO invoice_version (
            invoice_id, version, event_type, patient_id, payer_id, effective_at, currency, total,
            open, issued_on, due_on
        )
        SELECT * FROM unnest(
            $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
            $7::text[], $8::bigint[], $9::bigint[], $10::date[], $11::date[]
        )
        ON CONFLICT DO NOTHING
        """,
        [event.invoice_id for event in events],
        [event.version for event in events],
        [event.event_type for event in events],
        [event.patient_id for event in events],
        [event.payer_id for event in events],
        [event.effective_at for event in events],
        [event.currency for event in events],
        [event.total for event in events],
        [event.open for event in events],
        [event.issued_on for event in events],
        [event.due_on for event in events],
    )


async def insert_revenue(connection: Connection, events: Sequence[InvoiceEvent]) -> None:
    """Stores what invoices brought and credit notes took back, by revenue group."""
    rows = [
        (event, group, 1 if event.event_type == "invoice.issued" else -1)
        for event in events
        for group in event.groups
    ]
    await connection.execute(
        """
        INSERT INTO revenue (
            invoice_id, document, revenue_group, payer_id, effective_at, currency, net, tax
        )
        SELECT * FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],
            $7::bigint[], $8::bigint[]
        )
        ON CONFLICT DO NOTHING
        """,
        [event.invoice_id for event, _, _ in rows],
        ["" if sign == 1 else event.credit_note_number for event, _, sign in rows],
        [group.revenue_group for _, group, _ in rows],
        [event.payer_id for event, _, _ in rows],
        [event.effective_at for event, _, _ in rows],
        [event.currency for event, _, _ in rows],
        [sign * group.net for _, group, sign in rows],
        [sign * group.tax for _, group, sign in rows],
    )


async def insert_payments(connection: Connection, events: Sequence[PaymentEvent]) -> None:
    await connection.execute(
        """
        INSERT INTO payment (
            payment_id, refund_id, patient_id, payer_id, effective_at, currency, method, amount
        )
        SELECT * FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],
            $7::text[], $8::bigint[]
        )
        ON CONFLICT DO NOTHING
        """,
        [event.payment_id for event in events],
        [event.refund_id for event in events],
        [event.patient_id for event in events],
        [event.payer_id for event in events],
        [event.effective_at for event in events],
        [event.currency for event in events],
        [event.method for event in events],
        [-event.amount if event.refund_id else event.amount for event in events],
    )


async def delete_figures(connection: Connection) -> None:
    """Deletes every figure. Until the transaction ends, readers see the old ones."""
    for table in FIGURE_TABLES:
        await connection.execute(f"DELETE FROM {table}", timeout=REBUILD_TIMEOUT_SECONDS)  # noqa: S608
