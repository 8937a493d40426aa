"""Writes that share a statement and a commit: what comes while one batch is being written makes
the next.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from apps.kit.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Waiting(Generic[Item, Result]):
    """An item and who waits for what becomes of it: nobody any more, if the caller went away."""

    item: Item
    result: "asyncio.Future[Result]"

    def finish(self, result: Result) -> None:
        if not self.result.done():
            self.result.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            # One error raised by several tasks would gather the frames of them all.
            self.result.set_exception(
                Unavailable(error.code) if isinstance(error, Unavailable) else error
            )


def _fits_always(batch: Sequence[object], item: object) -> bool:
    return True


class Batches(Generic[Item, Result]):
    """Hands items to `write`, at most `max_batch` at a time, which finishes or fails each.

    `fits` tells whether an item may be written together with those of a batch. Where
    `max_waiting` are not finished, more are refused as Unavailable with the code `busy`.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Waiting[Item, Result]]], Awaitable[None]],
        *,
        max_batch: int,
        max_waiting: int,
        busy: str,
        fits: Callable[[Sequence[Item], Item], bool] = _fits_always,
    ) -> None:
        self._write = write
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._busy = busy
        self._fits = fits
        self._waiting: deque[Waiting[Item, Result]] = deque()
        self._unfinished = 0
        self._writer: asyncio.Task[None] | None = None

    async def put(self, item: Item) -> Result:
        """Returns what became of the item, once its batch is written."""
        if self._unfinished >= self._max_waiting:
            raise Unavailable(self._busy)
        waiting: Waiting[Item, Result] = Waiting(item, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())
        self._unfinished += 1
        try:
            return await waiting.result
        finally:
            self._unfinished -= 1

    async def settle(self) -> None:
        """Waits until nothing is left to write."""
        if self._writer:
            await asyncio.wait([self._writer])

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch = self._next_batch()
                try:
                    await self._write(batch)
                except Exception as error:
                    for waiting in batch:
                        waiting.fail(error)
        finally:
            self._writer = None

    def _next_batch(self) -> list[Waiting[Item, Result]]:
        batch = [self._waiting.popleft()]
        items = [batch[0].item]
        while self._waiting and len(batch) < self._max_batch:
            if not self._fits(items, self._waiting[0].item):
                break
            batch.append(self._waiting.popleft())
            items.append(batch[-1].item)
        return batch
