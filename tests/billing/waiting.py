"""Tells whether calls wait for a lock that a test holds."""

import asyncio
from collections.abc import Sequence
from typing import Any

from apps.kit.database import Database
from tests.waiting import LOCK_WAITS


async def until_waiting(database: Database, count: int) -> None:
    """Waits until so many sessions of this database wait for another's lock."""
    async with database.connection() as connection:
        async with asyncio.timeout(20):
            while count > len(await connection.fetch(LOCK_WAITS)):
                await asyncio.sleep(0.01)
                # Inside a transaction the view stays as it was first read.
                await connection.execute("SELECT pg_stat_clear_snapshot()")


async def until_blocked(database: Database, tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Waits until each task waits for a lock; fails where one ends before."""
    waiting = asyncio.create_task(until_waiting(database, len(tasks)))
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    ended = [task for task in tasks if task.done()]
    if ended:
        waiting.cancel()
    assert not ended, [task.exception() or task.result() for task in ended]
    await waiting
