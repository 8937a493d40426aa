"""Tells listeners that figures changed, by server-sent events (HTML Standard, 9.2).

An event says that something changed, never what: the listener asks for the figures again.
"""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from apps.analytics.reports.parameters import single_values
from apps.kit.database import Database
from apps.kit.errors import Unavailable
from apps.kit.logs import log_failure

POLL_SECONDS = 0.5
# The gateway ends a response that takes longer; the browser connects again by itself.
STREAM_SECONDS = 25.0
HEARTBEAT_SECONDS = 10.0
RECONNECT_MILLISECONDS = 1_000
MAX_LISTENERS = 200


class LiveUpdates:
    """Watches how far the topics were read, whichever replica read them, while anybody listens."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = asyncio.Condition()
        self._read = -1
        self.listeners = 0

    async def run(self) -> None:
        """Looks each POLL_SECONDS until it is cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self.listeners:
                await self._look()

    async def _look(self) -> None:
        try:
            async with self._database.connection() as connection:
                read = await connection.fetchval(
                    "SELECT coalesce(sum(next_offset), 0)::bigint FROM consumed"
                )
        except Unavailable:
            return
        except Exception as error:
            log_failure(error, "live updates not read")
            return
        if read != self._read:
            async with self._changed:
                self._read = read
                self._changed.notify_all()

    async def wait(self, seen: int, seconds: float) -> int:
        """Returns how many records were read once it is not `seen` any more, or after `seconds`."""
        async with self._changed:
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait_for(lambda: self._read != seen)
            except TimeoutError:
                pass
            return self._read


async def events(request: Request) -> Response:
    single_values(request.query_params, ())
    live: LiveUpdates = request.state.live
    if live.listeners >= MAX_LISTENERS:
        raise Unavailable("too_many_listeners")
    return StreamingResponse(
        stream(live), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def stream(live: LiveUpdates) -> AsyncIterator[bytes]:
    """Yields an event at the beginning and at each change, and comments that keep
    the connection.
    """
    live.listeners += 1
    try:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + STREAM_SECONDS
        yield f"retry: {RECONNECT_MILLISECONDS}\n\n".encode()
        seen = -2
        while (left := ends_at - loop.time()) > 0:
            read = await live.wait(seen, min(left, HEARTBEAT_SECONDS))
            if read == seen:
                yield b": nothing changed\n\n"
            else:
                seen = read
                yield f'event: changed\ndata: {{"read": {read}}}\n\n'.encode()
    finally:
        live.listeners -= 1
