"""Makes the figures anew from the whole topic: `scripts/operate figures rebuild`.

It is one transaction: readers see the old figures until the new ones are whole, consumers wait and go on behind it.
"""

import logging

from apps.analytics.batch import Publisher, apply_batch, read_batch
from apps.analytics.consumer import MAX_BATCH_RECORDS, read_end_offsets
from apps.analytics.settings import Settings
from apps.analytics.storage import delete_figures, ensure_offsets
from apps.kit.broker import open_consumer
from apps.kit.database import Database

POLL_MILLISECONDS = 1000

log = logging.getLogger(__name__)


async def rebuild(settings: Settings, database: Database, publisher: Publisher) -> int:
    """How many records it read; raises Unavailable, and then has changed nothing."""
    async with open_consumer(settings.broker, settings.topic) as client:
        partitions = sorted(client.assignment())
        ends = await read_end_offsets(client, settings.topic)
        positions = dict.fromkeys(ends, 0)
        await client.seek_to_beginning(*partitions)
        count = 0
        async with database.transaction() as connection:
            await ensure_offsets(connection, settings.topic, sorted(ends))
            await delete_figures(connection, settings.topic)
            while any([await client.position(at) < ends[at.partition] for at in partitions]):
                found = await client.getmany(
                    timeout_ms=POLL_MILLISECONDS, max_records=MAX_BATCH_RECORDS
                )
                records = [
                    record
                    for each in found.values()
                    for record in each
                    if record.offset < ends[record.partition]
                ]
                if records:
                    begins = {record.partition: positions[record.partition] for record in records}
                    batch = read_batch(settings.topic, begins, records)
                    await apply_batch(connection, batch, publisher, settings.dead_letter_topic)
                    positions.update(batch.ends)
                    count += len(records)
    log.info("figures rebuilt", extra={"records": count})
    return count
