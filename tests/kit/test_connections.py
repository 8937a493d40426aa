"""Connections are kept for their next user, never more than the pool has, and none is
lost on the way.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import databases
import pytest
from databases.core import Connection as Holder

from apps.kit import connections as module
from apps.kit.connections import Connections
from apps.kit.database import PooledConnection

pytestmark = pytest.mark.integration
SIZE = 2


@pytest.fixture
async def connections(billing_database: str) -> AsyncIterator[Connections]:
    options: dict[str, Any] = {"min_size": 0, "max_size": SIZE}
    pool = databases.Database(billing_database, connection_class=PooledConnection, **options)
    await pool.connect()
    opened = Connections(pool, SIZE)
    try:
        yield opened
    finally:
        async with asyncio.timeout(5):
            await opened.close()
            await pool.disconnect()


async def take(connections: Connections) -> Holder:
    async with asyncio.timeout(5):
        return connections.take_kept() or await connections.take()


async def server_pid(holder: Holder) -> int:
    return int(await holder.raw_connection.fetchval("SELECT pg_backend_pid()"))


async def give_all_twice(connections: Connections) -> None:
    """Takes every connection twice over, which hangs if one of them was lost."""
    for _ in range(2):
        taken = [await take(connections) for _ in range(SIZE)]
        assert len({await server_pid(holder) for holder in taken}) == SIZE
        for holder in taken:
            await connections.give_back(holder, is_clean=True)


async def test_last_one_given_back_is_taken_next(connections: Connections) -> None:
    first, second = await take(connections), await take(connections)
    await connections.give_back(first, is_clean=True)
    await connections.give_back(second, is_clean=True)
    assert connections.take_kept() is second
    await connections.give_back(second, is_clean=True)


async def test_many_users_share_the_few_connections_and_each_has_one_alone(
    connections: Connections,
) -> None:
    in_use: set[int] = set()
    seen: set[int] = set()

    async def use() -> None:
        holder = await take(connections)
        pid = await server_pid(holder)
        assert pid not in in_use
        in_use.add(pid)
        seen.add(pid)
        await asyncio.sleep(0.001)
        in_use.discard(pid)
        await connections.give_back(holder, is_clean=True)

    await asyncio.gather(*(use() for _ in range(50)))
    assert len(seen) == SIZE


async def test_cancelled_users_lose_no_connection(connections: Connections) -> None:
    async def use() -> None:
        holder = await take(connections)
        is_clean = False
        try:
            await asyncio.sleep(0)
            is_clean = True
        finally:
            await connections.give_back(holder, is_clean=is_clean)

    for turns in range(20):
        users = [asyncio.create_task(use()) for _ in range(4 * SIZE)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for user in users:
            user.cancel()
        await asyncio.gather(*users, return_exceptions=True)
    await give_all_twice(connections)


async def test_user_cancelled_as_a_connection_comes_passes_it_on(connections: Connections) -> None:
    holders = [await take(connections) for _ in range(SIZE)]
    waiting = [asyncio.create_task(take(connections)) for _ in range(2)]
    await asyncio.sleep(0.01)
    await connections.give_back(holders[0], is_clean=True)
    waiting[0].cancel()
    assert await waiting[1] is holders[0]
    for holder in holders:
        await connections.give_back(holder, is_clean=True)
    await give_all_twice(connections)


async def test_place_of_a_lost_connection_goes_to_who_waits(connections: Connections) -> None:
    holders = [await take(connections) for _ in range(SIZE)]
    waiting = asyncio.create_task(take(connections))
    await asyncio.sleep(0.01)
    await connections.give_back(holders[0], is_clean=False)
    await connections.give_back(await waiting, is_clean=True)
    await connections.give_back(holders[1], is_clean=True)
    await give_all_twice(connections)


async def test_transaction_left_open_is_ended(connections: Connections) -> None:
    holder, other = await take(connections), await take(connections)
    await holder.raw_connection.execute("BEGIN")
    await connections.give_back(holder, is_clean=True)
    left = await other.raw_connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND usename = "
        "current_user"
    )
    assert left == 0
    await connections.give_back(other, is_clean=True)


async def test_place_is_free_again_after_a_failed_start() -> None:
    async with databases.Database(
        "postgresql://nobody:secret@127.0.0.1:1/nowhere", min_size=0, max_size=1
    ) as pool:
        connections = Connections(pool, 1)
        for _ in range(3):
            with pytest.raises(OSError, match="Connect call failed"):
                await take(connections)


async def test_what_nobody_needed_for_a_while_goes_back(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    await give_all_twice(connections)
    monkeypatch.setattr(module, "TRIM_SECONDS", 0.05)
    trimming = asyncio.create_task(connections.trim_forever())
    try:
        async with asyncio.timeout(5):
            while connections._kept:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        trimming.cancel()
    await give_all_twice(connections)


async def test_connection_in_use_at_the_end_goes_to_the_pool(connections: Connections) -> None:
    holder = await take(connections)
    await connections.close()
    await connections.give_back(holder, is_clean=True)
    assert connections.take_kept() is None
