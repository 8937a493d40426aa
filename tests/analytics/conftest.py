"""Runs analytics on a real PostgreSQL and Kafka: topics, a group and a database for each test."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from apps.analytics.app import Neighbours
from apps.analytics.figures.storage import apply_events
from apps.analytics.settings import Settings
from apps.kit.broker import BrokerSettings, Message, Producer, open_producer
from apps.kit.context import new_id
from apps.kit.database import Database, DatabaseSettings, open_database
from apps.kit.event_consumer import EventConsumer
from apps.kit.tasks import running
from protos.billing.v1 import events_pb2 as billing_pb
from protos.patient.v1 import events_pb2 as pb
from tests.analytics.serving import PUBLIC_URL, FakeVerifier, serving

ENVIRONMENT = {
    "ENVIRONMENT": "local",
    "HOST": "127.0.0.1",
    "PORT": "4002",
    "PUBLIC_URL": PUBLIC_URL,
    "LOG_FORMAT": "text",
    "ANALYTICS_DATABASE_URL": "postgresql://analytics:secret@127.0.0.1:1/analytics",
    "AUTH_URL": "http://127.0.0.1:1",
    "ANALYTICS_CLIENT_SECRET": "secret",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "KAFKA_SECURITY": "plaintext",
    "TOPIC_PATIENT": "patient",
    "TOPIC_PATIENT_DLQ": "patient.dlq",
    "TOPIC_BILLING": "billing",
    "TOPIC_BILLING_DLQ": "billing.dlq",
    "KAFKA_CONSUMER_GROUP": "analytics",
}
PARTITIONS = 3
WAIT_SECONDS = 20.0


def patient_event(event_type: str = "patient.created", **fields: Any) -> pb.PatientEvent:
    values = {
        "event_id": new_id(),
        "patient_id": new_id(),
        "version_id": 1,
        "demographics": pb.Demographics(birth_year=1980, gender="female", postal_prefix="021"),
        **fields,
    }
    event = pb.PatientEvent(event_type=event_type, **values)
    if not event.HasField("occurred_at"):
        event.occurred_at.FromDatetime(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
    return event


def clinical_event(event_type: str = "clinical.recorded", **fields: Any) -> pb.PatientEvent:
    names = {
        "resource_type",
        "resource_id",
        "code",
        "category",
        "status",
        "effective_at",
        "ended_at",
        "reason",
    }
    fact: dict[str, Any] = {"resource_type": "Condition", "resource_id": new_id()}
    fact |= {name: value for name, value in fields.items() if name in names}
    rest = {name: value for name, value in fields.items() if name not in names}
    return patient_event(event_type, demographics=None, clinical=pb.ClinicalFact(**fact), **rest)


def consumer_of(settings: Settings, database: Database, producer: Producer) -> EventConsumer:
    return EventConsumer(settings.consumer, database, producer, apply_events)


@dataclass
class Bench:
    """What a test works with: its settings, its database, and a producer for its topic."""

    settings: Settings
    database: Database
    producer: Producer

    async def publish_billing(self, *events: billing_pb.BillingEvent | bytes) -> None:
        await self.producer.publish(
            [
                Message(
                    self.settings.billing_topic,
                    b"key",
                    event if isinstance(event, bytes) else event.SerializeToString(),
                )
                for event in events
            ]
        )

    async def publish(self, *events: pb.PatientEvent | bytes) -> None:
        await self.producer.publish(
            [
                Message(self.settings.topic, b"key", event)
                if isinstance(event, bytes)
                else Message(
                    self.settings.topic, event.patient_id.encode(), event.SerializeToString()
                )
                for event in events
            ]
        )

    def consumer(self) -> EventConsumer:
        return consumer_of(self.settings, self.database, self.producer)

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(statement)]

    async def value(self, statement: str) -> Any:
        async with self.database.connection() as connection:
            return await connection.fetchval(statement)

    async def registrations(self) -> int:
        return int(await self.value("SELECT coalesce(sum(count), 0)::bigint FROM registration"))

    async def read(self) -> int:
        """How many records were read."""
        return int(await self.value("SELECT coalesce(sum(next_offset), 0)::bigint FROM consumed"))

    async def wait_for_reading(self, records: int) -> None:
        await until(lambda: self._has_read(records))

    async def _has_read(self, records: int) -> bool:
        return await self.read() >= records

    async def consume(self, records: int) -> None:
        """Runs a consumer of its own until as many records were read in all."""
        async with running(self.consumer().run()):
            await self.wait_for_reading(records)

    async def dead_letters(self, count: int) -> list[Any]:
        consumer = AIOKafkaConsumer(
            self.settings.dead_letter_topic,
            bootstrap_servers=self.settings.broker.bootstrap_servers,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            found: list[Any] = []
            deadline = time.monotonic() + WAIT_SECONDS
            while len(found) < count and time.monotonic() < deadline:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
            return found
        finally:
            await consumer.stop()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.05)


@pytest.fixture
def analytics_urls(make_database: Any) -> Iterator[tuple[str, str]]:
    with make_database("analytics") as urls:
        yield urls


@pytest.fixture
async def bench(analytics_urls: tuple[str, str], kafka: str) -> AsyncIterator[Bench]:
    name = f"test-{new_id()}"
    settings = replace(
        Settings.from_environment(ENVIRONMENT),
        database=DatabaseSettings(analytics_urls[0]),
        broker=BrokerSettings(kafka),
        topic=name,
        dead_letter_topic=f"{name}.dlq",
        billing_topic=f"{name}.billing",
        billing_dead_letter_topic=f"{name}.billing.dlq",
        consumer_group=name,
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        topics = {
            settings.topic: PARTITIONS,
            settings.billing_topic: PARTITIONS,
            settings.dead_letter_topic: 1,
            settings.billing_dead_letter_topic: 1,
        }
        await admin.create_topics([NewTopic(topic, count, 1) for topic, count in topics.items()])
        async with (
            open_database(settings.database) as database,
            open_producer(settings.broker) as producer,
        ):
            yield Bench(settings, database, producer)
        await admin.delete_topics(list(topics))
    finally:
        await admin.close()


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(
        bench.settings, Neighbours(FakeVerifier(), bench.database, bench.producer)
    ) as client:
        yield client
