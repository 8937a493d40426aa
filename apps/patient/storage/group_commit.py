"""Changes of several requests in one statement and one commit, which cost PostgreSQL 40 to 50 %
less than one by one.

A group that is refused, or that meets somebody's lock, is written change by change: each request
gets the answer that it would have got alone.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import asyncpg

from apps.kit.batches import Batches, Waiting
from apps.kit.database import Database
from apps.kit.errors import Conflict
from apps.patient.storage.versions import Author, Change
from apps.patient.storage.writing import Writer

MAX_GROUP = 32
MAX_GROUP_CHARS = 1_000_000
# More than one gateway lets run at once.
MAX_WAITING = 1_000
# Groups follow one another; one that waits longer, for a lock, keeps nobody back.
GROUP_SECONDS = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """A change, who makes it, and what must be there: (type, id) of what it newly refers to."""

    change: Change
    author: Author
    referred: Collection[tuple[str, str]]


class GroupCommit:
    """Writes single changes as `writer` does, each for itself or in a group."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._batches: Batches[Write, bool] = Batches(
            self._write,
            max_batch=MAX_GROUP,
            max_waiting=MAX_WAITING,
            busy="record_busy",
            fits=fits,
        )
        self._running: set[asyncio.Task[None]] = set()

    async def write(
        self, change: Change, author: Author, referred: Collection[tuple[str, str]]
    ) -> bool:
        """Writes a change as `Writer.write` does, and returns or raises what that does."""
        return await self._batches.put(Write(change, author, referred))

    async def aclose(self) -> None:
        """Waits until nothing is left to write."""
        await self._batches.settle()
        if self._running:
            await asyncio.wait(self._running)

    async def _write(self, group: Sequence[Waiting[Write, bool]]) -> None:
        task = asyncio.create_task(self._write_group(group))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait([task], timeout=GROUP_SECONDS)

    async def _write_group(self, group: Sequence[Waiting[Write, bool]]) -> None:
        # Nobody waits for the others any more.
        group = [waiting for waiting in group if not waiting.result.done()]
        if len(group) > 1 and await self._write_together(group):
            return
        alone = [self._start_alone(waiting) for waiting in group if not waiting.result.done()]
        await asyncio.gather(*alone, return_exceptions=True)

    def _start_alone(self, waiting: Waiting[Write, bool]) -> "asyncio.Task[None]":
        """Starts to write a change by itself; that ends where its caller is cancelled."""
        task = asyncio.create_task(self._write_alone(waiting))
        waiting.result.add_done_callback(lambda result: result.cancelled() and task.cancel())
        return task

    async def _write_together(self, group: Sequence[Waiting[Write, bool]]) -> bool:
        """Returns False where nothing was written and each must be tried by itself."""
        items = [waiting.item for waiting in group]
        changes = [(item.change, item.author) for item in items]
        referred = {target for item in items for target in item.referred}
        try:
            async with self._database.connection() as connection:
                is_written = await self._writer.write_group(connection, changes, referred)
        except (Conflict, asyncpg.PostgresError):
            return False
        except Exception as error:
            # Perhaps the connection was lost behind the commit: to write again might do it twice.
            for waiting in group:
                waiting.fail(error)
            return True
        if is_written:
            for waiting in group:
                waiting.finish(True)
        return is_written

    async def _write_alone(self, waiting: Waiting[Write, bool]) -> None:
        item = waiting.item
        try:
            async with self._database.connection() as connection:
                is_written = await self._writer.write(
                    connection, [item.change], item.author, item.referred
                )
        except Exception as error:
            waiting.fail(error)
        else:
            waiting.finish(is_written)


def fits(group: Sequence[Write], item: Write) -> bool:
    """Returns whether a change may share a statement with those of a group: a resource has one
    change in it, and the texts are bounded.
    """
    version = item.change.version
    chars = sum(len(one.change.version.body or "") for one in (*group, item))
    return chars <= MAX_GROUP_CHARS and not any(
        one.change.version.id == version.id
        and one.change.version.resource_type == version.resource_type
        for one in group
    )
