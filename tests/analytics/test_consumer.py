import asyncio
from dataclasses import dataclass, replace

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from apps.analytics.consumer.rebuild import rebuild
from apps.analytics.figures.storage import apply_events
from apps.kit.errors import Unavailable
from apps.kit.event_batch import OvertakenError, apply_batch, read_batch
from apps.kit.event_consumer import EventConsumer, forget_old_events
from apps.kit.event_storage import CLEAN_BATCH_ROWS, ensure_offsets
from apps.kit.lag import measure_lag
from apps.kit.tasks import running
from protos.patient.v1 import events_pb2 as pb
from tests.analytics.conftest import (
    PARTITIONS,
    Bench,
    clinical_event,
    consumer_of,
    patient_event,
    until,
)

pytestmark = pytest.mark.integration

FIGURES = (
    "SELECT * FROM charge ORDER BY 1",
    "SELECT * FROM invoice_version ORDER BY 1, 2",
    "SELECT * FROM revenue ORDER BY 1, 2, 3",
    "SELECT * FROM payment ORDER BY 1, 2",
    "SELECT * FROM registration ORDER BY 1",
    "SELECT * FROM patient ORDER BY 1",
    "SELECT * FROM fact ORDER BY 1, 2",
    "SELECT event_id FROM seen_event ORDER BY 1",
    "SELECT topic, partition, next_offset FROM consumed ORDER BY 1, 2",
)


async def test_every_registration_is_counted(bench: Bench) -> None:
    await bench.publish(*(patient_event() for _ in range(50)))
    await bench.consume(50)
    assert await bench.registrations() == 50


async def test_replayed_event_is_counted_once(bench: Bench) -> None:
    event = patient_event()
    await bench.publish(event, event, patient_event())
    await bench.consume(3)
    assert await bench.registrations() == 2
    await bench.publish(event)
    await bench.consume(4)
    assert await bench.registrations() == 2


async def test_restart_goes_on_where_the_figures_are(bench: Bench) -> None:
    await bench.publish(*(patient_event() for _ in range(20)))
    await bench.consume(20)
    # Without their ids a second reading would count them again: only the offsets can
    # keep it from that.
    async with bench.database.connection() as connection:
        await connection.execute("DELETE FROM seen_event")
    await bench.publish(*(patient_event() for _ in range(5)))
    await bench.consume(25)
    assert await bench.registrations() == 25


async def test_event_that_no_figure_needs_moves_the_offset_alone(bench: Bench) -> None:
    await bench.publish(clinical_event(resource_type="Observation"), patient_event())
    await bench.consume(2)
    assert await bench.value("SELECT count(*) FROM seen_event") == 1
    await bench.publish(*(clinical_event(resource_type="Observation") for _ in range(3)))
    await bench.consume(5)
    assert await bench.value("SELECT count(*) FROM seen_event") == 1


class Crash(Exception):
    pass


async def test_figures_and_offsets_move_together_or_not_at_all(bench: Bench) -> None:
    topic = bench.settings.topic
    sources = bench.settings.consumer.by_topic
    batch = read_batch(sources, {(topic, 0): 0}, records_of(topic, patient_event()))
    async with bench.database.transaction() as connection:
        await ensure_offsets(connection, [(topic, 0)])

    async def crash_before_the_commit() -> None:
        async with bench.database.transaction() as connection:
            await apply_batch(
                connection, batch, apply_events, sources=sources, publisher=bench.producer
            )
            raise Crash

    with pytest.raises(Crash):
        await crash_before_the_commit()
    assert (await bench.registrations(), await bench.read()) == (0, 0)


@dataclass(frozen=True)
class FakeRecord:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def records_of(topic: str, *events: pb.PatientEvent) -> list[FakeRecord]:
    return [
        FakeRecord(topic, 0, offset, b"key", event.SerializeToString())
        for offset, event in enumerate(events)
    ]


