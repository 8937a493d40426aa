"""Makes the figures anew from the whole topics.

It is one transaction: readers see the old figures until the new ones are complete; consumers wait and
read on behind it.
"""

import logging

from apps.analytics.figures.storage import apply_events, delete_figures
from apps.analytics.settings import Settings
from apps.kit.broker import open_consumer
from apps.kit.database import Database
from apps.kit.event_batch import Publisher, apply_batch, read_batch
from apps.kit.event_consumer import MAX_BATCH_RECORDS, read_end_offsets
from apps.kit.event_storage import ensure_offsets, reset_offsets

POLL_MILLISECONDS = 1000

log = logging.getLogger(__name__)


async def rebuild(settings: Settings, database: Database, publisher: Publisher) -> int:
    """Returns how many records it read; raises Unavailable, and then has changed nothing."""
    sources = settings.consumer.by_topic
    topics = settings.consumer.topics
    count = 0

    async with open_consumer(settings.broker, topics) as client:
        partitions = sorted(client.assignment())
        ends = await read_end_offsets(client, topics)
        positions = dict.fromkeys(ends, 0)
        await client.seek_to_beginning(*partitions)

        async with database.transaction() as connection:
            await ensure_offsets(connection, ends)
            await reset_offsets(connection, topics)
            await delete_figures(connection)

            while any(
                [await client.position(at) < ends[at.topic, at.partition] for at in partitions]
            ):
                found = await client.getmany(
                    timeout_ms=POLL_MILLISECONDS, max_records=MAX_BATCH_RECORDS
                )
                records = [
                    record
                    for each in found.values()
                    for record in each
                    if record.offset < ends[record.topic, record.partition]
                ]
                if records:
                    places = {(record.topic, record.partition) for record in records}
                    begins = {place: positions[place] for place in places}
                    batch = read_batch(sources, begins, records)
                    await apply_batch(
                        connection, batch, apply_events, sources=sources, publisher=publisher
                    )
                    positions.update(batch.ends)
                    count += len(records)

    log.info("figures rebuilt", extra={"records": count})
    return count
