"""What operators do with dead letters: look at them, read them again, take them off the list."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from apps.analytics.events import Unreadable, parse_event
from apps.analytics.figures import changes_of
from apps.analytics.storage import apply_changes, insert_events
from apps.kit.database import Connection, Database

READ_SECONDS = 10.0
MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Letter:
    """An event that could not be read: where it lies on its topic, and why."""

    topic: str
    partition: int
    record_offset: int
    reason: str
    recorded_at: datetime

    @property
    def id(self) -> str:
        return f"{self.topic}:{self.partition}:{self.record_offset}"


def parse_id(id: str) -> tuple[str, int, int] | None:
    """Returns topic, partition and offset of `topic:partition:offset`, or None."""
    topic, _, rest = id.partition(":")
    partition, _, offset = rest.partition(":")
    if not (partition.isdecimal() and offset.isdecimal() and len(partition + offset) < 19):
        return None
    return topic, int(partition), int(offset)


async def select_letters(connection: Connection, ids: Sequence[str] | None) -> list[Letter]:
    """Returns letters that nobody has handled yet: these, or the oldest of all."""
    places = None if ids is None else [place for id in ids if (place := parse_id(id))]
    rows = await connection.fetch(
        """
        SELECT topic, partition, record_offset, reason, recorded_at FROM dead_letter
        WHERE handled IS NULL AND ($1::text[] IS NULL OR (topic, partition, record_offset) IN (
            SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[])))
        ORDER BY recorded_at, topic, partition, record_offset LIMIT $4
        """,
        None if places is None else [place[0] for place in places],
        None if places is None else [place[1] for place in places],
        None if places is None else [place[2] for place in places],
        MAX_LISTED,
    )
    return [Letter(*row) for row in rows]


async def mark_letter(connection: Connection, letter: Letter, handled: str) -> bool:
    """Notes what was done with the letter; False if somebody else was faster."""
    marked = await connection.fetchval(
        """
        UPDATE dead_letter SET handled = $4, handled_at = now()
        WHERE topic = $1 AND partition = $2 AND record_offset = $3 AND handled IS NULL RETURNING true
        """,
        letter.topic,
        letter.partition,
        letter.record_offset,
        handled,
    )
    return bool(marked)


async def read_record(client: AIOKafkaConsumer, letter: Letter) -> Any | None:
    """Returns the record where the letter says that it lies; None if the topic no longer holds it."""
    place = TopicPartition(letter.topic, letter.partition)
    if place not in client.assignment():
        return None
    beginning = (await client.beginning_offsets([place]))[place]
    end = (await client.end_offsets([place]))[place]
    if not beginning <= letter.record_offset < end:
        return None
    client.seek(place, letter.record_offset)
    try:
        async with asyncio.timeout(READ_SECONDS):
            record = await client.getone(place)
    except TimeoutError:
        return None
    return record if record.offset == letter.record_offset else None


async def redrive_letter(database: Database, client: AIOKafkaConsumer, letter: Letter) -> str:
    """Counts the letter's event if it can be read now. Returns `redriven`, or why it stays on the list."""
    record = await read_record(client, letter)
    if record is None:
        return "gone from its topic"
    try:
        event = parse_event(record.value)
    except Unreadable as error:
        return error.reason
    try:
        async with database.transaction() as connection:
            if not await mark_letter(connection, letter, "redriven"):
                return "handled by somebody else"
            # One that was sent again meanwhile has been counted.
            if await insert_events(connection, [event.event_id]):
                await apply_changes(connection, changes_of([event]))
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
        return "refused_by_database"
    return "redriven"
