"""When a connection was last in use."""

import asyncio
from collections.abc import Callable
from typing import Any


class IdleTimer:
    """Ends a connection `seconds` after its last answer. In place of Hypercorn's, two tasks for every request."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, expire: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._expire = expire
        self._timer: asyncio.TimerHandle | None = None
        self._since: float | None = None
        self._cancelled = False

    @property
    def is_idle(self) -> bool:
        return self._since is not None

    def begin(self) -> None:
        self._since = self._loop.time()
        if self._timer is None and not self._cancelled:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def end(self) -> None:
        # The timer goes on: when it is due it sees whether the connection was in use.
        self._since = None

    async def restart(self, task_group: Any, action: Any) -> None:
        self.begin()

    async def stop(self) -> None:
        self.end()

    def cancel(self) -> None:
        self._cancelled = True
        if self._timer:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._since is None:
            self._timer = self._loop.call_later(self._seconds, self._look)
        elif (left := self._since + self._seconds - self._loop.time()) > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._expire()
