"""Tells whether a connection waits for a lock that a test holds."""

import asyncio
from typing import Any

WAIT_SECONDS = 10.0
_BLOCKED = "SELECT cardinality(pg_blocking_pids($1)) > 0"


async def until_blocked(observer: Any, connection: Any, task: asyncio.Task[Any]) -> None:
    """Waits until `connection`, which `task` uses, waits for a lock; fails where the task ends
    before.
    """
    async with asyncio.timeout(WAIT_SECONDS):
        while not await observer.fetchval(_BLOCKED, connection.get_server_pid()):
            assert not task.done()
            await asyncio.sleep(0.01)
