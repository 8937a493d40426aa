"""A request that comes whole goes straight, the same bytes in two pieces through Hypercorn: both answer alike."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.kit import server
from apps.kit.idle import IdleTimer
from apps.kit.plain import Exchange, parse_request, scope_of
from apps.kit.web import serve_http
from tests.gateway.running import LIMIT_SECONDS, serving, until
from tests.ports import free_port

GET = b"GET /a%20b?c=%20d HTTP/1.1\r\nHost: x\r\nX-One: 1\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"

Straight = list[bytes]


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers what it was asked."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    asked = {
        name: value for name, value in scope.items() if name not in ("client", "server", "state")
    }
    told = json.dumps(asked | {"body": body.decode()}, default=repr).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Told", b"yes")]})
    await send({"type": "http.response.body", "body": told})


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            yield reader, writer
    finally:
        writer.close()


@pytest.fixture
def straight(monkeypatch: pytest.MonkeyPatch) -> Straight:
    """The targets of the requests that went straight."""
    seen: Straight = []
    answer = server.PromptServer._answer

    def noting(self: Any, request: Any) -> None:
        seen.append(request.target)
        answer(self, request)

    monkeypatch.setattr(server.PromptServer, "_answer", noting)
    return seen


async def turn() -> None:
    """Turns of the loop, which is the server's too, so that it reads what was written however slow the machine is."""
    for _ in range(20):
        await asyncio.sleep(0.001)


async def ask(port: int, *pieces: bytes) -> bytes:
    """All that is answered until the server closes, the last request asking for it; without what differs by design."""
    async with connection(port) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            # One after the other, so that each arrives by itself.
            await turn()
        writer.write_eof()
        return re.sub(rb"(?i)date: [^\r]*\r\n", b"", await reader.read())


