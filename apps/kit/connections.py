"""Connections of a pool that wait for their next user.

To take one from `databases` and asyncpg's pool and to give it back costs more than a query
(decision 0003).
"""

import asyncio
from collections import deque

import asyncpg
import databases
from databases.core import Connection as Holder

# One that nobody needed for so long goes back to asyncpg's pool, which closes it in the end.
TRIM_SECONDS = 60.0


class Connections:
    """Takes at most `size` connections of `pool`. The one that was given back last
    is taken first.
    """

    def __init__(self, pool: databases.Database, size: int) -> None:
        self._pool = pool
        self._size = size
        # In use, kept, or being opened.
        self._taken = 0
        self._kept: list[Holder] = []
        # The fewest that were kept since the last trim: so many were not needed.
        self._unused = 0
        self._waiting: deque[asyncio.Future[Holder | None]] = deque()
        self._is_closing = False

    def take_kept(self) -> Holder | None:
        """Returns one that was given back, if there is one and it was not lost meanwhile."""
        if not self._kept:
            return None
        holder = self._kept.pop()
        self._unused = min(self._unused, len(self._kept))
        if is_usable(holder):
            return holder
        self._kept.append(holder)
        return None

    async def take(self) -> Holder:
        """Waits for a free one or opens a new one; raises what asyncpg raises."""
        while self._kept:
            holder = self._kept.pop()
            if is_usable(holder):
                return holder
            await self._discard(holder)
        if self._taken < self._size:
            self._taken += 1
            return await self._open()
        return await self._wait() or await self._open()

    async def give_back(self, holder: Holder, *, is_clean: bool) -> None:
        """Keeps it for the next user unless its last one failed (not `is_clean`) or it is lost."""
        if is_clean and is_usable(holder) and not self._is_closing:
            self._pass_on(holder)
        else:
            await self._discard(holder)

    async def trim_forever(self) -> None:
        while True:
            await asyncio.sleep(TRIM_SECONDS)
            for _ in range(self._unused):
                if self._kept:
                    await self._discard(self._kept.pop(0))
            self._unused = len(self._kept)

    async def close(self) -> None:
        """Gives all that nobody uses back to the pool, and the others when they are given back."""
        self._is_closing = True
        while self._kept:
            await self._discard(self._kept.pop())

    def _pass_on(self, holder: Holder | None) -> None:
        """Gives a connection, or with None the place of one that is gone, to who waits longest."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(holder)
                return
        if holder is None:
            self._taken -= 1
        else:
            self._kept.append(holder)

    async def _wait(self) -> Holder | None:
        waiter: asyncio.Future[Holder | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # It came at the very moment of the cancellation.
                self._pass_on(waiter.result())
            raise

    async def _open(self) -> Holder:
        # `databases` gives a task that asks again the connection that it has: a task of its own has
        # only this one.
        opening = asyncio.create_task(self._take_from_pool())
        try:
            return await asyncio.shield(opening)
        except BaseException:
            opening.add_done_callback(self._end_opening)
            opening.cancel()
            raise

    async def _take_from_pool(self) -> Holder:
        holder = self._pool.connection()
        await holder.__aenter__()
        return holder

    def _end_opening(self, opening: asyncio.Task[Holder]) -> None:
        failed = opening.cancelled() or opening.exception() is not None
        self._pass_on(None if failed else opening.result())

    async def _discard(self, holder: Holder) -> None:
        """Gives a connection to asyncpg's pool, which ends a transaction that was left open."""
        try:
            await holder.__aexit__(None, None, None)
        finally:
            self._pass_on(None)


def is_usable(holder: Holder) -> bool:
    """Tells whether the connection is open and idle."""
    connection = holder.raw_connection
    try:
        return not (connection.is_closed() or connection.is_in_transaction())
    except asyncpg.InterfaceError:
        # Lost while it was idle: the pool has taken it away.
        return False
