import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

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
