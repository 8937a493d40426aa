"""The record is compared with what it told: nothing differs, unless an event was lost."""

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from apps.kit.broker import BrokerSettings, Message, open_producer
from apps.kit.context import new_id
from apps.kit.database import DatabaseSettings
from apps.patient.operate import check_events
from apps.patient.reconcile import Difference, reconcile
from protos.patient.v1 import events_pb2 as pb

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def owner_url(make_database: Any) -> Iterator[str]:
    with make_database("patient") as (_, url):
        yield url


@pytest.fixture
async def topic(kafka: str) -> AsyncIterator[str]:
    name = f"test-{new_id()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 2, 1)])
        yield name
        await admin.delete_topics([name])
    finally:
        await admin.close()


def event(resource: str, version_id: int) -> bytes:
    resource_type, _, id = resource.partition("/")
    event = pb.PatientEvent(
        event_id=new_id(),
        patient_id=id if resource_type == "Patient" else "p",
        event_type="patient.updated" if resource_type == "Patient" else "clinical.amended",
        version_id=version_id,
    )
    if resource_type != "Patient":
        event.clinical.resource_type, event.clinical.resource_id = resource_type, id
    return event.SerializeToString()


async def store(
    connection: asyncpg.Connection, number: int, resource: str, version_id: int, age: str
) -> None:
    resource_type, _, id = resource.partition("/")
    await connection.execute(
        """
        INSERT INTO resource (number, reference_hash, version_id, last_updated, type, id,
            patient_id, method, body)
        VALUES ($1, $1, $2, now() - $3::text::interval, $4, $5, $6, 'PUT', '{}')""",
        number,
        version_id,
        age,
        resource_type,
        id,
        None if resource_type == "Organization" else "p",
    )


async def test_every_version_that_no_event_tells_of_is_named(
    owner_url: str, kafka: str, topic: str
) -> None:
    broker = BrokerSettings(kafka)
    connection = await asyncpg.connect(owner_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await store(connection, 1, "Patient/p", 2, "1 hour")
        await store(connection, 2, "Procedure/told", 1, "1 hour")
        await store(connection, 3, "Procedure/waiting", 1, "1 hour")
        # Of no patient's record, and not yet late.
        await store(connection, 4, "Organization/o", 1, "1 hour")
        await store(connection, 5, "Procedure/new", 1, "1 second")
        await connection.execute(
            """
            INSERT INTO outbox (destination, event_id, patient_id, payload, request_id, traceparent)
            VALUES ('kafka', $1, 'p', $2, '', '')""",
            new_id(),
            event("Procedure/waiting", 1),
        )
        async with open_producer(broker) as producer:
            told = [event("Patient/p", 2), event("Patient/p", 1), event("Procedure/told", 1)]
            await producer.publish([Message(topic, b"p", value) for value in (*told, b"\xff")])
        assert await reconcile(connection, broker, topic) == []

        await store(connection, 6, "Procedure/lost", 1, "1 hour")
        await connection.execute("UPDATE resource SET version_id = 3 WHERE id = 'p'")
        assert sorted(await reconcile(connection, broker, topic), key=str) == [
            Difference("event_missing", "Patient/p", "3", "2"),
            Difference("event_missing", "Procedure/lost", "1", "0"),
        ]
    finally:
        await transaction.rollback()
        await connection.close()


async def test_operators_see_what_no_event_tells_of(owner_url: str, kafka: str, topic: str) -> None:
    settings: Any = SimpleNamespace(
        database=DatabaseSettings(owner_url), broker=BrokerSettings(kafka), topic=topic
    )
    connection = await asyncpg.connect(owner_url)
    try:
        await store(connection, 1, "Procedure/lost", 1, "1 hour")
        assert await check_events(settings, {}) == [
            {
                "code": "event_missing",
                "subject": "Procedure/lost",
                "expected": "1",
                "found": "0",
            }
        ]
    finally:
        await connection.execute("DELETE FROM resource WHERE number = 1")
        await connection.close()
