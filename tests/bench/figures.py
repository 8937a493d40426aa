"""Measures the consumer of the figures: `scripts/up --run scripts/bench figures [EVENTS]`.

It makes topics and uses analytics' own database, so it runs against a throwaway platform only.
First a backlog of EVENTS (100,000 without an argument) is read at full speed; then 1,000 events a
second are published for ten seconds, and the time from each publication to its figure is taken;
memory is the process's own, after a tenth of the backlog and after all of it. Fails below
LEAST_EVENTS_A_SECOND or above LIMIT_P99_SECONDS.

With --registrations SECONDS it measures the whole way instead, at REGISTRATIONS_PER_SECOND and
through the gateway: from the registration's request and from its answer until
/analytics/v1/registrations counts it. The commit lies between the two. Fails where the p99 since
the answer is above LIMIT_P99_SECONDS.
"""

import asyncio
import json
import os
import resource
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from apps.analytics.figures.storage import apply_events
from apps.analytics.settings import Settings
from apps.client.client import Client, open_client
from apps.kit.broker import BrokerSettings, Message, Producer, open_producer
from apps.kit.context import new_id
from apps.kit.database import Database, DatabaseSettings, open_database
from apps.kit.event_consumer import EventConsumer
from apps.kit.tasks import running
from tests.analytics.conftest import ENVIRONMENT, clinical_event, patient_event
from tests.bench.arguments import make_parser, parse_for_platform

BACKLOG = 100_000
PARTITIONS = 6
PUBLISHED_AT_ONCE = 1_000
RATE_PER_SECOND = 1_000
RATE_SECONDS = 10
BURSTS_PER_SECOND = 50
LEAST_EVENTS_A_SECOND = 10_000
LIMIT_P99_SECONDS = 0.1
LIMIT_SECONDS = 600.0
REGISTRATIONS_PER_SECOND = 10
POLL_SECONDS = 0.005


def make_messages(topic: str, numbers: range) -> list[Message]:
    """Returns events of 200 patients: a registration, then facts, as a clinic makes them."""
    messages = []
    for number in numbers:
        patient = f"patient-{number % 200}-{number // 5_000}"
        event = (
            patient_event(patient_id=patient)
            if number % 20 == 0
            else clinical_event(patient_id=patient, resource_type="Observation")
            if number % 3
            else clinical_event(patient_id=patient, resource_type="Condition")
        )
        messages.append(Message(topic, patient.encode(), event.SerializeToString()))
    return messages


async def publish(producer: Producer, topic: str, count: int) -> None:
    """Publishes without keeping: the memory that is measured afterwards is the consumer's."""
    for start in range(0, count, PUBLISHED_AT_ONCE):
        numbers = range(start, min(start + PUBLISHED_AT_ONCE, count))
        await producer.publish(make_messages(topic, numbers))


async def count_read(database: Database, topic: str) -> int:
    async with database.connection() as connection:
        return int(
            await connection.fetchval(
                "SELECT coalesce(sum(next_offset), 0)::bigint FROM consumed WHERE topic = $1", topic
            )
        )


async def wait_for(database: Database, topic: str, count: int) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while await count_read(database, topic) < count:  # noqa: ASYNC110  # another connection's commit
            await asyncio.sleep(0.005)


def memory_mib() -> float:
    """Returns the memory that this process has in use (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024**2


async def measure_backlog(
    consumer: EventConsumer, database: Database, topic: str, count: int
) -> tuple[float, float, float]:
    """Returns events a second of CPU-bound reading, and the memory after a tenth of them
    and after all.
    """
    began = time.perf_counter()
    async with running(consumer.run()):
        await wait_for(database, topic, 1)
        began = time.perf_counter()
        read = await count_read(database, topic)
        await wait_for(database, topic, count // 10)
        early_mib = memory_mib()
        await wait_for(database, topic, count)
        rate = (count - read) / (time.perf_counter() - began)
        return rate, early_mib, memory_mib()


async def measure_delay(
    consumer: EventConsumer, producer: Producer, database: Database, topic: str, before: int
) -> list[float]:
    """Returns the seconds from each burst's publication until its figures were committed."""
    delays: list[float] = []
    burst = RATE_PER_SECOND // BURSTS_PER_SECOND
    bursts = RATE_SECONDS * BURSTS_PER_SECOND
    messages = make_messages(topic, range(burst * bursts))
    published_at: list[float] = []

    async def watch() -> None:
        done = 0
        while done < bursts:
            read = (await count_read(database, topic) - before) // burst
            now = time.perf_counter()
            delays.extend(now - published_at[number] for number in range(done, read))
            done = max(done, read)
            await asyncio.sleep(0.002)

    async with running(consumer.run()):
        await asyncio.sleep(5)
        watching = asyncio.create_task(watch())
        began = time.perf_counter()
        for number in range(bursts):
            await asyncio.sleep(max(0.0, began + number / BURSTS_PER_SECOND - time.perf_counter()))
            published_at.append(time.perf_counter())
            await producer.publish(messages[number * burst : (number + 1) * burst])
        await asyncio.wait_for(watching, LIMIT_SECONDS)
    return delays


