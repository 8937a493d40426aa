"""Offsets, event ids and dead letters as the database keeps them."""

import secrets
from collections.abc import AsyncIterator, Awaitable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from apps.kit import event_storage
from apps.kit.event_storage import (
    EVENT_IDS_KEPT_DAYS,
    DeadLetter,
    count_dead_letters,
    delete_old_events,
    ensure_offsets,
    insert_dead_letters,
    insert_events,
    lock_offsets,
    reset_offsets,
    resolve_dead_letters,
    select_dead_letter,
    select_dead_letters,
    select_known_dead_letters,
    select_offsets,
    update_offsets,
)
from tests.undone import undone

pytestmark = pytest.mark.integration


@pytest.fixture
async def connection(analytics_database: str) -> AsyncIterator[Any]:
    """A connection whose changes are undone at the end."""
    async with undone(analytics_database) as connection:
        yield connection


@pytest.fixture
def topic() -> str:
    return f"topic-{secrets.token_hex(6)}"


async def test_offset_that_is_known_stays_where_it_is(connection: Any, topic: str) -> None:
    first, second = (topic, 0), (topic, 1)
    await ensure_offsets(connection, [first])
    assert await update_offsets(connection, {first: 0}, {first: 5})
    await ensure_offsets(connection, [second, first])
    assert await select_offsets(connection, [topic]) == {first: 5, second: 0}
    await reset_offsets(connection, [topic])
    assert await select_offsets(connection, [topic]) == {first: 0, second: 0}


async def test_batch_from_another_beginning_is_overtaken(connection: Any, topic: str) -> None:
    first, second = (topic, 0), (topic, 1)
    await ensure_offsets(connection, [first, second])
    assert await update_offsets(connection, {first: 0, second: 0}, {first: 2, second: 3})
    assert not await update_offsets(connection, {first: 2, second: 2}, {first: 4, second: 4})
    assert not await update_offsets(connection, {(topic, 2): 0}, {(topic, 2): 1})


async def test_offsets_that_are_locked_do_not_move(analytics_database: str, topic: str) -> None:
    place = (topic, 0)

    async def waits(connection: Any, change: Awaitable[object]) -> bool:
        await connection.execute("SET LOCAL lock_timeout = '100ms'")
        try:
            await change
        except asyncpg.LockNotAvailableError:
            return True
        return False

    other = await asyncpg.connect(analytics_database)
    try:
        await ensure_offsets(other, [place])
        async with undone(analytics_database) as holding:
            assert await lock_offsets(holding, [topic]) == {place: 0}
            for change in (
                lambda each: lock_offsets(each, [topic]),
                lambda each: update_offsets(each, {place: 0}, {place: 1}),
            ):
                async with undone(analytics_database) as asking:
                    assert await waits(asking, change(asking))
    finally:
        await other.close()


async def test_event_is_seen_for_the_first_time_once(connection: Any) -> None:
    known, new = uuid4(), uuid4()
    assert await insert_events(connection, [known]) == {known}
    assert await insert_events(connection, [new, known]) == {new}
    assert await insert_events(connection, [new, known]) == set()


async def test_event_ids_are_kept_for_their_time_and_deleted_in_batches(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_storage, "CLEAN_BATCH_ROWS", 2)
    while await delete_old_events(connection):
        pass
    kept = uuid4()
    for ids, seconds in (([kept], 0.0), ([uuid4() for _ in range(3)], 1.0)):
        await connection.execute(
            "INSERT INTO seen_event (event_id, seen_at) "
            "SELECT unnest($1::uuid[]), now() - make_interval(days => $2, secs => $3)",
            ids,
            EVENT_IDS_KEPT_DAYS,
            seconds,
        )
    assert [await delete_old_events(connection) for _ in range(3)] == [2, 1, 0]
    assert await insert_events(connection, [kept]) == set()


def letters(topic: str, count: int) -> list[DeadLetter]:
    return [
        DeadLetter(topic=topic, partition=1, record_offset=number, reason="empty")
        for number in range(count)
    ]


async def test_dead_letter_is_kept_once_and_settled_once(connection: Any, topic: str) -> None:
    first, second = letters(topic, 2)
    await insert_dead_letters(connection, [first])
    await insert_dead_letters(connection, [first, second])
    assert await resolve_dead_letters(connection, [first], "discarded", "a note") == 1
    assert await resolve_dead_letters(connection, [first, second], "redriven", "") == 1
    settled = [await select_dead_letter(connection, topic, 1, number) for number in (0, 1)]
    assert [(one.letter, one.resolution, one.note) for one in settled if one] == [
        (first, "discarded", "a note"),
        (second, "redriven", ""),
    ]
    assert await select_dead_letter(connection, topic, 0, 1) is None


async def test_known_dead_letters_are_found_by_their_places(connection: Any, topic: str) -> None:
    first, second = letters(topic, 2)
    await insert_dead_letters(connection, [first])
    elsewhere = DeadLetter(topic=topic, partition=2, record_offset=0, reason="empty")
    found = await select_known_dead_letters(connection, [first, second, elsewhere])
    assert found == {(topic, 1, 0)}


async def test_newest_dead_letters_are_listed_and_counted(
    connection: Any, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.execute("UPDATE dead_letter SET resolution = 'discarded'")
    monkeypatch.setattr(event_storage, "MAX_LISTED_DEAD_LETTERS", 2)
    made = letters(topic, 4)
    await connection.execute(
        "INSERT INTO dead_letter (topic, partition, record_offset, reason, recorded_at) "
        "SELECT $1, 1, age, 'empty', now() - make_interval(secs => age) "
        "FROM generate_series(0, 3) AS age",
        topic,
    )
    await resolve_dead_letters(connection, made[:1], "discarded", "")
    for unresolved, expected in ((True, made[1:3]), (False, made[:2])):
        listed = await select_dead_letters(connection, unresolved=unresolved)
        assert [stored.letter for stored in listed] == expected
    assert [stored.letter for stored in await select_dead_letters(connection)] == made[1:3]
    assert await count_dead_letters(connection, 3.0) == (3, 2)
