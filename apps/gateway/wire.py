"""Requests with a small body, straight to a service over kept connections; answers as they come, in pieces if need be.

A plain answer (its length declared) is read here, any other by h11. Bodies that stream to a service go by aiohttp.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import h11

from apps.gateway.settings import Bounds
from apps.kit.plain import FIELD, Pair, is_head, split_fields

# Shorter than the services' keep-alive (75 s): a connection is never taken up as it is being closed.
IDLE_CONNECTION_SECONDS = 30.0
MAX_HEAD_BYTES = 64 * 1024
# What a service may send ahead of a client that reads slowly.
AHEAD_BYTES = 256 * 1024
# RFC 9110, 9.2.2
_IDEMPOTENT = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS"))
_WITHOUT_BODY = frozenset(("GET", "HEAD", "OPTIONS"))
_TARGET = re.compile("[!-~]+")
_HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2})(?: [\t -~\x80-\xff]*+)?\r\n((?:%b)*+)\r\n" % FIELD)


class ConnectFailed(Exception):
    """Nobody takes the connection."""


class HungUp(Exception):
    """The connection ended before an answer began."""


class BadAnswer(Exception):
    """Not HTTP, or broken off."""


class Wire(asyncio.Protocol):
    """A connection to a service. It is of no more use once anything unforeseen came about: `usable`."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.usable = True
        self.idle_since = 0.0
        self._ended = False
        self.paused = False
        self._waiter: asyncio.Future[None] | None = None
        # uvloop's is no asyncio.Transport, though it does what one does.
        self._transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > AHEAD_BYTES and not self.paused:
            self.paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        self._ended, self.usable = True, False
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def more(self, deadline: float) -> bool:
        """Waits for more than there is in `data`; False where nothing more will come. Raises TimeoutError."""
        if self._ended:
            return False
        if self.paused:
            self.paused = False
            self._transport.resume_reading()
        before = len(self.data)
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout_at(deadline):
                await self._waiter
        finally:
            self._waiter = None
        return len(self.data) > before

    def close(self) -> None:
        self.usable = False
        self._transport.close()


