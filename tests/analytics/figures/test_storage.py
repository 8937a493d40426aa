"""What is told again under another event id, or late, counts once and as its newest version."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from apps.analytics.events.billing import parse_billing_event
from apps.analytics.events.patient import parse_event
from apps.analytics.figures.changes import Event
from apps.analytics.figures.storage import apply_events
from apps.kit.context import new_id
from apps.kit.database import Database, DatabaseSettings, open_database
from protos.billing.v1 import events_pb2 as billing_pb
from tests.analytics.billing_events import charge, invoice, payment
from tests.analytics.conftest import clinical_event, patient_event

pytestmark = pytest.mark.integration


@pytest.fixture
async def database(analytics_database: str) -> AsyncIterator[Database]:
    async with open_database(DatabaseSettings(analytics_database)) as opened:
        yield opened


async def apply(database: Database, *messages: Any) -> None:
    """Each in a batch of its own, as if they came at different times."""
    for message in messages:
        value = message.SerializeToString()
        is_money = isinstance(message, billing_pb.BillingEvent)
        event: Event | None = parse_billing_event(value) if is_money else parse_event(value)
        assert event is not None
        async with database.transaction() as connection:
            await apply_events(connection, [event])


async def rows(database: Database, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query, *arguments)]


async def test_invoice_that_is_told_twice_counts_once(database: Database) -> None:
    id = new_id()

    def issued() -> billing_pb.BillingEvent:
        groups = {"visits": (400, 76), "other": (100, 0)}
        return invoice("invoice.issued", "2026-03-01", id, 1, open=576, groups=groups)

    def credited(note: str) -> billing_pb.BillingEvent:
        groups = {"visits": (40, 8)}
        return invoice(
            "invoice.adjusted", "2026-03-02", id, 2, open=528, groups=groups, credit_note=note
        )

    await apply(database, issued(), credited("n1"), credited("n1"), issued())
    revenue = "SELECT document, revenue_group, net, tax FROM revenue WHERE invoice_id = $1"
    once = [("", "other", 100, 0), ("", "visits", 400, 76), ("n1", "visits", -40, -8)]
    assert sorted(await rows(database, revenue, id)) == once
    versions = "SELECT version, open FROM invoice_version WHERE invoice_id = $1 ORDER BY version"
    assert await rows(database, versions, id) == [(1, 576), (2, 528)]
    await apply(database, credited("n2"))
    assert len(await rows(database, revenue, id)) == 4


async def test_payment_and_its_refunds_count_once_each(database: Database) -> None:
    id, refund = new_id(), new_id()
    for _ in range(2):
        await apply(database, payment("2026-03-01", id, 500))
        await apply(database, payment("2026-03-02", id, 200, refund))
    found = await rows(database, "SELECT amount FROM payment WHERE payment_id = $1 ORDER BY 1", id)
    assert found == [(-200,), (500,)]


async def test_charge_that_is_voided_stays_voided(database: Database) -> None:
    id = new_id()
    added = charge("charge.added", "2026-03-01", id, 500)
    await apply(database, added, charge("charge.voided", "2026-03-01", id, 500), added)
    query = "SELECT net, voided FROM charge WHERE charge_item_id = $1"
    assert await rows(database, query, id) == [(500, True)]


async def test_late_version_changes_nothing(database: Database) -> None:
    patient_id, resource_id = new_id(), new_id()
    await apply(
        database,
        patient_event("patient.updated", patient_id=patient_id, version_id=2),
        patient_event("patient.deleted", patient_id=patient_id, version_id=1),
        clinical_event(resource_id=resource_id, status="active", version_id=3),
        clinical_event(resource_id=resource_id, status="resolved", version_id=2),
    )
    patient = "SELECT version_id, deleted FROM patient WHERE patient_id = $1"
    assert await rows(database, patient, patient_id) == [(2, False)]
    fact = "SELECT version_id, status FROM fact WHERE resource_id = $1"
    assert await rows(database, fact, resource_id) == [(3, "active")]