def decoded(answer: bytes) -> tuple[bytes, bytes]:
    """The status line, and the body out of its chunks or by its length."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" in head:
        body = b"".join(re.findall(rb"[0-9a-f]+\r\n(.+)\r\n", body))
    return head.partition(b"\r\n")[0].strip(), body


@pytest.mark.parametrize(
    "request_bytes",
    [
        GET,
        POST,
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Blank:  \t two  words \t\r\nX-Empty:\r\nX-Same: 1\r\nx-same: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Latin: caf\xe9\r\nConnection: keep-alive\r\n\r\n",
        b"PUT /p HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_plain_request_goes_straight_and_reads_as_hypercorn_reads_it(
    request_bytes: bytes, straight: Straight
) -> None:
    async with serving(tell) as port:
        whole = await ask(port, request_bytes)
        assert len(straight) == 1
        halves = await ask(port, request_bytes[:9], request_bytes[9:])
    assert len(straight) == 1
    assert decoded(whole) == decoded(halves)
    assert decoded(whole)[0] == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\na",
        b"GET / HTTP/1.1\r\nHost: x\r\n X-Folded: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET /\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_what_is_not_plain_is_left_to_hypercorn(
    request_bytes: bytes, straight: Straight
) -> None:
    assert parse_request(request_bytes) is None
    async with serving(tell) as port:
        whole = await ask(port, request_bytes)
        assert not straight
        assert decoded(whole) == decoded(await ask(port, request_bytes[:1], request_bytes[1:]))


async def test_requests_of_every_kind_in_turn_are_answered_in_their_order(
    straight: Straight,
) -> None:
    chunked = (
        b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    )
    pieces = [GET, POST, chunked, GET, POST[:30], POST[30:], GET + chunked + GET, POST, GET]
    async with serving(tell) as port:
        answers = await ask(port, *pieces)
        # As fast as they can be sent, none waiting for an answer.
        together = await ask(port, b"".join(pieces))
    asked = rb'"path": "([^"]*)"'
    expected = re.findall(rb"(?:GET|POST) (/[a-z]+)", b"".join(pieces))
    assert [path[:2] for path in re.findall(asked, answers)] == [path[:2] for path in expected]
    assert re.findall(asked, answers) == re.findall(asked, together)
    assert straight.count(b"/a%20b?c=%20d") >= 2
    assert b"/c" not in straight


async def test_request_that_comes_before_the_answer_to_the_last_waits_for_it(
    straight: Straight,
) -> None:
    go_on = asyncio.Event()

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/p":
            await go_on.wait()
        await tell(scope, receive, send)

    async with serving(wait) as port, connection(port) as (reader, writer):
        for piece in (POST, GET, GET):
            writer.write(piece)
            await writer.drain()
            await turn()
        assert straight == [b"/p"]
        go_on.set()
        writer.write_eof()
        assert re.findall(rb'"path": "(/.)', await reader.read()) == [b"/p", b"/a", b"/a"]


@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "in two"])
async def test_body_that_looks_like_a_request_is_a_body_even_behind_another_request(
    together: bool,
) -> None:
    go_on = asyncio.Event()

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/c":
            await go_on.wait()
        await tell(scope, receive, send)

    chunked = (
        b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    )
    head = b"POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(GET)
    async with serving(wait) as port, connection(port) as (reader, writer):
        for piece in (chunked + head,) if together else (chunked, head):
            writer.write(piece)
            await turn()
        go_on.set()
        await reader.readuntil(b'"path": "/c"')
        await turn()
        writer.write(GET)
        writer.write_eof()
        assert re.findall(rb'"path": "(/.)', await reader.read()) == [b"/s"]


async def test_answer_in_pieces_is_chunked_or_as_long_as_it_said() -> None:
    headers: list[tuple[bytes, bytes]] = []

    async def pieces(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in (b"one", b"", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    async with serving(pieces) as port:
        assert (await ask(port, GET)).endswith(b"chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        headers.append((b"Content-Length", b"6"))
        assert (await ask(port, GET)).endswith(b"Content-Length: 6\r\n\r\nonetwo")


@pytest.mark.parametrize(
    ("headers", "messages", "answer"),
    [
        ([], None, b"HTTP/1.1 500 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
        ([], [], b"HTTP/1.1 500 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
        (
            [(b"x", b"a\r\nb: c")],
            [{"body": b"a"}],
            b"HTTP/1.1 500 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ),
        (
            [(b"x", b"a\0b")],
            [{"body": b"a"}],
            b"HTTP/1.1 500 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ),
        ([(b"content-length", b"3")], [{"body": b"ab"}], b"HTTP/1.1 500 \r\n"),
        ([(b"content-length", b"3")], [{"body": b"abcd"}], b"HTTP/1.1 500 \r\n"),
        ([(b"content-length", b"3")], [{"body": b"ab", "more_body": True}], b"\r\n\r\nab"),
        (
            [(b"content-length", b"3")],
            [{"body": b"ab", "more_body": True}, {"body": b"cd"}],
            b"\r\n\r\nab",
        ),
        ([], [{"body": b"ab", "more_body": True}], b"chunked\r\n\r\n2\r\nab\r\n"),
        ([(b"connection", b"close")], [{"body": b"ab"}], b"\r\n\r\nab"),
    ],
    ids=[
        "fails",
        "says nothing",
        "splits",
        "holds NUL",
        "short",
        "long",
        "breaks off",
        "goes over",
        "breaks chunks off",
        "closes",
    ],
)
async def test_answer_that_cannot_be_ends_the_connection(
    headers: list[tuple[bytes, bytes]], messages: list[Message] | None, answer: bytes
) -> None:
    async def odd(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if messages is None:
            raise ValueError
        if messages:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        for message in messages:
            await send({"type": "http.response.body", **message})

    async with serving(odd) as port, connection(port) as (reader, writer):
        writer.write(GET)
        # Without a word from us: it is the server that closes.
        got = re.sub(rb"\r\ndate: [^\r]*", b"", await reader.read())
    assert answer in got
    assert got.endswith(answer) or answer.startswith(b"HTTP/1.1 500")
    assert b"\nb: c" not in got


async def test_answer_without_a_body_has_none() -> None:
    async def empty(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b"dropped"})

    async with serving(empty) as port:
        assert await ask(port, GET, GET) == b"HTTP/1.1 204 \r\n\r\n" * 2


async def test_application_learns_that_its_client_is_gone() -> None:
    heard: list[str] = []

    async def listen(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            heard.extend([(await receive())["type"], (await receive())["type"]])

    async with serving(listen) as port:
        async with connection(port) as (_, writer):
            writer.write(GET)
            await until(lambda: len(heard) == 0)
            await asyncio.sleep(0.05)
        await until(lambda: heard == ["http.request", "http.disconnect"])


async def test_client_that_reads_no_answers_gets_no_more_of_them() -> None:
    answered = 0

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal answered
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x" * 1_000_000})
            answered += 1

    async with serving(large) as port, connection(port) as (_, writer):
        before = -1
        while answered != before or not answered:
            before = answered
            writer.write(GET)
            await asyncio.sleep(0.2)
        assert 0 < answered < 30


async def test_stop_ends_the_idle_connection_and_lets_the_running_answer_finish() -> None:
    go_on = asyncio.Event()
    running = asyncio.Event()

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/p":
            running.set()
            await go_on.wait()
        await tell(scope, receive, send)

    async with (
        stoppable(wait) as (port, stop),
        connection(port) as (idle, idler),
        connection(port) as (reader, writer),
    ):
        idler.write(GET)
        await idle.readuntil(b'"body": ""}')
        writer.write(POST)
        await running.wait()
        stop()
        assert await idle.read() == b""
        go_on.set()
        assert b'"path": "/p"' in await reader.read()


@asynccontextmanager
async def stoppable(app: ASGIApp) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    port, stop = free_port(), asyncio.Event()
    task = asyncio.create_task(serve_http(app, "127.0.0.1", port, stop))
    try:
        for _ in range(100):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                break
        yield port, stop.set
    finally:
        stop.set()
        async with asyncio.timeout(LIMIT_SECONDS):
            await task


class HandLoop(asyncio.SelectorEventLoop):
    """Its time goes on by hand, a second at a time."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.call_soon(self.stop)
            self.run_forever()


