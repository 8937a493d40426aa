"""Reads the topic `patient` into the figures, from the offsets that lie beside them.

Kafka says who reads which partition; the database decides what counts (docs/decisions/0401-offsets.md).
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from apps.analytics.batch import Overtaken, Publisher, Record, apply_batch, read_batch
from apps.analytics.settings import Settings
from apps.analytics.storage import (
    CLEAN_BATCH_ROWS,
    delete_old_events,
    ensure_offsets,
    select_offsets,
)
from apps.kit.broker import open_consumer
from apps.kit.database import Database
from apps.kit.errors import Unavailable
from apps.kit.web import log_failure

MAX_BATCH_RECORDS = 500
POLL_MILLISECONDS = 500
FIRST_RETRY_SECONDS = 0.2
MAX_RETRY_SECONDS = 5.0
CLEAN_PERIOD_SECONDS = 3600.0
END_OFFSETS_TIMEOUT_SECONDS = 3.0
TELL_PERIOD_SECONDS = 5.0
TELL_TIMEOUT_SECONDS = 3.0
# A row that the database itself refuses: a value, not the server, is at fault.
REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)

log = logging.getLogger(__name__)


class EventConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka carries no types
    def __init__(self, settings: Settings, database: Database, publisher: Publisher) -> None:
        self._settings = settings
        self._database = database
        self._publisher = publisher
        self._client: AIOKafkaConsumer | None = None
        # The next offset of each partition that this one reads, as the database has it.
        self._positions: dict[int, int] = {}

    @property
    def is_connected(self) -> bool:
        return self._client is not None

    async def run(self) -> None:
        """Until it is cancelled; away neighbours are waited for."""
        retry_seconds = FIRST_RETRY_SECONDS
        while True:
            try:
                await self._read()
            except Unavailable as error:
                log.warning("cannot read events", extra={"code": error.code})
            except Exception as error:
                log_failure(error, "reading events failed")
            if self._positions:
                retry_seconds = FIRST_RETRY_SECONDS
            self._positions.clear()
            await asyncio.sleep(retry_seconds)
            retry_seconds = min(retry_seconds * 2, MAX_RETRY_SECONDS)

    async def _read(self) -> None:
        settings = self._settings
        async with open_consumer(
            settings.broker, settings.topic, settings.consumer_group, self
        ) as client:
            self._client = client
            try:
                told_at = time.monotonic()
                while True:
                    await self._place(client, client.assignment())
                    found = await client.getmany(
                        timeout_ms=POLL_MILLISECONDS, max_records=MAX_BATCH_RECORDS
                    )
                    await self._take([record for records in found.values() for record in records])
                    if time.monotonic() - told_at >= TELL_PERIOD_SECONDS:
                        await self._tell(client)
                        told_at = time.monotonic()
            finally:
                self._client = None

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        for partition in revoked:
            self._positions.pop(partition.partition, None)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        # Before anything is fetched. Where it cannot be known now, the loop asks again.
        if self._client is not None:
            with suppress(Unavailable):
                await self._place(self._client, assigned)

    async def _place(self, client: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
        """Goes to the stored offset of every partition that is new to this reader."""
        new = [partition for partition in partitions if partition.partition not in self._positions]
        if not new:
            return
        async with self._database.transaction() as connection:
            await ensure_offsets(
                connection, self._settings.topic, [partition.partition for partition in new]
            )
            offsets = await select_offsets(connection, self._settings.topic)
        for partition in new:
            with suppress(KafkaError):  # taken away meanwhile
                client.seek(partition, offsets[partition.partition])
                self._positions[partition.partition] = offsets[partition.partition]

    async def _tell(self, client: AIOKafkaConsumer) -> None:
        """Commits to Kafka how far it read: for its tools and MSK's lag metric, and read by nobody here."""
        offsets = {
            at: self._positions[at.partition]
            for at in client.assignment()
            if at.partition in self._positions
        }
        if offsets:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(TELL_TIMEOUT_SECONDS):
                    await client.commit(offsets)

    async def _take(self, records: Sequence[Record]) -> None:
        try:
            await self._keep(records)
        except REFUSED as error:
            log_failure(error, "a batch was refused", records=len(records))
            for record in records:
                try:
                    await self._keep([record])
                except REFUSED:
                    await self._keep([record], refused="refused_by_database")

    async def _keep(self, records: Sequence[Record], refused: str = "") -> None:
        # What was fetched before its partition was placed comes again, from there.
        records = [record for record in records if self._is_next(record)]
        if not records:
            return
        begins = {record.partition: self._positions[record.partition] for record in records}
        batch = read_batch(self._settings.topic, begins, records, refused)
        try:
            async with self._database.transaction() as connection:
                await apply_batch(
                    connection, batch, self._publisher, self._settings.dead_letter_topic
                )
        except Overtaken:
            log.info("another reader went on; going to its offsets")
            self._positions.clear()
        else:
            self._positions.update(batch.ends)

    def _is_next(self, record: Record) -> bool:
        return (
            record.partition in self._positions
            and record.offset >= self._positions[record.partition]
        )

    async def end_offsets(self) -> Mapping[int, int]:
        """Where each partition ends; raises Unavailable where no broker answers."""
        if self._client is None:
            raise Unavailable("broker_unavailable")
        return await read_end_offsets(self._client, self._settings.topic)


async def read_end_offsets(client: AIOKafkaConsumer, topic: str) -> dict[int, int]:
    partitions = client.partitions_for_topic(topic)
    if not partitions:
        raise Unavailable("topic_unavailable")
    try:
        async with asyncio.timeout(END_OFFSETS_TIMEOUT_SECONDS):
            ends = await client.end_offsets(
                [TopicPartition(topic, number) for number in partitions]
            )
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable("broker_unavailable", type(error).__name__) from error
    return {partition.partition: end for partition, end in ends.items()}


async def forget_old_events(database: Database) -> int:
    """Deletes the event ids that need not be known any more, in small transactions; how many they were."""
    total = 0
    while True:
        async with database.transaction() as connection:
            count = await delete_old_events(connection)
        total += count
        if count < CLEAN_BATCH_ROWS:
            return total


async def clean_forever(database: Database) -> None:
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


@asynccontextmanager
async def running(*loops: Any) -> AsyncIterator[None]:
    """Runs the coroutines beside the block, and cancels them when it ends."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
