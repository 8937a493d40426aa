"""What a relay does with each outcome, and how it ends; its queue is tested with the services."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import pytest

from apps.kit import relay as module
from apps.kit.delivery import Delivery, KafkaDestination, blames_nobody, note_problem
from apps.kit.errors import ContentTooLarge, Problem, Unavailable
from apps.kit.outbox import Entry
from apps.kit.relay import MAX_ATTEMPTS, VACUUM_ROWS, Relay, running

WAIT_SECONDS = 10.0


def entry(id: int, patient_id: str = "p", attempts: int = 0) -> Entry:
    return Entry(id, patient_id, f"event-{id}", b"payload", "request", "", attempts)


class FakeQueue:
    """An outbox of one destination in memory; notes what becomes of its rows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *entries: Entry) -> None:
        self.entries = list(entries)
        self.done: list[tuple[Any, ...]] = []
        self.looks = self.vacuums = self.opened = self.closed = 0
        self.failure: Exception | None = None
        for name in ("try_lead", "select_unsent", "delete_sent", "hold", "park", "vacuum"):
            monkeypatch.setattr(module, name, getattr(self, name))
        monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
        monkeypatch.setattr(module, "GATHER_SECONDS", 0.0)
        monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.01)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        self.opened += 1
        try:
            yield self
        finally:
            self.closed += 1

    async def try_lead(self, connection: Any, destination: str) -> bool:
        return True

    async def select_unsent(self, connection: Any, destination: str, limit: int) -> list[Entry]:
        self.looks += 1
        if self.failure:
            failure, self.failure = self.failure, None
            raise failure
        return self.entries[:limit]

    def _take(self, id: int) -> None:
        self.entries = [each for each in self.entries if each.id != id]

    async def delete_sent(self, connection: Any, ids: Sequence[int]) -> None:
        self.entries = [each for each in self.entries if each.id not in set(ids)]
        self.done.append(("sent", *ids))

    async def hold(self, connection: Any, id: int, reason: str, seconds: float) -> None:
        self._take(id)
        self.done.append(("held", id, reason, seconds))

    async def park(self, connection: Any, id: int, reason: str) -> None:
        self._take(id)
        self.done.append(("parked", id, reason))

    async def vacuum(self, connection: Any) -> None:
        self.vacuums += 1


class FakeDestination:
    name = "kafka"

    def __init__(self, send: Callable[[Sequence[Entry]], Delivery]) -> None:
        self._send = send

    async def send(self, entries: Sequence[Entry]) -> Delivery:
        return self._send(entries)


def all_sent(entries: Sequence[Entry]) -> Delivery:
    return Delivery(sent=[each.id for each in entries])


async def empty(queue: FakeQueue, send: Callable[[Sequence[Entry]], Delivery]) -> Relay:
    """Runs a relay until nothing waits in the queue."""
    relay = Relay(FakeDestination(send), queue.connect)
    async with asyncio.timeout(WAIT_SECONDS), running([relay]):
        while True:
            if not queue.entries:
                return relay
            await asyncio.sleep(0)
    raise AssertionError("not reached")


async def test_row_is_held_longer_each_time_and_parked_at_the_last_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts = (0, 1, 2, 16, MAX_ATTEMPTS - 2, MAX_ATTEMPTS - 1)
    rows = [entry(number, f"p{number}", tried) for number, tried in enumerate(attempts)]
    queue = FakeQueue(monkeypatch, *rows)
    await empty(queue, lambda entries: Delivery(failed={each.id: "500 x" for each in entries}))
    assert queue.done == [
        ("held", 0, "500 x", 0.01),
        ("held", 1, "500 x", 0.02),
        ("held", 2, "500 x", 0.04),
        # Never for longer than a minute.
        ("held", 3, "500 x", 60.0),
        ("held", 4, "500 x", 60.0),
        ("parked", 5, "500 x"),
    ]


async def test_row_that_is_refused_is_parked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = FakeQueue(monkeypatch, entry(1))
    await empty(queue, lambda entries: Delivery(refused={1: "422 no"}))
    assert queue.done == [("parked", 1, "422 no")]


@pytest.mark.parametrize(("rows", "vacuums"), [(VACUUM_ROWS - 1, 0), (VACUUM_ROWS, 1)])
async def test_table_is_cleared_after_so_many_rows(
    monkeypatch: pytest.MonkeyPatch, rows: int, vacuums: int
) -> None:
    queue = FakeQueue(monkeypatch, *(entry(number) for number in range(rows)))
    await empty(queue, all_sent)
    assert queue.vacuums == vacuums