def test_connection_unused_for_its_idle_time_ends_and_not_before() -> None:
    ended: list[float] = []
    with closing(HandLoop()) as loop:
        timer = IdleTimer(loop, 2.0, lambda: ended.append(loop.now))
        timer.begin()
        loop.pass_seconds(1)
        timer.end()
        loop.pass_seconds(2)
        timer.begin()
        assert not ended
        loop.pass_seconds(2)
        assert ended == [5.0]
        timer.cancel()
        timer.begin()
        loop.pass_seconds(3)
    assert len(ended) == 1


def test_request_in_hand_is_all_there_is() -> None:
    assert parse_request(POST) is not None
    assert parse_request(POST + b"G") is None
    assert parse_request(POST[:-1]) is None


async def test_messages_out_of_order_are_refused() -> None:
    async def write(data: bytes) -> None: ...

    request = parse_request(GET)
    assert request is not None
    scope = scope_of(request, scheme="http", client=None, server=None, root_path="", state={})
    exchange = Exchange(request, scope, write, lambda close: None)
    with pytest.raises(RuntimeError):
        await exchange.send({"type": "http.response.body", "body": b""})
    await exchange.send({"type": "http.response.start", "status": 200, "headers": []})
    with pytest.raises(RuntimeError):
        await exchange.send({"type": "http.response.start", "status": 200, "headers": []})
    await exchange.send({"type": "http.response.body", "body": b""})
    with pytest.raises(RuntimeError):
        await exchange.send({"type": "http.response.body", "body": b""})
    assert (await exchange.receive())["type"] == "http.request"
    assert (await exchange.receive())["type"] == "http.disconnect"
