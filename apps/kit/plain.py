"""The plain case of HTTP/1.1: a request that came whole, in one piece, and its answer, without the layers between.

What is not plain beyond doubt (`parse_request` gives None) is Hypercorn's own: bodies in pieces, pipelining, upgrades,
`Expect`, whatever is malformed. So this reads less than h11 does, never more.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

from starlette.types import Message, Scope

# As much as Hypercorn lets h11 gather.
MAX_HEAD_BYTES = 16 * 1024
# A header field (RFC 9112): token, then visible characters, blanks and obs-text; no folded line, no bare CR or LF.
FIELD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~\x80-\xff]*+\r\n"
_HEAD = re.compile(rb"([A-Z]{3,7}) (/[!-~]*+) HTTP/1\.1\r\n((?:%b)++)\r\n" % FIELD)
_NOT_PLAIN = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te"))

Pair = tuple[bytes, bytes]
Write = Callable[[bytes], Awaitable[None]]


@dataclass(slots=True)
class PlainRequest:
    """`headers`: names in lower case, values without blanks around them. `body`: all of it."""

    method: str
    target: bytes
    headers: list[Pair]
    body: bytes


def split_fields(fields: bytes) -> list[Pair]:
    """Names as they came, and values without blanks around them, of what matched `FIELD` again and again."""
    lines = [line.partition(b":") for line in fields.split(b"\r\n")[:-1]]
    return [(name, value.strip(b" \t")) for name, _, value in lines]


def is_head(head: bytes, lines: int) -> bool:
    """Whether a head made of so many lines has no more: a line break or NUL in a value would be a field of its own."""
    return head.count(b"\n") == head.count(b"\r") == lines - 1 and b"\0" not in head


def parse_request(data: bytes) -> PlainRequest | None:
    """None for anything but one whole request that every reader reads alike."""
    match = _HEAD.match(data, 0, MAX_HEAD_BYTES)
    if match is None:
        return None
    headers: list[Pair] = []
    hosts = length = 0
    has_length = False
    for name, value in split_fields(match[3]):
        name = name.lower()
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            if has_length or not value.isdigit() or len(value) > 9:
                return None
            length, has_length = int(value), True
        elif name in _NOT_PLAIN or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        headers.append((name, value))
    end = match.end()
    if hosts != 1 or len(data) != end + length:
        return None
    return PlainRequest(match[1].decode("ascii"), match[2], headers, data[end:])


class Exchange:
    """One request's `receive` and `send` (ASGI). `ended(close)` is called once, with the answer's last byte.

    `close`: the connection cannot be used again.
    """

    def __init__(
        self, request: PlainRequest, scope: Scope, write: Write, ended: Callable[[bool], None]
    ) -> None:
        self.scope = scope
        self._method = request.method
        self._body: bytes | None = request.body
        self._write = write
        self._ended = ended
        self._gone: asyncio.Event | None = None
        self._start: Message | None = None
        self._begun = self._done = self._lost = False
        self._close = False
        # What the answer's head promised and is still to come; None where it goes in chunks.
        self._left: int | None = 0

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        if not (self._done or self._lost):
            self._gone = self._gone or asyncio.Event()
            await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Raises RuntimeError for what no answer can be: out of order, or other than its head said."""
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = message
            return
        if kind != "http.response.body" or self._start is None or self._done:
            raise RuntimeError(f"{kind} is out of order")
        body, more = message.get("body", b""), message.get("more_body", False)
        head = b"" if self._begun else self._head(self._start, None if more else len(body))
        piece = self._framed(body, more)
        self._begun = True
        if head or piece:
            await self._write(head + piece)
        if not more:
            self._finish()

    def lose(self) -> None:
        """The client is gone."""
        self._lost = True
        if self._gone:
            self._gone.set()

    async def run(self, app: Any) -> None:
        """Answers by `app`; where it fails, or ends early, the client sees that it did."""
        try:
            await app(self.scope, self.receive, self.send)
        finally:
            if not self._done:
                if not self._begun and not self._lost:
                    await self._write(
                        b"HTTP/1.1 500 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    )
                self._close = True
                self._finish()

    def _head(self, start: Message, whole_bytes: int | None) -> bytes:
        status: int = start["status"]
        lines = [b"HTTP/1.1 %d " % status]
        length: int | None = None
        for name, value in start["headers"]:
            lines.append(b"%b: %b" % (name, value))
            lowered = name.lower()
            if lowered == b"content-length":
                length = int(value)
            elif lowered == b"connection":
                self._close = self._close or b"close" in value.lower()
            elif lowered == b"transfer-encoding":
                raise RuntimeError("the server frames the answer")
        if self._method == "HEAD" or status in (204, 304):
            self._left = -1
        elif length is not None:
            self._left = length
        elif whole_bytes is not None:
            self._left = whole_bytes
            lines.append(b"content-length: %d" % whole_bytes)
        else:
            self._left = None
            lines.append(b"transfer-encoding: chunked")
        lines.append(b"date: " + current_date())
        head = b"\r\n".join(lines)
        if not is_head(head, len(lines)):
            raise RuntimeError("a header field of the answer holds a line break")
        return head + b"\r\n\r\n"

    def _framed(self, body: bytes, more: bool) -> bytes:
        if self._left is None:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if more else chunk + b"0\r\n\r\n"
        if self._left < 0:
            return b""
        self._left -= len(body)
        if self._left < 0 or (self._left and not more):
            raise RuntimeError("the answer is not as long as its Content-Length")
        return body

    def _finish(self) -> None:
        self._done = True
        if self._gone:
            self._gone.set()
        self._ended(self._close)


def scope_of(
    request: PlainRequest,
    *,
    scheme: str,
    client: Any,
    server: Any,
    root_path: str,
    state: dict[str, Any],
) -> Scope:
    """As Hypercorn gives it."""
    path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "http_version": "1.1",
        "asgi": {"spec_version": "2.1", "version": "3.0"},
        "method": request.method,
        "scheme": scheme,
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": root_path,
        "headers": request.headers,
        "client": client,
        "server": server,
        "state": state.copy(),
        "extensions": {},
    }


_date: tuple[int, bytes] = (0, b"")


def current_date() -> bytes:
    """`Date` (RFC 9110, 6.6.1), made once a second."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = (now, formatdate(now, usegmt=True).encode())
    return _date[1]
