"""Delivers an outbox's entries to a destination; a Kafka topic is one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from apps.kit.broker import Message
from apps.kit.errors import ContentTooLarge, Problem, Unavailable
from apps.kit.outbox import Entry

# The row's own fault: sent again it would be refused again.
_REFUSALS = (400, 404, 409, 410, 412, 413, 422)


@dataclass(slots=True)
class Delivery:
    """What became of each entry, by its id; `away`: why the destination takes nothing now."""

    sent: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    away: str = ""


class Destination(Protocol):
    name: str

    async def send(self, entries: Sequence[Entry]) -> Delivery: ...


class Publisher(Protocol):
    async def publish(self, messages: Sequence[Message]) -> None:
        """Publishes as kit.broker.Producer does: all of them, in order; raises Unavailable and
        ContentTooLarge.
        """
        ...


class KafkaDestination:
    """A topic, keyed by patient so that one patient's events stay in order."""

    name = "kafka"

    def __init__(self, publisher: Publisher, topic: str) -> None:
        self._publisher = publisher
        self._topic = topic

    async def send(self, entries: Sequence[Entry]) -> Delivery:
        try:
            await self._publisher.publish([self._message(entry) for entry in entries])
        except Unavailable as problem:
            return Delivery(away=problem.detail or problem.code)
        except ContentTooLarge as problem:
            if len(entries) == 1:
                return Delivery(refused={entries[0].id: problem.code})
            # One of them is refused: which, shows when they go one by one.
            return await self._send_each(entries)
        return Delivery(sent=[entry.id for entry in entries])

    async def _send_each(self, entries: Sequence[Entry]) -> Delivery:
        whole = Delivery()
        held: set[str] = set()
        for entry in entries:
            if entry.patient_id in held or whole.away:
                continue
            one = await self.send([entry])
            whole.sent += one.sent
            whole.refused |= one.refused
            whole.away = one.away
            if not one.sent:
                held.add(entry.patient_id)
        return whole

    def _message(self, entry: Entry) -> Message:
        headers = (
            ("event-id", entry.event_id.encode()),
            ("traceparent", entry.traceparent.encode()),
            ("x-request-id", entry.request_id.encode()),
        )
        return Message(self._topic, entry.patient_id.encode(), entry.payload, headers)


def note_problem(delivery: Delivery, entry: Entry, problem: Problem) -> None:
    """Notes whose fault it is: the entry's for good, the entry's perhaps, or the destination's."""
    reason = f"{problem.status} {problem.code}"
    if blames_nobody(problem):
        delivery.away = reason
    elif problem.status in _REFUSALS:
        delivery.refused[entry.id] = reason
    else:
        delivery.failed[entry.id] = reason


def blames_nobody(problem: Problem) -> bool:
    """Tells whether the destination is away: no entry is at fault."""
    return problem.status not in (*_REFUSALS, 500)