async def test_consumer_that_lost_its_partition_changes_nothing(bench: Bench) -> None:
    topic = bench.settings.topic
    sources = bench.settings.consumer.by_topic
    records = records_of(topic, patient_event(), patient_event())

    async def keep(kept: list[FakeRecord]) -> None:
        batch = read_batch(sources, {(topic, 0): 0}, kept)
        async with bench.database.transaction() as connection:
            await apply_batch(
                connection, batch, apply_events, sources=sources, publisher=bench.producer
            )

    async with bench.database.transaction() as connection:
        await ensure_offsets(connection, [(topic, 0)])
    await keep(records[:1])
    with pytest.raises(OvertakenError):
        await keep(records)

    assert (await bench.registrations(), await bench.read()) == (1, 1)


async def test_two_readers_of_the_same_partitions_count_once(bench: Bench) -> None:
    """Each alone in a group of its own reads everything: the worst that a rebalance could do."""
    await bench.publish(*(patient_event() for _ in range(300)))
    apart = replace(bench.settings, consumer_group=bench.settings.consumer_group + "-apart")
    async with running(
        bench.consumer().run(), consumer_of(apart, bench.database, bench.producer).run()
    ):
        await bench.wait_for_reading(300)
        await bench.publish(*(patient_event() for _ in range(300)))
        await bench.wait_for_reading(600)
    assert (await bench.registrations(), await bench.read()) == (600, 600)


async def test_partitions_move_to_a_second_reader_and_back(bench: Bench) -> None:
    async with running(bench.consumer().run()):
        await bench.publish(*(patient_event() for _ in range(50)))
        await bench.wait_for_reading(50)
        second = bench.consumer()
        async with running(second.run()):
            await until(lambda: has_partitions(second))
            await bench.publish(*(patient_event() for _ in range(50)))
            await bench.wait_for_reading(100)
        await bench.publish(*(patient_event() for _ in range(50)))
        await bench.wait_for_reading(150)
    assert await bench.registrations() == 150


async def has_partitions(consumer: EventConsumer) -> bool:
    return bool(consumer.places)


async def test_unreadable_event_goes_to_the_dead_letters_and_the_next_is_counted(
    bench: Bench,
) -> None:
    await bench.publish(
        b"\xff not protobuf", patient_event(event_type="patient.renamed"), patient_event()
    )
    await bench.consume(3)
    assert await bench.registrations() == 1
    letters = {dict(letter.headers)["reason"]: letter for letter in await bench.dead_letters(2)}
    assert letters.keys() == {b"not_protobuf", b"unknown_event_type"}
    letter = letters[b"not_protobuf"]
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (b"key", b"\xff not protobuf")
    assert headers["topic"] == bench.settings.topic.encode()
    (buried,) = await bench.rows(
        "SELECT partition, record_offset FROM dead_letter WHERE reason = 'not_protobuf'"
    )
    assert (int(headers["partition"]), int(headers["offset"])) == buried


async def test_event_that_the_database_refuses_is_buried_alone(
    bench: Bench, analytics_urls: tuple[str, str]
) -> None:
    with psycopg.connect(analytics_urls[1]) as connection:
        connection.execute("ALTER TABLE patient ADD CHECK (gender <> 'refused')")
    events = [patient_event() for _ in range(10)]
    events[4].demographics.gender = "refused"
    await bench.publish(*events)
    await bench.consume(10)
    assert await bench.registrations() == 9
    (letter,) = await bench.dead_letters(1)
    assert dict(letter.headers)["reason"] == b"refused_by_database"


async def test_later_version_stands_whichever_comes_first(bench: Bench) -> None:
    """The older versions come in a batch of their own, so that the SQL decides."""
    patient = "patient-1"
    fact = "fact-1"
    changed = {"patient_id": patient}
    await bench.publish(
        patient_event("patient.updated", version_id=3, **changed),
        clinical_event("clinical.deleted", resource_id=fact, version_id=2, **changed),
    )
    await bench.consume(2)

    await bench.publish(
        patient_event("patient.updated", version_id=2, **changed),
        clinical_event("clinical.recorded", resource_id=fact, version_id=1, **changed),
    )
    await bench.consume(4)

    assert await bench.rows("SELECT patient_id, version_id FROM patient") == [(patient, 3)]
    assert await bench.rows("SELECT version_id, deleted FROM fact") == [(2, True)]