async def test_row_that_makes_the_destination_raise_holds_up_its_own_patient_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [entry(1, "a"), entry(2, "a"), entry(3, "b")]

    def send(entries: Sequence[Entry]) -> Delivery:
        if any(each.id == 1 for each in entries):
            raise ValueError
        return all_sent(entries)

    queue = FakeQueue(monkeypatch, *rows)
    await empty(queue, send)
    assert queue.done[:2] == [("sent", 3), ("held", 1, "500 ValueError", 0.01)]


async def test_rows_wait_while_the_destination_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, answers = FakeQueue(monkeypatch, entry(1)), [Delivery(away="503 away")] * 2
    relay = await empty(queue, lambda entries: answers.pop() if answers else all_sent(entries))
    assert queue.done == [("sent", 1)]
    assert relay.away == ""


@pytest.mark.parametrize("failure", [OSError(), asyncpg.PostgresError(), ValueError()])
async def test_relay_opens_another_connection_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    queue = FakeQueue(monkeypatch, entry(1))
    queue.failure = failure
    await empty(queue, all_sent)
    assert queue.opened == queue.closed == 2


async def test_batch_under_way_is_finished_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = FakeQueue(monkeypatch, entry(1))
    begun, finish = asyncio.Event(), asyncio.Event()

    class Slow:
        name = "kafka"

        async def send(self, entries: Sequence[Entry]) -> Delivery:
            begun.set()
            await finish.wait()
            return all_sent(entries)

    async with asyncio.timeout(WAIT_SECONDS):
        async with running([Relay(Slow(), queue.connect)]):
            await begun.wait()
            asyncio.get_running_loop().call_later(0.05, finish.set)
    assert queue.done == [("sent", 1)]


async def test_batch_that_hangs_is_given_up_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.05)
    queue, begun = FakeQueue(monkeypatch, entry(1)), asyncio.Event()

    class Hanging:
        name = "kafka"

        async def send(self, entries: Sequence[Entry]) -> Delivery:
            begun.set()
            await asyncio.Event().wait()
            return Delivery()

    async with asyncio.timeout(WAIT_SECONDS):
        async with running([Relay(Hanging(), queue.connect)]):
            await begun.wait()
    assert queue.done == [] and queue.closed == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, "refused") for status in (400, 404, 409, 410, 412, 413, 422)),
        (500, "failed"),
        *((status, "away") for status in (401, 403, 429, 502, 503, 504)),
    ],
)
def test_status_says_whose_fault_it_is(status: int, outcome: str) -> None:
    problem = Problem("code")
    problem.status = status
    delivery = Delivery()
    note_problem(delivery, entry(1), problem)
    assert (delivery.refused, delivery.failed, delivery.away) == (
        {1: f"{status} code"} if outcome == "refused" else {},
        {1: f"{status} code"} if outcome == "failed" else {},
        f"{status} code" if outcome == "away" else "",
    )
    assert blames_nobody(problem) is (outcome == "away")


class FakePublisher:
    """Refuses messages of one patient, and is away from the third message on if it is told."""

    def __init__(self, refused: bytes, away_after: int = 100) -> None:
        self.refused, self.away_after = refused, away_after
        self.sent: list[str] = []

    async def publish(self, messages: Any) -> None:
        if len(self.sent) >= self.away_after:
            raise Unavailable("broker_unavailable")
        if any(message.key == self.refused for message in messages):
            raise ContentTooLarge("message_too_large")
        self.sent += [dict(message.headers)["event-id"].decode() for message in messages]


async def test_message_that_is_refused_holds_up_its_own_patient_alone() -> None:
    rows = [entry(1, "a"), entry(2, "b"), entry(3, "b"), entry(4, "c")]
    publisher = FakePublisher(b"b")
    delivery = await KafkaDestination(publisher, "topic").send(rows)
    assert (delivery.sent, delivery.refused) == ([1, 4], {2: "message_too_large"})
    assert publisher.sent == ["event-1", "event-4"]


async def test_broker_that_goes_away_midway_is_asked_no_more() -> None:
    rows = [entry(1, "a"), entry(2, "b"), entry(3, "c"), entry(4, "d")]
    delivery = await KafkaDestination(FakePublisher(b"b", away_after=1), "topic").send(rows)
    assert (delivery.sent, delivery.refused, delivery.away) == ([1], {}, "broker_unavailable")


def test_relay_is_named_after_its_destination() -> None:
    assert Relay(FakeDestination(all_sent), cast(Any, None)).name == "kafka"