class WireAnswer:
    """An answer whose head has come. `release` it, however it ended."""

    def __init__(self, wires: "Wires", wire: Wire, method: str, ends_at: float) -> None:
        self._wires, self._wire, self._method, self._ends_at = wires, wire, method, ends_at
        self.status = 0
        self.raw_headers: tuple[Pair, ...] = ()
        self.content_length: int | None = None
        self._left = 0
        self._parser: h11.Connection | None = None
        self._keep = True

    async def read_head(self) -> None:
        """Raises HungUp, BadAnswer and TimeoutError."""
        wire = self._wire
        while (end := wire.data.find(b"\r\n\r\n")) < 0 and len(wire.data) <= MAX_HEAD_BYTES:
            if not await wire.more(self._deadline()):
                raise BadAnswer("broken off") if wire.data else HungUp
        if end > MAX_HEAD_BYTES or end < 0:
            raise BadAnswer("a head too large")
        if not self._take_plain():
            await self._read_odd_head()

    def _take_plain(self) -> bool:
        match = _HEAD.match(self._wire.data)
        if match is None:
            return False
        headers = split_fields(match[2])
        length: int | None = None
        keep = True
        for name, value in headers:
            lowered = name.lower()
            if lowered == b"content-length":
                if length is not None or not value.isdigit() or len(value) > 18:
                    return False
                length = int(value)
            elif lowered == b"transfer-encoding":
                return False
            elif lowered == b"connection" and value.lower() != b"keep-alive":
                keep = False
        status = int(match[1])
        has_body = self._method != "HEAD" and status not in (204, 304)
        if has_body and length is None:
            return False
        self.status, self.raw_headers, self.content_length, self._keep = (
            status,
            tuple(headers),
            length,
            keep,
        )
        self._left = length or 0 if has_body else 0
        del self._wire.data[: match.end()]
        return True

    async def _read_odd_head(self) -> None:
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        # What it needs to know of the question to read the answer.
        self._parser.send(
            h11.Request(method=self._method, target="/", headers=[("host", "service")])
        )
        self._parser.send(h11.EndOfMessage())
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                break
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise BadAnswer("no answer")
        self.status, self.raw_headers = event.status_code, tuple(event.headers.raw_items())

    async def _next_event(self) -> object:
        assert self._parser is not None
        try:
            while (event := self._parser.next_event()) is h11.NEED_DATA:
                if not self._wire.data:
                    await self._wire.more(self._deadline())
                data = bytes(self._wire.data)
                self._wire.data.clear()
                self._parser.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise BadAnswer(str(error)) from None
        return event

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises BadAnswer for a body that breaks off, and TimeoutError for one that stands still."""
        if self._parser is not None:
            while isinstance(event := await self._next_event(), h11.Data):
                yield bytes(event.data)
            if not isinstance(event, h11.EndOfMessage):
                raise BadAnswer("broken off")
            return
        data = self._wire.data
        while self._left:
            if not data and not await self._wire.more(self._deadline()):
                raise BadAnswer("broken off")
            chunk = bytes(data[: self._left])
            del data[: self._left]
            self._left -= len(chunk)
            yield chunk

    def release(self) -> None:
        """Keeps the connection where the answer was read to its end and nothing came behind it, or could unheard."""
        parser, wire = self._parser, self._wire
        if parser is None:
            whole = self._keep and not self._left
        else:
            whole = parser.their_state is h11.DONE and parser.trailing_data == (b"", False)
        if whole and wire.usable and not wire.data and not wire.paused:
            self._wires.keep(wire)
        else:
            wire.close()

    def _deadline(self) -> float:
        return min(
            asyncio.get_running_loop().time() + self._wires.bounds.answer_seconds, self._ends_at
        )


class Wires:
    """The connections to one service. How many there are is bounded by who asks."""

    def __init__(self, url: str, bounds: Bounds) -> None:
        parts = urlsplit(url)
        self._tls = True if parts.scheme == "https" else None
        self._host, self._authority = parts.hostname or "", parts.netloc
        self._port = parts.port or (443 if self._tls else 80)
        self.bounds = bounds
        self._idle: list[Wire] = []

    async def ask(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> WireAnswer:
        """An answer whose head has come; an idempotent request is sent once more where a connection ended before.

        Raises ConnectFailed, HungUp, BadAnswer, TimeoutError, and ValueError for what cannot be sent.
        """
        request = _request(method, target, self._authority, headers, body)
        ends_at = asyncio.get_running_loop().time() + self.bounds.total_seconds
        try:
            return await self._ask(method, request, ends_at)
        except HungUp:
            if method not in _IDEMPOTENT:
                raise
            return await self._ask(method, request, ends_at)

    async def _ask(self, method: str, request: bytes, ends_at: float) -> WireAnswer:
        wire = self._take() or await self._connect()
        answer = WireAnswer(self, wire, method, ends_at)
        try:
            wire.write(request)
            await answer.read_head()
        except BaseException:
            wire.close()
            raise
        return answer

    def _take(self) -> Wire | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            wire = self._idle.pop()
            if wire.usable and not wire.data and now - wire.idle_since < IDLE_CONNECTION_SECONDS:
                return wire
            wire.close()
        return None

    async def _connect(self) -> Wire:
        try:
            async with asyncio.timeout(self.bounds.connect_seconds):
                loop = asyncio.get_running_loop()
                _, wire = await loop.create_connection(Wire, self._host, self._port, ssl=self._tls)
        except (OSError, TimeoutError) as error:
            raise ConnectFailed from error
        return wire

    def keep(self, wire: Wire) -> None:
        wire.idle_since = now = asyncio.get_running_loop().time()
        self._idle.append(wire)
        # The last used is the first taken up: those that are not needed any more gather at the other end.
        if now - self._idle[0].idle_since >= IDLE_CONNECTION_SECONDS:
            self._idle.pop(0).close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


def _request(
    method: str, target: str, authority: str, headers: list[tuple[str, str]], body: bytes
) -> bytes:
    if not _TARGET.fullmatch(target):
        raise ValueError("target")
    lines = [f"{method} {target} HTTP/1.1", f"host: {authority}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body or method not in _WITHOUT_BODY:
        lines.append(f"content-length: {len(body)}")
    head = "\r\n".join(lines).encode()
    # HTTP/2 lets through what would be a line of its own here.
    if not is_head(head, len(lines)):
        raise ValueError("header")
    return head + b"\r\n\r\n" + body
