"""Checks billing against the topics: every patient one account, every chargeable resource one
charge, all of it told.

Each topic is read up to where the database is as of one moment, so that nothing on its way is
taken for missing.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from apps.billing.charges.patient_events import read_event
from apps.billing.charges.rules import Fact, is_charged
from apps.billing.ledger.reconcile import Difference
from apps.billing.settings import Settings
from apps.kit.database import Connection
from apps.kit.event_batch import UnreadableError
from apps.kit.event_storage import Place, select_offsets
from apps.kit.replay import replay
from protos.billing.v1 import events_pb2 as billing_events
from protos.patient.v1 import events_pb2 as patient_events

MAX_DIFFERENCES = 100
# The relay opens an account and publishes an event within this time, or operators hear of it
# (kit/outbox.py).
ON_ITS_WAY = timedelta(seconds=60)
# type/id of a resource
Resource = str


async def reconcile_record(connection: Connection, settings: Settings) -> list[Difference]:
    """Compares accounts and charges with the topic `patient`, in a transaction that
    sees one moment.

    Raises Unavailable.
    """
    ends = await select_offsets(connection, [settings.patient_topic])
    patients, facts = await _read_record(settings, ends)
    known = {row[0] for row in await connection.fetch("SELECT patient_id FROM account")}
    standing = Counter(
        row[0]
        for row in await connection.fetch(
            """
            SELECT source_type || '/' || source_id FROM charge_item
            WHERE source_type <> '' AND status <> 'voided' AND NOT needs_credit"""
        )
    )
    missing = [Difference("account_missing", each, "1", "0") for each in sorted(patients - known)]
    return missing[:MAX_DIFFERENCES] + list(_compare(facts, standing))[:MAX_DIFFERENCES]


async def _read_record(
    settings: Settings, ends: dict[Place, int]
) -> tuple[set[str], dict[Resource, Fact]]:
    """Returns the patients, and the newest version of each resource that may be charged."""
    patients: set[str] = set()
    facts: dict[Resource, Fact] = {}
    before = datetime.now(UTC) - ON_ITS_WAY
    async with aclosing(replay(settings.broker, [settings.patient_topic], ends)) as batches:
        async for records in batches:
            for record in records:
                try:
                    step = read_event(record.value)
                except UnreadableError:
                    continue
                event = patient_events.PatientEvent.FromString(record.value or b"")
                if event.occurred_at.ToDatetime(UTC) < before:
                    patients.add(event.patient_id)
                if step is None or not isinstance(step.what, Fact):
                    continue
                fact = step.what
                resource = f"{fact.resource_type}/{fact.resource_id}"
                if resource not in facts or facts[resource].version < fact.version:
                    facts[resource] = fact
    return patients, facts


def _compare(facts: dict[Resource, Fact], standing: Counter[Resource]) -> Iterator[Difference]:
    for resource in sorted(facts.keys() | standing.keys()):
        fact = facts.get(resource)
        expected = int(fact is not None and is_charged(fact))
        if standing[resource] != expected:
            code = "charge_missing" if standing[resource] < expected else "charge_unexpected"
            yield Difference(code, resource, str(expected), str(standing[resource]))


# What billing told of, and what its own tables say that it must have told: what stands in the
# outbox may still come.
TOLD = """
    SELECT 'charge.added ' || charge_item_id FROM charge_item WHERE net IS NOT NULL
    UNION ALL SELECT 'charge.voided ' || charge_item_id FROM charge_item
        WHERE net IS NOT NULL AND status = 'voided'
    UNION ALL SELECT 'invoice ' || invoice_id || ' ' || version FROM invoice WHERE number IS NOT
        NULL
    UNION ALL SELECT 'payment.recorded ' || payment_id FROM payment
    UNION ALL SELECT 'payment.refunded ' || refund_id FROM refund
"""


async def reconcile_events(connection: Connection, settings: Settings) -> list[Difference]:
    """Compares what billing holds with the topic `billing`: each document was told.
    Raises Unavailable.
    """
    expected = {row[0] for row in await connection.fetch(TOLD)}
    waiting = await connection.fetch("SELECT payload FROM outbox WHERE destination = 'kafka'")
    told = {name for row in waiting for name in names_of(row["payload"])}
    async with aclosing(replay(settings.broker, [settings.billing_topic])) as batches:
        async for records in batches:
            told.update(name for record in records for name in names_of(record.value or b""))
    missing = sorted(expected - told)
    return [Difference("event_missing", name, "1", "0") for name in missing[:MAX_DIFFERENCES]]


def names_of(payload: bytes) -> Iterator[str]:
    """Yields what an event tells of, in the words of TOLD."""
    event = billing_events.BillingEvent.FromString(payload)
    match event.WhichOneof("payload"):
        case "charge":
            yield f"{event.event_type} {event.charge.charge_item_id}"
        case "invoice":
            yield f"invoice {event.invoice.invoice_id} {event.invoice.version}"
        case "payment":
            yield f"{event.event_type} {event.payment.refund_id or event.payment.payment_id}"
