"""Reads whole topics from their beginning, in batches: to make figures anew, and to check what was
made of events.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence

from apps.kit.broker import BrokerSettings, open_consumer
from apps.kit.event_batch import Record
from apps.kit.event_consumer import MAX_BATCH_RECORDS, read_end_offsets
from apps.kit.event_storage import Place

POLL_MILLISECONDS = 1_000


async def replay(
    broker: BrokerSettings, topics: Sequence[str], ends: Mapping[Place, int] | None = None
) -> AsyncGenerator[list[Record], None]:
    """Yields the records before `ends`, which is where each partition ends now unless it is given.

    Those of one partition come in their order. Raises Unavailable. Use it in `contextlib.aclosing`.
    """
    async with open_consumer(broker, topics) as client:
        found = await read_end_offsets(client, topics)
        # What a topic no longer has, or has not yet, is not waited for.
        until = found if ends is None else {at: min(found[at], ends.get(at, 0)) for at in found}
        partitions = sorted(client.assignment())
        await client.seek_to_beginning(*partitions)
        while any([await client.position(at) < until[at.topic, at.partition] for at in partitions]):
            batch = await client.getmany(
                timeout_ms=POLL_MILLISECONDS, max_records=MAX_BATCH_RECORDS
            )
            records = [
                record
                for each in batch.values()
                for record in each
                if record.offset < until[record.topic, record.partition]
            ]
            if records:
                yield records
