"""What Hypercorn 0.18 leaves undone: a connection ends when its client ends it, an early answer arrives, and what is
plain goes straight (decision 0503)."""

import asyncio
from contextlib import suppress
from ssl import SSLError
from typing import Any

import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.kit.idle import IdleTimer
from apps.kit.plain import Exchange, PlainRequest, parse_request, scope_of

# Long enough for a client to see the answer and stop sending.
LINGER_SECONDS = 2.0
# What is written waits for the loop's turn up to here, and for the client from here on.
WRITE_BYTES = 64 * 1024
# As long as the balancer lets nothing happen.
UNREAD_SECONDS = 60.0


class PromptServer(TCPServer, asyncio.Protocol):
    """Hypercorn's connection, let go of once the client has closed it, and written to once an answer.

    Hypercorn waits until its idle time is over (75 s), holding a file descriptor: 14 short connections a second would
    take all of the usual 1,024. And it writes head and body apart, at a system call each.

    It stands between the transport and Hypercorn's reader: plain requests it answers itself, and what is not plain the
    reader gets, byte for byte, for Hypercorn's own protocol.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.idle_task: Any = IdleTimer(self.loop, self.config.keep_alive_timeout, self._let_go)
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._flush_due = False
        # Hypercorn's own protocol, between the transport and its reader; None until we stand before it.
        self._inner: Any = None
        self._unread_bytes = 0
        self._is_hypercorns = False
        self._exchange: Exchange | None = None
        self._early = b""

    async def _read_data(self) -> None:
        ending = self.loop.create_task(self._end_at_stop())
        try:
            while not self.reader.at_eof():
                try:
                    data = await self.reader.read(MAX_RECV)
                except (OSError, TimeoutError, SSLError):
                    break
                if self._inner is None and self._stand_between(len(data)):
                    self.data_received(data)
                else:
                    if self._inner is None:
                        self._is_hypercorns = True
                    else:
                        self._unread_bytes -= len(data)
                    await self.protocol.handle(RawData(data))
            if self._exchange:
                self._exchange.lose()
            await self.protocol.handle(Closed())
        finally:
            ending.cancel()
            self.idle_task.cancel()

    async def _end_at_stop(self) -> None:
        await self.context.terminated.wait()
        # A client that reads nothing holds up the stop no longer than an answer that is not made.
        self.loop.call_later(self.config.graceful_timeout, self.writer.transport.abort)
        if self.idle_task.is_idle:
            self._let_go()

    def _stand_between(self, read_bytes: int) -> bool:
        """Takes the reader's place where it is empty now, as is sure when less was read than asked for."""
        protocol = self.protocol.protocol
        if read_bytes == MAX_RECV or self.reader.at_eof() or not isinstance(protocol, H11Protocol):
            return False
        transport: Any = self.writer.transport
        self._client, self._server, self._scheme = (
            protocol.client,
            protocol.server,
            "https" if protocol.ssl else "http",
        )
        self._inner = transport.get_protocol()
        transport.set_protocol(self)
        return True

    # asyncio.Protocol, as the transport calls it.

    def data_received(self, data: bytes) -> None:
        if self._exchange is not None:
            # Before its answer: it waits, and so does what follows.
            self._early += data
            self.writer.transport.pause_reading()  # type: ignore[attr-defined]
            return
        if not self._is_hypercorns:
            request = parse_request(data)
            if request is not None:
                self._answer(request)
                return
            self._is_hypercorns = True
        self._unread_bytes += len(data)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        still_open: bool | None = self._inner.eof_received()
        return still_open

    def connection_lost(self, error: Exception | None) -> None:
        if self._exchange:
            self._exchange.lose()
        self._inner.connection_lost(error)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _answer(self, request: PlainRequest) -> None:
        self.idle_task.end()
        scope = scope_of(
            request,
            scheme=self._scheme,
            client=self._client,
            server=self._server,
            root_path=self.config.root_path,
            state=self.state,
        )
        self._exchange = Exchange(request, scope, self._write_whole, self._answered)
        self._task_group.spawn(self._run, self._exchange)

    async def _run(self, exchange: Exchange) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app(scope, receive, send, None, None)  # type: ignore[arg-type]

        try:
            await exchange.run(app)
        except Exception:
            await self.config.log.exception("Error in ASGI Framework")

    def _answered(self, close: bool) -> None:
        self._exchange = None
        if close or self.context.terminated.is_set():
            self._let_go()
            return
        self.idle_task.begin()
        if self._early:
            data, self._early = self._early, b""
            if not self.writer.is_closing():
                self.writer.transport.resume_reading()  # type: ignore[attr-defined]
                self.data_received(data)

    async def _write_whole(self, data: bytes) -> None:
        with suppress(ConnectionError, RuntimeError):
            if self._unsent:
                self._flush()
            if not self.writer.is_closing():
                self.writer.write(data)
                if self.writer.transport.get_write_buffer_size() >= WRITE_BYTES:
                    await self._drain()

    async def _drain(self) -> None:
        """Waits until the client has read; a connection of which nothing is read for UNREAD_SECONDS is ended."""
        transport = self.writer.transport
        while True:
            unread_bytes = transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(UNREAD_SECONDS):
                    return await self.writer.drain()
            except TimeoutError:
                if transport.get_write_buffer_size() >= unread_bytes:
                    return transport.abort()

    def _let_go(self) -> None:
        """Closes the connection when the client has read the rest, for which it has UNREAD_SECONDS."""
        self.writer.close()
        self._limit_rest()

    def _limit_rest(self) -> None:
        if self.writer.transport.get_write_buffer_size():
            self.loop.call_later(UNREAD_SECONDS, self.writer.transport.abort)

    # Hypercorn's side.

    async def protocol_send(self, event: Any) -> None:
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Updated):
            if event.idle:
                self.idle_task.begin()
                protocol: Any = self.protocol.protocol
                # Ours again once nothing of what came is left to Hypercorn.
                self._is_hypercorns = not (
                    self._unread_bytes == 0
                    and isinstance(protocol, H11Protocol)
                    and protocol.connection.trailing_data == (b"", False)
                )
            else:
                self.idle_task.end()
        else:
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
            await self._drain()
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
        self._limit_rest()
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
    return any(
        name in (b"content-length", b"transfer-encoding") and value != b"0"
        for name, value in scope["headers"]
    )
