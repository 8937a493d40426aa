"""Reading what could not be read: ids, reasons, and topics that keep it no longer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from apps.kit import dead_letters as module
from apps.kit.broker import BrokerSettings
from apps.kit.dead_letters import (
    MAX_NOTE_CHARACTERS,
    check_reason,
    read_content,
    select_letter,
    select_unsettled_letter,
)
from apps.kit.errors import BadRequest, Conflict, NotFound, Unavailable
from apps.kit.event_storage import DeadLetter

LETTER = DeadLetter(topic="patient", partition=1, record_offset=7, reason="empty")
BROKER = BrokerSettings("127.0.0.1:1")


class NoRows:
    async def fetchrow(self, *_: object) -> None:
        return None


@pytest.mark.parametrize("id", [f"t:{2**31 - 1}:1", f"t:0:{'9' * 18}"])
async def test_id_of_a_letter_that_nobody_has_is_not_found(id: str) -> None:
    with pytest.raises(NotFound):
        await select_letter(cast(Any, NoRows()), id)


@pytest.mark.parametrize(
    "id",
    ["", "t", "t:1", ":0:1", "t::1", "t:0:", f"t:{2**31}:1", f"t:0:{'9' * 19}", "t:-1:1", "t:²:1"],
)
async def test_id_that_no_letter_can_have_is_refused(id: str) -> None:
    with pytest.raises(BadRequest):
        await select_letter(cast(Any, NoRows()), id)


@pytest.mark.parametrize("resolution", ["", "discarded"])
async def test_letter_that_is_settled_is_not_settled_again(
    monkeypatch: pytest.MonkeyPatch, resolution: str
) -> None:
    async def found(*_: object) -> Any:
        return SimpleNamespace(letter=LETTER, resolution=resolution)

    monkeypatch.setattr(module, "select_dead_letter", found)
    if not resolution:
        assert await select_unsettled_letter(cast(Any, None), "t:0:1") == LETTER
        return
    with pytest.raises(Conflict):
        await select_unsettled_letter(cast(Any, None), "t:0:1")


def test_reason_is_bounded() -> None:
    check_reason("x" * MAX_NOTE_CHARACTERS)
    for reason in ("x" * (MAX_NOTE_CHARACTERS + 1), "a\0"):
        with pytest.raises(BadRequest):
            check_reason(reason)


class FakeReader:
    """A reader of one partition, whose first record from the letter's offset on is at `offset`."""

    def __init__(self, offset: int | None, failure: Exception | None = None) -> None:
        self.offset, self.failure = offset, failure
        self.sought: tuple[TopicPartition, int] | None = None

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought = (partition, offset)

    async def getmany(self, *_: Any, **__: Any) -> dict[TopicPartition, list[Any]]:
        if self.failure:
            raise self.failure
        await asyncio.sleep(0)
        if self.offset is None:
            return {}
        record = SimpleNamespace(
            offset=self.offset, key=b"k", value=b"v", headers=[("reason", b"r")]
        )
        return {TopicPartition("patient", 1): [record]}


def reading(monkeypatch: pytest.MonkeyPatch, reader: FakeReader) -> None:
    @asynccontextmanager
    async def open_consumer(*_: Any) -> AsyncIterator[FakeReader]:
        yield reader

    monkeypatch.setattr(module, "open_consumer", open_consumer)
    monkeypatch.setattr(module, "READ_TIMEOUT_SECONDS", 0.05)


async def test_record_is_read_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = FakeReader(7)
    reading(monkeypatch, reader)
    content = await read_content(BROKER, LETTER)
    assert (content.key, content.value, content.headers) == (b"k", b"v", (("reason", b"r"),))
    assert reader.sought == (TopicPartition("patient", 1), 7)


async def test_record_that_the_topic_keeps_no_longer_is_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading(monkeypatch, FakeReader(8))
    with pytest.raises(NotFound):
        await read_content(BROKER, LETTER)


@pytest.mark.parametrize("failure", [KafkaError(), OSError(), None])
async def test_record_that_no_broker_gives_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    reading(monkeypatch, FakeReader(None, failure))
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable):
            await read_content(BROKER, LETTER)