async def test_rebuild_gives_the_same_figures(bench: Bench) -> None:
    repeated = patient_event()
    await bench.publish(*(patient_event() for _ in range(700)), repeated, repeated, b"poison")
    await bench.publish(*(clinical_event() for _ in range(20)))
    await bench.consume(723)
    before = [await bench.rows(statement) for statement in FIGURES]
    assert await rebuild(bench.settings, bench.database, bench.producer) == 723
    assert [await bench.rows(statement) for statement in FIGURES] == before
    assert len(await bench.rows("SELECT * FROM dead_letter")) == 1
    assert len(await bench.dead_letters(1)) == 1


async def test_rebuild_repairs_wrong_figures_while_a_consumer_runs(bench: Bench) -> None:
    async with running(bench.consumer().run()):
        await bench.publish(*(patient_event() for _ in range(100)))
        await bench.wait_for_reading(100)
        async with bench.database.connection() as connection:
            await connection.execute("UPDATE registration SET count = 7")
        await rebuild(bench.settings, bench.database, bench.producer)
        assert await bench.registrations() == 100
        await bench.publish(*(patient_event() for _ in range(10)))
        await bench.wait_for_reading(110)
    assert await bench.registrations() == 110


async def test_lag_is_what_was_published_and_not_read(bench: Bench) -> None:
    consumer = bench.consumer()
    with pytest.raises(Unavailable):
        await measure_lag(bench.database, consumer, bench.settings.consumer.topics)
    await bench.publish(patient_event(), b"poison")
    async with running(consumer.run()):
        await bench.wait_for_reading(2)
        lag = await measure_lag(bench.database, consumer, bench.settings.consumer.topics)
        assert (lag.total, lag.dead_letters, lag.new_dead_letters) == (0, 1, 1)
        assert len(lag.partitions) == 2 * PARTITIONS
        async with bench.database.connection() as connection:
            await connection.execute("UPDATE consumed SET next_offset = 0")
            await connection.execute(
                "INSERT INTO dead_letter VALUES ($1, 0, 7, 'empty', now() - interval '6 minutes')",
                bench.settings.topic,
            )
        lag = await measure_lag(bench.database, consumer, bench.settings.consumer.topics)
        assert (lag.total, lag.dead_letters, lag.new_dead_letters) == (2, 2, 1)


async def test_only_old_event_ids_are_forgotten(bench: Bench) -> None:
    async with bench.database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO seen_event SELECT gen_random_uuid(), now() - interval '14 days 1 minute'
            FROM generate_series(1, $1)
            """,
            CLEAN_BATCH_ROWS + 5,
        )
        await connection.execute(
            "INSERT INTO seen_event VALUES (gen_random_uuid(), now() - interval '13 days 23 hours')"
        )
    assert await forget_old_events(bench.database) == CLEAN_BATCH_ROWS + 5
    assert await bench.value("SELECT count(*) FROM seen_event") == 1


async def test_reader_stops_at_once_when_it_is_told(bench: Bench) -> None:
    async with asyncio.timeout(None) as limit:
        async with running(bench.consumer().run()):
            await bench.publish(patient_event())
            await bench.wait_for_reading(1)
            limit.reschedule(asyncio.get_running_loop().time() + 10)


async def test_kafka_is_told_how_far_it_read_for_its_lag_metric(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.kit.event_consumer.COMMIT_PERIOD_SECONDS", 0.0)
    await bench.publish(*(patient_event() for _ in range(10)))
    partitions = [TopicPartition(bench.settings.topic, number) for number in range(PARTITIONS)]
    onlooker = AIOKafkaConsumer(
        bootstrap_servers=bench.settings.broker.bootstrap_servers,
        group_id=bench.settings.consumer_group,
        enable_auto_commit=False,
    )
    await onlooker.start()

    async def is_told() -> bool:
        return sum([await onlooker.committed(partition) or 0 for partition in partitions]) == 10

    try:
        async with running(bench.consumer().run()):
            await until(is_told)
    finally:
        await onlooker.stop()
