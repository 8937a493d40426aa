"""Makes the figures anew from the whole topics.

It is one transaction: readers see the old figures until the new ones are complete; consumers wait
and read on behind it.
"""

import logging
from collections.abc import Mapping
from contextlib import aclosing

from apps.analytics.figures.storage import apply_events, delete_figures
from apps.analytics.settings import Settings
from apps.kit.database import Connection, Database
from apps.kit.event_batch import Publisher, apply_batch, read_batch
from apps.kit.event_storage import Place, ensure_offsets, reset_offsets
from apps.kit.replay import replay

log = logging.getLogger(__name__)


async def rebuild(settings: Settings, database: Database, publisher: Publisher) -> int:
    """Returns how many records it read; raises Unavailable, and then has changed nothing."""
    async with database.transaction() as connection:
        count = await remake_figures(settings, connection, publisher)
    log.info("figures rebuilt", extra={"records": count})
    return count


async def remake_figures(
    settings: Settings,
    connection: Connection,
    publisher: Publisher,
    ends: Mapping[Place, int] | None = None,
) -> int:
    """Deletes the figures and makes them of the records before `ends`, by default of all;
    how many it read.
    """
    sources = settings.consumer.by_topic
    topics = settings.consumer.topics
    positions: dict[Place, int] = {}
    count = 0
    await reset_offsets(connection, topics)
    await delete_figures(connection)
    async with aclosing(replay(settings.broker, topics, ends)) as batches:
        async for records in batches:
            places = {(record.topic, record.partition) for record in records}
            await ensure_offsets(connection, places - positions.keys())
            begins = {place: positions.get(place, 0) for place in places}
            batch = read_batch(sources, begins, records)
            await apply_batch(connection, batch, apply_events, sources=sources, publisher=publisher)
            positions.update(batch.ends)
            count += len(records)
    return count
