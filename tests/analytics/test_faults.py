"""What happens to the figures when what they rest on goes away for a while."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from apps.catalogue import TOPICS
from apps.kit.broker import BrokerSettings, open_producer
from apps.kit.database import DatabaseSettings, open_database
from apps.kit.errors import Unavailable
from apps.kit.event_consumer import EventConsumer
from apps.kit.lag import LagMonitor
from apps.kit.tasks import running
from infrastructure.local.jars import resolve_jars
from infrastructure.local.kafka import create_topics, open_kafka
from tests.analytics.conftest import Bench, consumer_of, patient_event, until
from tests.ports import free_port

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def way_to(host: str, target_port: int, port: int) -> AsyncIterator[None]:
    """Connections to `port` reach the target while the block runs, and are cut at its end."""
    writers: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(host, target_port)
        await asyncio.gather(pump(reader, to_there), pump(there, writer))

    server = await asyncio.start_server(connect, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def test_database_away_delays_the_figures_and_loses_nothing(bench: Bench) -> None:
    role, _, address = bench.settings.database.url.rpartition("@")
    host, _, rest = address.partition(":")
    target_port, _, name = rest.partition("/")
    port = free_port()
    async with open_database(DatabaseSettings(f"{role}@127.0.0.1:{port}/{name}")) as database:
        async with running(consumer_of(bench.settings, database, bench.producer).run()):
            async with way_to(host, int(target_port), port):
                await bench.publish(*(patient_event() for _ in range(100)))
                await bench.wait_for_reading(100)
            await bench.publish(*(patient_event() for _ in range(100)))
            with pytest.raises(Unavailable):
                async with database.connection():
                    pass
            async with way_to(host, int(target_port), port):
                await bench.wait_for_reading(200)
                assert await bench.registrations() == 200


@pytest.fixture
def kafka_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="platform-test-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


async def test_broker_away_is_told_and_reading_goes_on_when_it_is_back(
    bench: Bench, kafka_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.kit.broker.PUBLISH_TIMEOUT_SECONDS", 2.0)
    port, jars = free_port(), resolve_jars(ROOT / ".local" / "maven")
    settings = replace(
        bench.settings,
        broker=BrokerSettings(f"127.0.0.1:{port}"),
        topic="patient",
        dead_letter_topic="patient.dlq",
        billing_topic="billing",
        billing_dead_letter_topic="billing.dlq",
        consumer_group="analytics",
    )
    async with open_producer(settings.broker) as producer:
        there = Bench(settings, bench.database, producer)
        consumer = there.consumer()
        monitor = LagMonitor(settings.consumer, bench.database, consumer, environment=None)
        async with running(consumer.run()):
            with open_kafka(kafka_directory, jars, port=port) as kafka:
                await asyncio.to_thread(kafka.wait)
                await asyncio.to_thread(create_topics, kafka.bootstrap_servers, TOPICS.values())
                await there.publish(*(patient_event() for _ in range(50)))
                await there.wait_for_reading(50)
                await monitor.measure()
                assert not monitor.failing
            await monitor.measure()
            assert monitor.failing
            with pytest.raises(Unavailable):
                await there.publish(patient_event())
            with open_kafka(kafka_directory, jars, port=port) as kafka:
                await asyncio.to_thread(kafka.wait)
                # The same at each try: one that was given up may still arrive.
                events = [patient_event() for _ in range(50)]

                async def is_published() -> bool:
                    with suppress(Unavailable):
                        await there.publish(*events)
                        return True
                    return False

                await until(is_published)
                await until(lambda: caught_up(there, consumer))
                await monitor.measure()
                assert not monitor.failing
                # What could not be told to have arrived may have, and was sent once.
                assert await there.registrations() in (100, 101)


async def caught_up(bench: Bench, consumer: EventConsumer) -> bool:
    with suppress(Unavailable):
        ends = await consumer.end_offsets()
        return sum(ends.values()) >= 100 and await bench.read() >= sum(ends.values())
    return False
