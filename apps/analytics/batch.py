"""One batch of records: its event ids, its figures and the partitions' next offsets are one transaction."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from apps.analytics.events import Event, Unreadable, parse_event
from apps.analytics.figures import changes_of
from apps.analytics.storage import (
    DeadLetter,
    apply_changes,
    insert_dead_letters,
    insert_events,
    select_known_dead_letters,
    update_offset,
)
from apps.kit.broker import Message
from apps.kit.database import Connection

log = logging.getLogger(__name__)


class Record(Protocol):
    """What is needed of a consumer's record."""

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


class Overtaken(Exception):
    """Somebody else read on from where the batch began: nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`begins`: where each partition of the batch must be, `ends`: where it is afterwards."""

    topic: str
    begins: Mapping[int, int]
    ends: Mapping[int, int]
    events: Sequence[Event]
    unreadable: Sequence[tuple[Record, DeadLetter]]


def read_batch(
    topic: str, begins: Mapping[int, int], records: Sequence[Record], refused: str = ""
) -> Batch:
    """`records`: of one partition in their order. With `refused`, a reason, none of them is read."""
    ends = dict(begins)
    events: list[Event] = []
    unreadable: list[tuple[Record, DeadLetter]] = []
    for record in records:
        ends[record.partition] = record.offset + 1
        try:
            if refused:
                raise Unreadable(refused)
            events.append(parse_event(record.value))
        except Unreadable as error:
            unreadable.append(
                (record, DeadLetter(topic, record.partition, record.offset, error.reason))
            )
    return Batch(topic, begins, ends, events, unreadable)


async def apply_batch(
    connection: Connection, batch: Batch, publisher: Publisher, dead_letter_topic: str
) -> None:
    """Inside one transaction; raises Overtaken, and Unavailable where a dead letter cannot be sent."""
    # First, so that of two with the same partition the second waits here, and then goes without effect.
    for partition in sorted(batch.ends):
        begin, end = batch.begins[partition], batch.ends[partition]
        if not await update_offset(connection, batch.topic, partition, begin, end):
            raise Overtaken
    events: dict[UUID, Event] = {}
    for event in batch.events:
        events.setdefault(event.event_id, event)
    if events:
        fresh = await insert_events(connection, list(events))
        await apply_changes(
            connection, changes_of(event for event in events.values() if event.event_id in fresh)
        )
    if batch.unreadable:
        await _bury(connection, batch, publisher, dead_letter_topic)


async def _bury(
    connection: Connection, batch: Batch, publisher: Publisher, dead_letter_topic: str
) -> None:
    letters = [letter for _, letter in batch.unreadable]
    # Those of an earlier reading, before a rebuild, lie there already.
    known = await select_known_dead_letters(connection, letters)
    new = [
        (record, letter)
        for record, letter in batch.unreadable
        if (letter.partition, letter.record_offset) not in known
    ]
    if not new:
        return
    await publisher.publish(
        [dead_letter_message(record, letter, dead_letter_topic) for record, letter in new]
    )
    await insert_dead_letters(connection, [letter for _, letter in new])
    for _, letter in new:
        log.warning(
            "event sent to the dead letters",
            extra={
                "partition": letter.partition,
                "offset": letter.record_offset,
                "reason": letter.reason,
            },
        )


def dead_letter_message(record: Record, letter: DeadLetter, dead_letter_topic: str) -> Message:
    """The record as it came, with what is wrong with it and where it lies in headers."""
    headers = (
        *record.headers,
        ("reason", letter.reason.encode()),
        ("topic", letter.topic.encode()),
        ("partition", str(letter.partition).encode()),
        ("offset", str(letter.record_offset).encode()),
    )
    return Message(dead_letter_topic, record.key, record.value, headers)