async def measure_registrations(client: Client, seconds: int) -> tuple[list[float], list[float]]:
    """Returns the seconds until a registration was counted, from its request and from its answer.

    The platform must be idle: whatever else is registered is taken for one of these.
    """

    async def counted() -> int:
        answer = await client.call("GET", "/analytics/v1/registrations")
        assert answer.status == 200, answer.body
        return int(answer.body["total"])

    count = seconds * REGISTRATIONS_PER_SECOND
    before = await counted()
    asked_at: list[float] = []
    answered_at: list[float] = []
    shown_at: list[float] = []

    async def watch() -> None:
        while len(shown_at) < count:
            shown = await counted() - before
            now = time.perf_counter()
            shown_at.extend(now for _ in range(shown - len(shown_at)))
            await asyncio.sleep(POLL_SECONDS)

    watching = asyncio.create_task(watch())
    began = time.perf_counter()
    for number in range(count):
        due = began + number / REGISTRATIONS_PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        asked_at.append(time.perf_counter())
        answer = await client.call("POST", "/api/patients", body=person(number))
        assert answer.status == 201, answer.body
        answered_at.append(time.perf_counter())
    await asyncio.wait_for(watching, LIMIT_SECONDS)
    return (
        [shown - asked for shown, asked in zip(shown_at, asked_at, strict=True)],
        [max(0.0, shown - answered) for shown, answered in zip(shown_at, answered_at, strict=True)],
    )


def person(number: int) -> bytes:
    fields = {
        "name": f"Bench {number}",
        "address": "1 Sample Street, 12345 Sampleton",
        "email": f"{new_id()}@example.org",
        "dateOfBirth": "1985-12-10",
        "registeredDate": "2026-01-31",
    }
    return json.dumps(fields).encode()


async def time_registrations(seconds: int) -> int:
    async with open_client() as client:
        from_request, from_answer = await measure_registrations(client, seconds)
    for name, delays in (("request", from_request), ("answer", from_answer)):
        print(
            f"{REGISTRATIONS_PER_SECOND}/s: {name} to figure shown"
            f" p50 {statistics.median(delays) * 1000:.0f} ms,"
            f" p99 {statistics.quantiles(delays, n=100)[98] * 1000:.0f} ms"
        )
    return 0 if statistics.quantiles(from_answer, n=100)[98] <= LIMIT_P99_SECONDS else 1


async def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("events", type=int, nargs="?", default=BACKLOG)
    parser.add_argument("--registrations", type=int, default=0, metavar="SECONDS")
    arguments = parse_for_platform(parser)
    count = arguments.events
    if count < 1:
        parser.error("EVENTS: at least one")
    if arguments.registrations > 0:
        return await time_registrations(arguments.registrations)
    name = f"bench-{new_id()}"
    settings = replace(
        Settings.from_environment(ENVIRONMENT),
        database=DatabaseSettings(os.environ["PLATFORM_ANALYTICS_DATABASE_URL"]),
        broker=BrokerSettings(os.environ["PLATFORM_KAFKA"]),
        topic=name,
        dead_letter_topic=f"{name}.dlq",
        billing_topic=f"{name}.billing",
        billing_dead_letter_topic=f"{name}.billing.dlq",
        consumer_group=name,
    )
    await make_topics(settings)

    async with (
        open_database(settings.database) as database,
        open_producer(settings.broker) as producer,
    ):
        await publish(producer, name, count)
        consumer = EventConsumer(settings.consumer, database, producer, apply_events)
        rate, early_mib, late_mib = await measure_backlog(consumer, database, name, count)
        delays = await measure_delay(consumer, producer, database, name, count)

    p99 = statistics.quantiles(delays, n=100)[98]
    print(
        f"backlog of {count}: {rate:,.0f} events/s,"
        f" memory {early_mib:.0f} MiB after a tenth, {late_mib:.0f} MiB after all"
    )
    print(
        f"{RATE_PER_SECOND}/s: published to figure p50 {statistics.median(delays) * 1000:.0f} ms,"
        f" p99 {p99 * 1000:.0f} ms"
    )
    return 0 if rate >= LEAST_EVENTS_A_SECOND and p99 <= LIMIT_P99_SECONDS else 1


async def make_topics(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker.bootstrap_servers)
    await admin.start()
    try:
        topics = (
            *settings.consumer.topics,
            *(each.dead_letters for each in settings.consumer.sources),
        )
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics])
    finally:
        await admin.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
