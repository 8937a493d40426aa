"""What Hypercorn 0.18 leaves undone: a connection ends when its client ends it, and an early answer arrives."""

import asyncio
from contextlib import suppress
from typing import Any

import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, RawData, Updated
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Long enough for a client to see the answer and stop sending.
LINGER_SECONDS = 2.0
# What is written waits for the loop's turn up to here, and for the client from here on.
WRITE_BYTES = 64 * 1024


class PromptServer(TCPServer):
    """Hypercorn's connection, let go of once the client has closed it, and written to once an answer.

    Hypercorn waits until its idle time is over (75 s), holding a file descriptor: 14 short connections a second would
    take all of the usual 1,024. And it writes head and body apart, at a system call each.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._flush_due = False

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()

    async def protocol_send(self, event: Any) -> None:
        if isinstance(event, RawData):
            await self._write(event.data)
        elif not (isinstance(event, Updated) and event.idle and self.reader.at_eof()):
            await super().protocol_send(event)

    async def _write(self, data: bytes) -> None:
        """An answer's head and its small body come one after the other: they go out as one, when the loop turns."""
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes + self.writer.transport.get_write_buffer_size() < WRITE_BYTES:
            if not self._flush_due:
                self._flush_due = True
                self.loop.call_soon(self._flush)
            return
        try:
            self._flush()
            await self.writer.drain()
        except (ConnectionError, RuntimeError):
            await self.protocol.handle(Closed())

    def _flush(self) -> None:
        self._flush_due = False
        data = b"".join(self._unsent)
        self._unsent.clear()
        self._unsent_bytes = 0
        if data and not self.writer.is_closing():
            self.writer.write(data)

    async def _close(self) -> None:
        self._flush()
        await super()._close()


hypercorn.asyncio.run.TCPServer = PromptServer  # type: ignore[attr-defined,assignment]


class Linger:
    """Reads on, and throws away, what a client still sends when it has its answer (RFC 9112, 9.6).

    Closed at once, the connection would be reset and the answer lost on its way. And Hypercorn 0.18 hands a body over
    through a queue of ten: with nobody reading it, its connection would wait for ever and hold up the stop.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._reading: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _may_have_body(scope):
            await self.app(scope, receive, send)
            return
        received = finished = False

        async def receive_noting_the_end() -> Message:
            nonlocal received
            message = await receive()
            received = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def read_on() -> None:
            while not received:
                await receive_noting_the_end()

        def keep_reading() -> None:
            # It ends with the connection: the server says so through the same queue.
            task = asyncio.create_task(read_on())
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)

        async def send_and_linger(message: Message) -> None:
            nonlocal finished
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                finished = True
                if not received:
                    await send({**message, "more_body": True})
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LINGER_SECONDS):
                            await read_on()
                    keep_reading()
                    message = {"type": "http.response.body", "body": b""}
            await send(message)

        try:
            await self.app(scope, receive_noting_the_end, send_and_linger)
        finally:
            if not finished and not received:
                keep_reading()


def _may_have_body(scope: Scope) -> bool:
    if not scope["http_version"].startswith("1"):
        return True
    return any(name in (b"content-length", b"transfer-encoding") and value != b"0" for name, value in scope["headers"])
