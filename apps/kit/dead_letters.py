"""Lets an operator read, redrive and discard the events that could not be read."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from apps.kit.broker import BrokerSettings, Message, open_consumer
from apps.kit.database import Connection, Database
from apps.kit.errors import BadRequest, Conflict, NotFound, Unavailable
from apps.kit.event_batch import Publisher
from apps.kit.event_storage import (
    DeadLetter,
    StoredDeadLetter,
    resolve_dead_letters,
    select_dead_letter,
    select_dead_letters,
)

READ_TIMEOUT_SECONDS = 5.0
MAX_NOTE_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The record as it lies in its topic."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


async def list_letters(database: Database, *, unresolved: bool = True) -> list[StoredDeadLetter]:
    async with database.connection() as connection:
        return await select_dead_letters(connection, unresolved=unresolved)


async def find_letter(database: Database, letter_id: str) -> StoredDeadLetter:
    """Returns the letter with the id `topic:partition:offset`; raises BadRequest or NotFound."""
    async with database.connection() as connection:
        return await select_letter(connection, letter_id)


async def select_unsettled_letter(connection: Connection, letter_id: str) -> DeadLetter:
    """Returns the letter; raises Conflict too, where somebody has settled it."""
    stored = await select_letter(connection, letter_id)
    if stored.resolution:
        raise Conflict("dead_letter_settled", f"it was {stored.resolution} before")
    return stored.letter


async def select_letter(connection: Connection, letter_id: str) -> StoredDeadLetter:
    """Does what `find_letter` does, on a connection of the caller's."""
    topic, _, rest = letter_id.partition(":")
    partition, _, offset = rest.partition(":")
    if not (topic and _is_number(partition) and _is_number(offset) and int(partition) < 2**31):
        raise BadRequest("invalid_dead_letter_id", "an id is topic:partition:offset")
    found = await select_dead_letter(connection, topic, int(partition), int(offset))
    if found is None:
        raise NotFound("unknown_dead_letter")
    return found


async def read_content(broker: BrokerSettings, letter: DeadLetter) -> Content:
    """Reads the original record; raises NotFound if the topic keeps it no longer,
    and Unavailable.
    """
    at = TopicPartition(letter.topic, letter.partition)
    async with open_consumer(broker, [letter.topic]) as client:
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                client.seek(at, letter.record_offset)
                while True:
                    found = await client.getmany(at, timeout_ms=500, max_records=1)
                    for record in found.get(at, ()):
                        if record.offset != letter.record_offset:
                            raise NotFound("record_expired", "the topic keeps it no longer")
                        return Content(
                            key=record.key, value=record.value, headers=tuple(record.headers)
                        )
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable("broker_unavailable", type(error).__name__) from error


async def redrive(
    database: Database,
    broker: BrokerSettings,
    publisher: Publisher,
    letters: Sequence[DeadLetter],
) -> int:
    """Sends the original records to their topics again; returns how many letters that settled.

    An event that was counted counts once. One that still cannot be read becomes a new dead letter.
    """
    count = 0
    for letter in letters:
        await send_again(broker, publisher, letter)
        async with database.connection() as connection:
            count += await resolve_dead_letters(connection, [letter], "redriven", "")
    return count


async def send_again(broker: BrokerSettings, publisher: Publisher, letter: DeadLetter) -> None:
    """Sends the original record to its topic once more; raises as `read_content` does."""
    content = await read_content(broker, letter)
    await publisher.publish([Message(letter.topic, content.key, content.value, content.headers)])


async def discard(database: Database, letters: Sequence[DeadLetter], reason: str) -> int:
    """Settles letters without reading them, for a reason that is kept; returns how many."""
    check_reason(reason)
    async with database.connection() as connection:
        return await resolve_dead_letters(connection, letters, "discarded", reason)


def check_reason(reason: str) -> None:
    """Raises BadRequest for a reason that is not kept."""
    if len(reason) > MAX_NOTE_CHARACTERS or "\0" in reason:
        raise BadRequest("invalid_reason", f"at most {MAX_NOTE_CHARACTERS} characters")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
