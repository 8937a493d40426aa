"""A producer whose broker fails: what is tried again, and what a new client is made for."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, ProducerFenced

from apps.kit import broker as module
from apps.kit.broker import BrokerSettings, Message, MskToken, Producer, open_consumer
from apps.kit.errors import Unavailable

SETTINGS = BrokerSettings("127.0.0.1:1")
MESSAGE = Message("topic", None, b"x")
WAIT_SECONDS = 10.0


class FakeClient:
    """Stands for aiokafka's; `fails`: what its calls raise, or wait for without end."""

    def __init__(self, **fails: Any) -> None:
        self.fails = fails
        self.starts = self.stops = 0
        self.sent: list[bytes] = []

    async def _meet(self, name: str) -> None:
        failure = self.fails.get(name)
        if isinstance(failure, BaseException):
            raise failure
        if failure is not None:
            await failure.wait()

    async def start(self) -> None:
        self.starts += 1
        await self._meet("start")

    async def stop(self) -> None:
        self.stops += 1
        await self._meet("stop")

    def subscribe(self, topics: list[str], listener: Any = None) -> None:
        pass

    async def send(self, topic: str, value: bytes, *_: Any, **__: Any) -> Any:
        await self._meet("send")
        self.sent.append(value)
        return asyncio.sleep(0)


def given(monkeypatch: pytest.MonkeyPatch, *clients: FakeClient) -> None:
    """Lets producers and consumers make these clients, one after the other."""
    made = iter(clients)
    for name in ("AIOKafkaProducer", "AIOKafkaConsumer"):
        monkeypatch.setattr(module, name, lambda **_: next(made))
    for name in ("START_TIMEOUT_SECONDS", "STOP_TIMEOUT_SECONDS"):
        monkeypatch.setattr(module, name, 0.05)


@pytest.mark.parametrize(
    ("error", "is_kept"), [(KafkaConnectionError(), True), (ProducerFenced(), False)]
)
async def test_client_is_made_anew_after_an_error_that_stays(
    monkeypatch: pytest.MonkeyPatch, error: KafkaError, is_kept: bool
) -> None:
    first, second = FakeClient(send=error), FakeClient()
    given(monkeypatch, first, second)
    producer = Producer(SETTINGS)
    with pytest.raises(Unavailable):
        await producer.publish([MESSAGE])
    first.fails.clear()
    await producer.publish([MESSAGE])
    assert (len(first.sent), len(second.sent)) == ((1, 0) if is_kept else (0, 1))
    assert first.stops == (0 if is_kept else 1)
    await producer.close()
    assert (first.stops, second.stops) == ((1, 0) if is_kept else (1, 1))
    await producer.close()
    assert first.stops == 1


@pytest.mark.parametrize("failure", [KafkaError(), OSError(), asyncio.Event()], ids=type)
async def test_client_that_does_not_start_is_stopped_and_another_is_tried(
    monkeypatch: pytest.MonkeyPatch, failure: Any
) -> None:
    first, second = FakeClient(start=failure), FakeClient()
    given(monkeypatch, first, second)
    producer = Producer(SETTINGS)
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(Unavailable):
            await producer.publish([MESSAGE])
        assert first.stops == 1
        await producer.publish([MESSAGE])
    assert (first.sent, second.sent) == ([], [b"x"])


@pytest.mark.parametrize("failure", [KafkaError(), OSError(), asyncio.Event()], ids=type)
async def test_client_that_does_not_stop_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, failure: Any
) -> None:
    given(monkeypatch, FakeClient(stop=failure))
    producer = Producer(SETTINGS)
    async with asyncio.timeout(WAIT_SECONDS):
        await producer.publish([MESSAGE])
        await producer.close()


async def test_broker_that_takes_too_long_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PUBLISH_TIMEOUT_SECONDS", 0.05)
    given(monkeypatch, FakeClient(send=asyncio.Event()))
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(Unavailable):
            await Producer(SETTINGS).publish([MESSAGE])


@pytest.mark.parametrize("failure", [KafkaError(), OSError(), asyncio.Event()], ids=type)
async def test_reader_that_does_not_start_is_stopped(
    monkeypatch: pytest.MonkeyPatch, failure: Any
) -> None:
    client = FakeClient(start=failure)
    given(monkeypatch, client)
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(Unavailable):
            async with open_consumer(SETTINGS, ["topic"]):
                pass
    assert client.stops == 1


async def test_reader_is_stopped_at_the_end_of_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeClient()
    given(monkeypatch, client)
    with pytest.raises(ValueError, match="of the block"):
        async with open_consumer(SETTINGS, ["topic"]):
            raise ValueError("of the block")
    assert (client.starts, client.stops) == (1, 1)


async def test_msk_token_serves_until_a_minute_before_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider, now, signed = MskToken(), 1_000.0, 0

    def sign() -> tuple[str, float]:
        nonlocal signed
        signed += 1
        return f"token-{signed}", now + 900.0

    monkeypatch.setattr(provider, "_sign", sign)
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now))
    assert await provider.token() == "token-1"
    now += 900.0 - module.TOKEN_SPARE_SECONDS
    assert await provider.token() == "token-1"
    now += 1.0
    assert await provider.token() == "token-2"
