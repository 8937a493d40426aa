"""How a consumer bears a broker and a database that fail; its work is tested with the services."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from apps.kit import event_consumer as module
from apps.kit.broker import BrokerSettings
from apps.kit.errors import Unavailable
from apps.kit.event_batch import Source
from apps.kit.event_consumer import (
    ConsumerSettings,
    EventConsumer,
    clean_forever,
    read_end_offsets,
)
from apps.kit.tasks import running

WAIT_SECONDS = 10.0
PLACE = ("events", 0)


class FakeClient:
    """A consumer of one partition without records. `fails`: what its calls raise, or wait for."""

    def __init__(self, fails: Mapping[str, Any] | None = None, partitions: int = 1) -> None:
        self.fails = dict(fails or {})
        self.partitions = set(range(partitions))
        self.polls = 0
        self.commits: list[dict[TopicPartition, int]] = []
        self.polled = asyncio.Event()

    async def _meet(self, name: str) -> None:
        failure = self.fails.get(name)
        if isinstance(failure, Exception):
            raise failure
        if failure is not None:
            await failure.wait()

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition(PLACE[0], number) for number in self.partitions}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return self.partitions

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if "seek" in self.fails:
            raise self.fails["seek"]

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        self.polls += 1
        self.polled.set()
        await self._meet("getmany")
        await asyncio.sleep(0)
        return {}

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        await self._meet("commit")
        self.commits.append(offsets)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        await self._meet("end_offsets")
        return {partition: 7 + partition.partition for partition in partitions}


class FakeDatabase:
    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        yield


def consumer_of(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> EventConsumer:
    """Returns a consumer that reads `client` from offset 3 on."""

    @asynccontextmanager
    async def open_consumer(*_: Any) -> AsyncIterator[FakeClient]:
        yield client

    async def ensure_offsets(*_: Any) -> None:
        pass

    async def select_offsets(*_: Any) -> dict[tuple[str, int], int]:
        return {PLACE: 3}

    async def apply(*_: Any) -> None:
        pass

    monkeypatch.setattr(module, "open_consumer", open_consumer)
    monkeypatch.setattr(module, "ensure_offsets", ensure_offsets)
    monkeypatch.setattr(module, "select_offsets", select_offsets)
    monkeypatch.setattr(module, "FIRST_RETRY_SECONDS", 0.01)
    settings = ConsumerSettings(
        broker=BrokerSettings("127.0.0.1:1"),
        group="group",
        sources=(Source(topic=PLACE[0], dead_letters="dead", parse=lambda value: None),),
    )
    return EventConsumer(settings, cast(Any, FakeDatabase()), cast(Any, None), apply)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            if condition():
                return
            await asyncio.sleep(0)


async def test_consumer_is_connected_while_it_reads_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer = consumer_of(FakeClient(), monkeypatch)
    assert not consumer.is_connected
    async with running(consumer.run()):
        await until(lambda: bool(consumer.places))
        assert consumer.is_connected
        assert await consumer.end_offsets() == {PLACE: 7}
    assert not consumer.is_connected
    with pytest.raises(Unavailable):
        await consumer.end_offsets()


@pytest.mark.parametrize("error", [Unavailable("broker_unavailable"), ValueError("any other")])
async def test_consumer_starts_again_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    client = FakeClient({"getmany": error})
    consumer = consumer_of(client, monkeypatch)
    async with running(consumer.run()):
        await until(lambda: client.polls > 1)
        client.fails.clear()
        await until(lambda: client.polls > 5)
        assert consumer.places == {PLACE}


async def test_partition_that_is_revoked_before_its_seek_is_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = FakeClient({"seek": KafkaError()})
    consumer = consumer_of(client, monkeypatch)
    async with running(consumer.run()):
        await until(lambda: client.polls > 3)
        assert consumer.places == frozenset()


@pytest.mark.parametrize("failure", [KafkaError(), asyncio.Event()], ids=["refused", "silent"])
async def test_offsets_that_kafka_does_not_take_do_not_stop_the_reading(
    monkeypatch: pytest.MonkeyPatch, failure: Any
) -> None:
    monkeypatch.setattr(module, "COMMIT_PERIOD_SECONDS", 0.0)
    monkeypatch.setattr(module, "COMMIT_TIMEOUT_SECONDS", 0.01)
    client = FakeClient({"commit": failure})
    consumer = consumer_of(client, monkeypatch)
    async with running(consumer.run()):
        await until(lambda: client.polls > 3)
        assert not client.commits
        client.fails.clear()
        await until(lambda: bool(client.commits))
    assert client.commits[0] == {TopicPartition(*PLACE): 3}


async def test_ends_are_those_of_every_partition() -> None:
    client = cast(Any, FakeClient(partitions=2))
    assert await read_end_offsets(client, ["events"]) == {("events", 0): 7, ("events", 1): 8}


@pytest.mark.parametrize(
    ("client", "code"),
    [
        (lambda: FakeClient(partitions=0), "topic_unavailable"),
        (lambda: FakeClient({"end_offsets": KafkaError()}), "broker_unavailable"),
        (lambda: FakeClient({"end_offsets": OSError()}), "broker_unavailable"),
        (lambda: FakeClient({"end_offsets": asyncio.Event()}), "broker_unavailable"),
    ],
    ids=["no partition", "refused", "cut off", "silent"],
)
async def test_ends_that_nobody_tells_are_unavailable(
    monkeypatch: pytest.MonkeyPatch, client: Callable[[], Any], code: str
) -> None:
    monkeypatch.setattr(module, "END_OFFSETS_TIMEOUT_SECONDS", 0.01)
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(Unavailable) as raised:
            await read_end_offsets(client(), ["events"])
    assert raised.value.code == code


async def test_cleaning_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[Exception | int] = [Unavailable("database_unavailable"), ValueError(), 4]
    cleaned = asyncio.Event()

    async def forget_old_events(database: object) -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        cleaned.set()
        return outcome

    monkeypatch.setattr(module, "forget_old_events", forget_old_events)
    monkeypatch.setattr(module, "CLEAN_PERIOD_SECONDS", 0.01)
    async with running(clean_forever(cast(Any, None))), asyncio.timeout(WAIT_SECONDS):
        await cleaned.wait()
