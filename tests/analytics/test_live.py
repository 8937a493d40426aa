import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from starlette.requests import Request

from apps.analytics.routes import live
from apps.analytics.routes.live import LiveUpdates, stream
from apps.kit.errors import Unavailable


async def test_updates_go_on_after_the_database_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Database:
        looks = 0

        @asynccontextmanager
        async def connection(self) -> AsyncIterator[Any]:
            self.looks += 1
            if self.looks < 3:
                raise Unavailable("database_unavailable", "away")
            yield self

        async def fetchval(self, query: str) -> int:
            return 7

    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)
    database: Any = Database()
    updates = LiveUpdates(database)
    watching = asyncio.create_task(updates.run())
    try:
        async with asyncio.timeout(5):
            async for event in stream(updates):
                if b'"read": 7' in event:
                    break
    finally:
        watching.cancel()


async def test_listener_who_leaves_is_not_counted_any_more() -> None:
    updates = LiveUpdates(cast(Any, None))
    heard: Any = stream(updates)
    assert await anext(heard) == b"retry: 1000\n\n"
    assert updates.listeners == 1
    await heard.aclose()
    assert updates.listeners == 0


async def test_listener_of_a_quiet_service_hears_that_nothing_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.01)
    heard: Any = stream(LiveUpdates(cast(Any, None)))
    async with asyncio.timeout(5):
        events = [await anext(heard) for _ in range(3)]
    await heard.aclose()
    assert events[1:] == [b'event: changed\ndata: {"read": -1}\n\n', b": nothing changed\n\n"]


@pytest.mark.parametrize(
    ("others", "status"), [(live.MAX_LISTENERS - 1, 200), (live.MAX_LISTENERS, 503)]
)
async def test_listeners_are_two_hundred_at_most(others: int, status: int) -> None:
    updates = LiveUpdates(cast(Any, None))
    updates.listeners = others
    scope = {"type": "http", "query_string": b"", "headers": [], "state": {"live": updates}}
    try:
        answer = (await live.events(Request(scope))).status_code
    except Unavailable as problem:
        answer = problem.status
    assert answer == status
