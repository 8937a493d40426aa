"""Reads topics into a service's database, from the offsets that are stored beside the effects.

Kafka assigns the partitions; the database decides what counts (docs/decisions/0401-offsets.md).
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from apps.kit.backoff import Backoff
from apps.kit.broker import BrokerSettings, open_consumer
from apps.kit.database import ROW_ERRORS, Database
from apps.kit.errors import Unavailable
from apps.kit.event_batch import (
    Apply,
    OvertakenError,
    Publisher,
    Record,
    Source,
    apply_batch,
    read_batch,
)
from apps.kit.event_storage import (
    CLEAN_BATCH_ROWS,
    Place,
    delete_old_events,
    ensure_offsets,
    select_offsets,
)
from apps.kit.logs import log_failure

MAX_BATCH_RECORDS = 1_000
POLL_MILLISECONDS = 500
FIRST_RETRY_SECONDS = 0.2
MAX_RETRY_SECONDS = 5.0
CLEAN_PERIOD_SECONDS = 3600.0
END_OFFSETS_TIMEOUT_SECONDS = 3.0
# Under load a moment's wait makes one batch of many: each costs a transaction, and a fetch
# at the broker.
GATHER_SECONDS = 0.02
COMMIT_PERIOD_SECONDS = 5.0
COMMIT_TIMEOUT_SECONDS = 3.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """`sources`: the topics, each with its parser and its dead-letter topic."""

    broker: BrokerSettings
    group: str
    sources: tuple[Source, ...]

    @property
    def by_topic(self) -> Mapping[str, Source]:
        return {source.topic: source for source in self.sources}

    @property
    def topics(self) -> list[str]:
        return [source.topic for source in self.sources]


class EventConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka carries no types
    """Applies every event once: the effects and the next offsets are one transaction."""

    def __init__(
        self, settings: ConsumerSettings, database: Database, publisher: Publisher, apply: Apply
    ) -> None:
        self._settings = settings
        self._sources = settings.by_topic
        self._database = database
        self._publisher = publisher
        self._apply = apply
        self._client: AIOKafkaConsumer | None = None
        # The next offset of each partition that this consumer reads, as the database has it.
        self._positions: dict[Place, int] = {}

    @property
    def is_connected(self) -> bool:
        return self._client is not None

    @property
    def places(self) -> frozenset[Place]:
        """Returns the partitions that this consumer reads now."""
        return frozenset(self._positions)

    async def run(self) -> None:
        """Runs until it is cancelled; waits for a broker or a database that is away."""
        backoff = Backoff(FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS)
        while True:
            try:
                await self._read()
            except Unavailable as error:
                log.warning("cannot read events", extra={"code": error.code})
            except Exception as error:
                log_failure(error, "reading events failed")
            if self._positions:
                backoff.reset()
            self._positions.clear()
            await asyncio.sleep(backoff.next_seconds())

    async def _read(self) -> None:
        settings = self._settings
        async with open_consumer(settings.broker, settings.topics, settings.group, self) as client:
            self._client = client
            try:
                committed_at = time.monotonic()
                while True:
                    await self._seek(client, client.assignment())
                    found = await client.getmany(
                        timeout_ms=POLL_MILLISECONDS, max_records=MAX_BATCH_RECORDS
                    )
                    records = [record for each in found.values() for record in each]
                    await self._take(records)
                    if time.monotonic() - committed_at >= COMMIT_PERIOD_SECONDS:
                        await self._commit(client)
                        committed_at = time.monotonic()
                    if 0 < len(records) < MAX_BATCH_RECORDS:
                        await asyncio.sleep(GATHER_SECONDS)
            finally:
                self._client = None

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        for partition in revoked:
            self._positions.pop((partition.topic, partition.partition), None)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        # Before anything is fetched. If the offsets cannot be read now, the loop asks again.
        if self._client is not None:
            with suppress(Unavailable):
                await self._seek(self._client, assigned)

    async def _seek(self, client: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
        """Seeks to the stored offset of every partition that is new to this consumer."""
        new = [each for each in partitions if (each.topic, each.partition) not in self._positions]
        if not new:
            return

        async with self._database.connection() as connection:
            await ensure_offsets(connection, [(each.topic, each.partition) for each in new])
            offsets = await select_offsets(connection, self._settings.topics)

        for partition in new:
            place = (partition.topic, partition.partition)
            with suppress(KafkaError):  # revoked meanwhile
                client.seek(partition, offsets[place])
                self._positions[place] = offsets[place]

    async def _commit(self, client: AIOKafkaConsumer) -> None:
        """Commits the offsets to Kafka for its tools and MSK's lag metric; nothing
        here reads them.
        """
        offsets = {
            each: self._positions[each.topic, each.partition]
            for each in client.assignment()
            if (each.topic, each.partition) in self._positions
        }
        if offsets:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS):
                    await client.commit(offsets)

    async def _take(self, records: Sequence[Record]) -> None:
        try:
            await self._keep(records)
        except ROW_ERRORS as error:
            log_failure(error, "a batch was refused", records=len(records))
            for record in records:
                try:
                    await self._keep([record])
                except ROW_ERRORS:
                    await self._keep([record], refused="refused_by_database")

    async def _keep(self, records: Sequence[Record], refused: str = "") -> None:
        # Records that were fetched before the seek come again, from the stored offset.
        records = [record for record in records if self._is_next(record)]
        if not records:
            return

        places = {(record.topic, record.partition) for record in records}
        begins = {place: self._positions[place] for place in places}
        batch = read_batch(self._sources, begins, records, refused)
        # Without effects the offsets are all there is to write: one statement.
        open_connection = (
            self._database.transaction if batch.has_effects else self._database.connection
        )
        try:
            async with open_connection() as connection:
                await apply_batch(
                    connection,
                    batch,
                    self._apply,
                    sources=self._sources,
                    publisher=self._publisher,
                )
        except OvertakenError:
            log.info("another consumer read on; seeking to its offsets")
            self._positions.clear()
        else:
            self._positions.update(batch.ends)

    def _is_next(self, record: Record) -> bool:
        place = (record.topic, record.partition)
        return place in self._positions and record.offset >= self._positions[place]

    async def end_offsets(self) -> Mapping[Place, int]:
        """Returns where each partition ends; raises Unavailable if no broker answers."""
        if self._client is None:
            raise Unavailable("broker_unavailable")
        return await read_end_offsets(self._client, self._settings.topics)


async def read_end_offsets(client: AIOKafkaConsumer, topics: Sequence[str]) -> dict[Place, int]:
    """Returns where each partition of `topics` ends; raises Unavailable."""
    partitions: list[TopicPartition] = []
    for topic in topics:
        numbers = client.partitions_for_topic(topic)
        if not numbers:
            raise Unavailable("topic_unavailable")
        partitions += [TopicPartition(topic, number) for number in numbers]

    try:
        async with asyncio.timeout(END_OFFSETS_TIMEOUT_SECONDS):
            ends = await client.end_offsets(partitions)
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable("broker_unavailable", type(error).__name__) from error
    return {(each.topic, each.partition): end for each, end in ends.items()}


async def forget_old_events(database: Database) -> int:
    """Deletes event ids that are no longer needed, in small transactions; returns how many."""
    total = 0
    while True:
        async with database.connection() as connection:
            count = await delete_old_events(connection)
        total += count
        if count < CLEAN_BATCH_ROWS:
            return total


async def clean_forever(database: Database) -> None:
    """Deletes old event ids each CLEAN_PERIOD_SECONDS until it is cancelled."""
    while True:
        try:
            count = await forget_old_events(database)
            if count:
                log.info("forgot old event ids", extra={"count": count})
        except Unavailable:
            pass
        except Exception as error:
            log_failure(error, "forgetting old event ids failed")
        await asyncio.sleep(CLEAN_PERIOD_SECONDS)
