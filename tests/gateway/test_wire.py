"""The connections to services: what becomes of answers that are odd, broken, late or too much."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import uvloop

from apps.gateway import wire as wires_module
from apps.gateway.settings import Bounds
from apps.gateway.wire import BadAnswer, ConnectFailed, HungUp, WireAnswer, Wires
from tests.gateway.running import LIMIT_SECONDS, raw_service, until

BOUNDS = Bounds(connect_seconds=0.5, answer_seconds=0.5, total_seconds=5.0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Script:
    """A service that answers each request with these bytes, and counts connections and requests."""

    def __init__(self, *pieces: bytes, closes: bool = False, pause_seconds: float = 0.0) -> None:
        self.pieces = pieces
        self.closes = closes
        self.pause_seconds = pause_seconds
        self.connections = 0
        self.requests: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(self.pause_seconds)
            if self.closes:
                return


@asynccontextmanager
async def wires_to(handle: Handler, bounds: Bounds = BOUNDS) -> AsyncIterator[Wires]:
    async with raw_service(handle) as url, asyncio.timeout(LIMIT_SECONDS):
        wires = Wires(url, bounds)
        try:
            yield wires
        finally:
            wires.close()


async def get(wires: Wires, method: str = "GET") -> tuple[int, bytes]:
    answer = await wires.ask(method, "/", [], b"")
    try:
        return answer.status, await answer.read()
    finally:
        answer.release()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([OK], (200, b"ok")),
        ([OK[:9], OK[9:40], OK[40:]], (200, b"ok")),
        (
            [b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", b"0\r\n\r\n"],
            (200, b"ok"),
        ),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], (204, b"")),
        ([b"HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n"], (304, b"")),
        ([b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n" + OK], (200, b"ok")),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], (200, b"")),
    ],
    ids=["plain", "in pieces", "chunked", "no content", "not modified", "early hints", "empty"],
)
async def test_whole_answer_keeps_its_connection(
    pieces: list[bytes], expected: tuple[int, bytes]
) -> None:
    script = Script(*pieces, pause_seconds=0.01)
    async with wires_to(script) as wires:
        for _ in range(3):
            assert await get(wires) == expected
    assert script.connections == 1


async def test_head_is_answered_without_a_body() -> None:
    script = Script(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    async with wires_to(script) as wires:
        answer = await wires.ask("HEAD", "/", [], b"")
        assert (answer.content_length, await answer.read()) == (5000, b"")
        answer.release()
        await get(wires, "HEAD")
    assert script.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"HTTP/1.1 200 OK\r\n",
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["more behind it", "closing", "closing in chunks", "more behind the chunks", "HTTP/1.0"],
)
async def test_connection_that_cannot_be_trusted_further_is_not_kept(answer: bytes) -> None:
    script = Script(answer)
    async with wires_to(script) as wires:
        for _ in range(3):
            assert await get(wires) == (200, b"ok")
    assert script.connections == 3


async def test_what_comes_while_nobody_asked_is_nobodys_answer() -> None:
    script = Script(OK)
    is_kept = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if script.connections == 0:
            script.connections += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await is_kept.wait()
            writer.write(OK.replace(b"ok", b"no"))
            await reader.read()
        else:
            await script(reader, writer)

    async with wires_to(talk) as wires:
        assert await get(wires) == (200, b"ok")
        is_kept.set()
        await until(lambda: bool(wires._idle[0].data))
        assert await get(wires) == (200, b"ok")
    assert script.connections == 2


async def test_answer_until_the_end_of_the_connection() -> None:
    async with wires_to(Script(b"HTTP/1.1 200 OK\r\n\r\nabc", closes=True)) as wires:
        assert await get(wires) == (200, b"abc")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\nContent-Length: 2\r\n\r\nok",
        b"a" * 100_000,
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
    ids=[
        "short", "chunk short", "half a head", "no HTTP", "switches", "two lengths", "no length", "odd encoding",
        "huge head", "endless head", "NUL", "interim alone",
    ],
)  # fmt: skip
async def test_answer_that_is_none_is_refused_and_its_connection_with_it(answer: bytes) -> None:
    script = Script(answer, closes=True)
    async with wires_to(script) as wires:
        for _ in range(2):
            with pytest.raises(BadAnswer):
                await get(wires)
    assert script.connections == 2


@pytest.mark.parametrize(
    ("method", "times"), [("GET", 2), ("DELETE", 2), ("POST", 1), ("PATCH", 1)]
)
async def test_request_that_met_a_closed_connection_is_sent_again_where_it_may_be(
    method: str, times: int
) -> None:
    script = Script(closes=True)
    async with wires_to(script) as wires:
        with pytest.raises(HungUp):
            await wires.ask(method, "/", [], b"")
    assert len(script.requests) == times


async def test_connection_that_its_service_closed_is_not_taken_up() -> None:
    script = Script(OK, closes=True)
    async with wires_to(script) as wires:
        for _ in range(3):
            answer = await wires.ask("POST", "/", [], b"")
            assert await answer.read() == b"ok"
            answer.release()
            await until(lambda: not any(wire.usable for wire in wires._idle))
    assert len(script.requests) == script.connections == 3


async def test_connection_is_kept_for_its_idle_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(OK)
    async with wires_to(script) as wires:
        await get(wires)
        await get(wires)
        assert script.connections == 1
        monkeypatch.setattr(wires_module, "IDLE_CONNECTION_SECONDS", 0.1)
        await asyncio.sleep(0.15)
        await get(wires)
        assert script.connections == 2


async def test_connections_needed_no_more_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(OK, pause_seconds=0.05)
    async with wires_to(script) as wires:
        await asyncio.gather(*(get(wires) for _ in range(5)))
        assert len(wires._idle) == 5
        monkeypatch.setattr(wires_module, "IDLE_CONNECTION_SECONDS", 0.2)

        async def calm_down() -> None:
            while len(wires._idle) > 1:
                await get(wires)

        await asyncio.wait_for(calm_down(), LIMIT_SECONDS)


async def test_service_that_stands_still_ends_in_time() -> None:
    async with wires_to(Script()) as wires:
        with pytest.raises(TimeoutError):
            await get(wires)
    async with wires_to(Script(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")) as wires:
        with pytest.raises(TimeoutError):
            await get(wires)


async def test_answer_that_drips_in_ends_with_the_whole_time() -> None:
    drops = [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", *[b"a"] * 50]
    async with wires_to(
        Script(*drops, pause_seconds=0.1), replace(BOUNDS, answer_seconds=5.0, total_seconds=1.0)
    ) as wires:
        started = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await get(wires)
        assert 0.9 < asyncio.get_running_loop().time() - started < 3.0


async def test_nobody_there_is_told_apart() -> None:
    with pytest.raises(ConnectFailed):
        await Wires("http://127.0.0.1:1", BOUNDS).ask("GET", "/", [], b"")


async def test_caller_who_hangs_up_takes_the_connection_along() -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        ended.set()

    async with wires_to(listen, replace(BOUNDS, answer_seconds=30.0)) as wires:
        asking = asyncio.create_task(wires.ask("POST", "/", [], b"abc"))
        await asked.wait()
        asking.cancel()
        await ended.wait()
        assert not wires._idle


async def test_answer_left_half_read_takes_the_connection_along() -> None:
    script = Script(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    async with wires_to(script) as wires:
        answer = await wires.ask("GET", "/", [], b"")
        answer.release()
        assert not wires._idle


async def test_service_is_held_back_by_a_reader_that_is_slow() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        while sent < 50_000_000:
            writer.write(b"a" * 100_000)
            await writer.drain()
            sent += 100_000

    async with wires_to(flood, replace(BOUNDS, answer_seconds=5.0)) as wires:
        answer: WireAnswer = await wires.ask("GET", "/", [], b"")
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 30_000_000
        assert sum([len(chunk) async for chunk in answer.chunks()]) == 50_000_000
        answer.release()


@pytest.mark.parametrize(
    ("target", "header"),
    [
        ("/", "a\r\nx-user: admin"),
        ("/", "a\nb"),
        ("/", "a\rb"),
        ("/", "a\0b"),
        ("/a b", "a"),
        ("/a\r\nb", "a"),
        ("", "a"),
    ],
)
async def test_what_would_be_another_request_is_not_sent(target: str, header: str) -> None:
    script = Script(OK)
    async with wires_to(script) as wires:
        with pytest.raises(ValueError, match=r"header|target"):
            await wires.ask("GET", target, [("x", header)], b"")
    assert not script.requests


async def test_request_is_written_whole() -> None:
    script = Script(OK)
    async with wires_to(script) as wires:
        answer = await wires.ask("POST", "/a?b=c", [("x-a", "é")], b"{}")
        assert await answer.read() == b"ok"
        answer.release()
        await wires.ask("DELETE", "/", [], b"")
    authority = wires._authority.encode()
    assert script.requests[0] == (
        b"POST /a?b=c HTTP/1.1\r\nhost: %b\r\nx-a: \xc3\xa9\r\ncontent-length: 2\r\n\r\n"
        % authority
    )
    assert b"content-length: 0\r\n" in script.requests[1]


def test_it_runs_on_the_loop_that_services_run_on() -> None:
    async def ask() -> None:
        script = Script(OK[:20], OK[20:], pause_seconds=0.01)
        async with wires_to(script) as wires:
            for _ in range(3):
                assert await get(wires) == (200, b"ok")
        assert script.connections == 1

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask())
