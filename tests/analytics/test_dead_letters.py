"""Dead letters are read, sent again and discarded; live updates tell of changes."""

import asyncio
import base64
from typing import Any

import httpx
import pytest

from apps.analytics.routes import live
from apps.analytics.routes.live import LiveUpdates, stream
from tests.analytics.conftest import Bench, patient_event, until
from tests.analytics.serving import get

pytestmark = pytest.mark.integration
ADMIN = {"Authorization": "Bearer admin"}
ROOT = "/analytics/v1/dead-letters"


async def letters(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer = await client.get(ROOT, headers=ADMIN)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["deadLetters"]
    return found


async def test_dead_letter_shows_its_place_reason_and_record(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    await bench.publish(b"\xff poison")
    await bench.wait_for_reading(1)

    (letter,) = await letters(client)
    assert (letter["topic"], letter["reason"]) == (bench.settings.topic, "not_protobuf")
    shown = (await client.get(f"{ROOT}/{letter['id']}", headers=ADMIN)).json()
    assert (shown["key"], base64.b64decode(shown["value"])) == ("key", b"\xff poison")


async def test_list_has_the_thousand_newest(bench: Bench, client: httpx.AsyncClient) -> None:
    async with bench.database.connection() as connection:
        await connection.execute(
            "INSERT INTO dead_letter (topic, partition, record_offset, reason, recorded_at) "
            "SELECT 'patient', 0, number, 'not_protobuf', now() + number * interval '1 second' "
            "FROM generate_series(1, 1001) AS number"
        )
    offsets = [int(letter["id"].rpartition(":")[2]) for letter in await letters(client)]
    assert offsets == list(range(1001, 1, -1))


async def test_redriven_letter_is_read_again_and_counted_once(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    """The event is readable: an earlier release, which did not know its type, refused it."""
    event = patient_event()
    await bench.publish(event)
    await bench.wait_for_reading(1)
    async with bench.database.connection() as connection:
        await connection.execute("DELETE FROM seen_event")
        await connection.execute("DELETE FROM registration")
        await connection.execute(
            "INSERT INTO dead_letter (topic, partition, record_offset, reason)"
            " SELECT topic, partition, 0, 'unknown_event_type' FROM consumed WHERE next_offset = 1"
        )
    (letter,) = await letters(client)

    answer = await client.post(f"{ROOT}/{letter['id']}/redrive", headers=ADMIN)

    assert answer.json() == {"redriven": 1}
    await bench.wait_for_reading(2)
    assert await bench.registrations() == 1
    assert await letters(client) == []
    again = await client.post(f"{ROOT}/{letter['id']}/redrive", headers=ADMIN)
    assert again.status_code == 409


async def test_discarded_letter_needs_a_reason_and_leaves_the_list(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    await bench.publish(b"poison")
    await bench.wait_for_reading(1)
    (letter,) = await letters(client)
    path = f"{ROOT}/{letter['id']}/discard"

    assert (await client.post(path, headers=ADMIN, json={})).status_code == 400
    answer = await client.post(path, headers=ADMIN, json={"reason": "sent by a test"})

    assert answer.json() == {"discarded": 1}
    assert await letters(client) == []
    assert await bench.value("SELECT note FROM dead_letter") == "sent by a test"
    assert (await get(client, "lag"))["deadLetters"] == 0


@pytest.mark.parametrize(
    ("letter", "status"),
    [("banana", 400), ("patient:0:99", 404), ("patient:x:1", 400), (f"patient:{'9' * 30}:1", 400)],
)
async def test_unknown_letter_is_refused(
    client: httpx.AsyncClient, letter: str, status: int
) -> None:
    assert (await client.get(f"{ROOT}/{letter}", headers=ADMIN)).status_code == status


async def test_dead_letters_need_an_administrator(client: httpx.AsyncClient) -> None:
    headers = {"Authorization": "Bearer analyst"}
    assert (await client.get(ROOT, headers=headers)).status_code == 403
    assert (await client.post(f"{ROOT}/a:0:1/redrive", headers=headers)).status_code == 403


async def test_listener_is_told_of_a_change_and_let_go(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STREAM_SECONDS", 3.0)
    monkeypatch.setattr(live, "POLL_SECONDS", 0.05)
    updates = LiveUpdates(bench.database)
    watching = asyncio.create_task(updates.run())
    heard: list[bytes] = []

    async def listen() -> None:
        async for event in stream(updates):
            heard.append(event)

    listening = asyncio.create_task(listen())
    try:
        await until(lambda: says(heard, b'"read": 0'))
        await bench.publish(patient_event())
        await bench.consume(1)
        await until(lambda: says(heard, b'"read": 1'))
        assert updates.listeners == 1
        await asyncio.wait_for(listening, 10)
        assert updates.listeners == 0
    finally:
        watching.cancel()
        listening.cancel()


async def says(heard: list[bytes], text: bytes) -> bool:
    return any(text in each for each in heard)


async def test_listeners_are_bounded(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_LISTENERS", 0)
    problem = await get(client, "events", 503)
    assert problem["status"] == 503
