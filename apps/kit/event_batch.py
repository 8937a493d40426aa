"""One batch of records: its effects, its event ids and the partitions' next offsets are
one transaction.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from apps.kit.broker import Message
from apps.kit.database import Connection
from apps.kit.event_storage import (
    DeadLetter,
    Place,
    insert_dead_letters,
    insert_events,
    select_known_dead_letters,
    update_offsets,
)

log = logging.getLogger(__name__)


class Record(Protocol):
    """What is needed of a consumer's record."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Publisher(Protocol):
    async def publish(self, messages: Sequence[Message]) -> None: ...


class Event(Protocol):
    @property
    def event_id(self) -> UUID: ...


class UnreadableError(Exception):
    """The event cannot be read; `reason` is short, stable and free of its content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OvertakenError(Exception):
    """Another consumer read on from where the batch began: nothing of the batch is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A topic. `parse` reads a record's value: the event, or None where this service
    need do nothing.

    Records that it refuses go to `dead_letters`.
    """

    topic: str
    dead_letters: str
    parse: Callable[[bytes | None], Event | None]


# Applies events, each given once, inside the batch's transaction.
Apply = Callable[[Connection, Sequence[Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """`begins`: where each partition of the batch must be; `ends`: where it is afterwards."""

    begins: Mapping[Place, int]
    ends: Mapping[Place, int]
    events: Sequence[Event]
    unreadable: Sequence[tuple[Record, DeadLetter]]

    @property
    def has_effects(self) -> bool:
        """Tells whether more than the offsets has to be written."""
        return bool(self.events or self.unreadable)


def read_batch(
    sources: Mapping[str, Source],
    begins: Mapping[Place, int],
    records: Sequence[Record],
    refused: str = "",
) -> Batch:
    """Parses records, those of one partition in their order. With `refused`, a
    reason, none is read.
    """
    ends = dict(begins)
    events: dict[UUID, Event] = {}
    unreadable: list[tuple[Record, DeadLetter]] = []

    for record in records:
        ends[record.topic, record.partition] = record.offset + 1
        try:
            if refused:
                raise UnreadableError(refused)
            event = sources[record.topic].parse(record.value)
            if event is not None:
                events.setdefault(event.event_id, event)
        except UnreadableError as error:
            letter = DeadLetter(
                topic=record.topic,
                partition=record.partition,
                record_offset=record.offset,
                reason=error.reason,
            )
            unreadable.append((record, letter))

    return Batch(begins=begins, ends=ends, events=list(events.values()), unreadable=unreadable)


async def apply_batch(
    connection: Connection,
    batch: Batch,
    apply: Apply,
    *,
    sources: Mapping[str, Source],
    publisher: Publisher,
) -> None:
    """Applies a batch inside one transaction.

    Raises OvertakenError, and Unavailable if a dead letter cannot be sent.
    """
    # First, so that of two consumers with one partition the second waits here, and then
    # changes nothing.
    if not await update_offsets(connection, batch.begins, batch.ends):
        raise OvertakenError

    if batch.events:
        fresh = await insert_events(connection, [event.event_id for event in batch.events])
        new = [event for event in batch.events if event.event_id in fresh]
        if new:
            await apply(connection, new)

    if batch.unreadable:
        await _send_dead_letters(connection, batch.unreadable, sources, publisher)


async def _send_dead_letters(
    connection: Connection,
    unreadable: Sequence[tuple[Record, DeadLetter]],
    sources: Mapping[str, Source],
    publisher: Publisher,
) -> None:
    # Those of an earlier reading, before a rebuild, were sent already.
    known = await select_known_dead_letters(connection, [letter for _, letter in unreadable])
    new = [
        (record, letter)
        for record, letter in unreadable
        if (letter.topic, letter.partition, letter.record_offset) not in known
    ]
    if not new:
        return

    await publisher.publish(
        [
            dead_letter_message(record, letter, sources[letter.topic].dead_letters)
            for record, letter in new
        ]
    )
    await insert_dead_letters(connection, [letter for _, letter in new])

    for _, letter in new:
        log.warning(
            "event sent to the dead letters",
            extra={
                "topic": letter.topic,
                "partition": letter.partition,
                "offset": letter.record_offset,
                "reason": letter.reason,
            },
        )


def dead_letter_message(record: Record, letter: DeadLetter, topic: str) -> Message:
    """Returns the record unchanged, with the reason and its original place in headers."""
    headers = (
        *record.headers,
        ("reason", letter.reason.encode()),
        ("topic", letter.topic.encode()),
        ("partition", str(letter.partition).encode()),
        ("offset", str(letter.record_offset).encode()),
    )
    return Message(topic, record.key, record.value, headers)
