"""Tells whether a connection waits for a lock that a test holds."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg

WAIT_SECONDS = 10.0
# The sessions of this database that wait for another's lock.
LOCK_WAITS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'"""
_BLOCKED = "SELECT cardinality(pg_blocking_pids($1)) > 0"


async def until_blocked(observer: Any, connection: Any, task: asyncio.Task[Any]) -> None:
    """Waits until `connection`, which `task` uses, waits for a lock; fails where the task ends
    before.
    """
    async with asyncio.timeout(WAIT_SECONDS):
        while not await observer.fetchval(_BLOCKED, connection.get_server_pid()):
            assert not task.done()
            await asyncio.sleep(0.01)


async def until_somebody_waits(url: str, done: Callable[[], bool]) -> None:
    """Waits until a transaction of this database waits for a lock, or what should wait is done."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not await connection.fetchrow(LOCK_WAITS):
                if done():
                    return
                await asyncio.sleep(0.01)
    finally:
        await connection.close()
