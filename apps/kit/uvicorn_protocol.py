"""uvicorn's HTTP/1.1 connection with a limit on the wait for a request; uvicorn itself limits only
the idle time.

Given to uvicorn by its documented `http=` option (decision 0503).
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# From the connection, or a request's first byte, to the end of the request's head.
HEAD_SECONDS = 20.0
MAX_HEAD_BYTES = 64 * 1024
# At a stop a request may already be on its way on an idle connection.
STOP_IDLE_SECONDS = 0.5
FLUSH_BYTES = 64 * 1024


class WriteBuffer:
    """A transport that sends what is written within one turn of the loop by one system call.

    uvicorn writes a response's head and body apart, and uvloop sends each write at once.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._bytes = 0

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)
        self._bytes += len(data)
        if self._bytes >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._bytes = 0
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedProtocol(HttpToolsProtocol):
    """Aborts the connection of a client that does not send a whole head in time."""

    cycle: Any
    head_bytes = 0
    head_timer: asyncio.TimerHandle | None = None
    is_stopping = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(WriteBuffer(transport, self.loop))  # type: ignore[arg-type]
        self.head_timer = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.stop_head_timer()

    def data_received(self, data: bytes) -> None:
        if self.cycle is None or not self.cycle.more_body:
            self.head_bytes += len(data)
        super().data_received(data)
        if self.head_bytes > MAX_HEAD_BYTES:
            self.transport.abort()
        if self.head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self.head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def on_headers_complete(self) -> None:
        if not self.url.startswith(b"/"):
            raise ValueError("a request for a proxy, or for the server as a whole")
        super().on_headers_complete()
        self.head_bytes = 0
        self.stop_head_timer()
        # A request that came in time for the stop is the connection's last.
        self.cycle.keep_alive &= not self.is_stopping

    def on_response_complete(self) -> None:
        if self.cycle.response_complete and self.cycle.more_body:
            # `ReadRestMiddleware` has waited for the rest of the body.
            self.transport.close()
        super().on_response_complete()

    def shutdown(self) -> None:
        self.is_stopping = True
        self.loop.call_later(STOP_IDLE_SECONDS, super().shutdown)

    def stop_head_timer(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None
