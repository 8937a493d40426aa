"""No answer of one request is ever another's: what becomes of connections that waited in the pool."""

import asyncio
import re
from collections.abc import Callable
from itertools import pairwise

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.gateway.settings import Bounds
from apps.gateway.wire import AHEAD_BYTES, BadAnswer, HungUp, Wires
from tests.gateway.running import LIMIT_SECONDS, raw_service, until

BOUNDS = Bounds(connect_seconds=1.0, answer_seconds=0.3, total_seconds=2.0)
# With its last byte it is too much.
LARGE_BYTES = AHEAD_BYTES + 1
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE_BYTES + b"a" * LARGE_BYTES
FOREIGN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nothers"
LOOPS = pytest.mark.parametrize(
    "new_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"]
)


@LOOPS
@pytest.mark.parametrize("behind", [FOREIGN, b""], ids=["more comes unasked", "it ends"])
def test_connection_that_was_held_back_is_not_kept_unheard(
    new_loop: Callable[[], asyncio.AbstractEventLoop], behind: bytes
) -> None:
    async def ask() -> None:
        connections = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            unasked = connections == 1
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(LARGE)
                await writer.drain()
                if unasked:
                    await asyncio.sleep(0.05)
                    writer.write(behind)
                    return

        async with raw_service(answer) as url, asyncio.timeout(LIMIT_SECONDS):
            wires = Wires(url, BOUNDS)
            for _ in range(2):
                whole = await wires.ask("POST", "/", [], b"")
                # All of it is there before the first byte is looked at.
                held = whole._wire.data
                await until(lambda held=held: len(held) == LARGE_BYTES)  # type: ignore[misc]
                assert await whole.read() == b"a" * LARGE_BYTES
                whole.release()
                await asyncio.sleep(0.1)
            wires.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ask())


class Services:
    """Answers each request with its own number, in one of many ways; `plans` says which, request by request."""

    def __init__(self, plans: list[tuple[str, list[int]]]) -> None:
        self.plans = iter(plans)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await reader.readuntil(b"\r\n\r\n")
            match = re.match(rb"[A-Z]+ /([0-9]+) ", asked)
            assert match
            number = match[1]
            way, cuts = next(self.plans, ("plain", []))
            answer = b"HTTP/1.1 200 OK\r\n%b\r\n" % {
                "chunked": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n"
                % (len(number), number),
                "trailers": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nX: y\r\n"
                % (len(number), number),
                "short": b"Content-Length: %d\r\n\r\n%b" % (len(number) + 5, number),
                "until the end": b"\r\n" + number,
                "closing": b"Connection: close\r\nContent-Length: %d\r\n\r\n%b"
                % (len(number), number),
            }.get(way, b"Content-Length: %d\r\n\r\n%b" % (len(number), number))
            # The line end that the format put behind a body.
            if way not in ("chunked", "trailers"):
                answer = answer[:-2]
            if way == "interim":
                answer = (
                    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + answer
                )
            if way == "more":
                answer += FOREIGN
            if way == "none":
                return
            if way == "late":
                await asyncio.sleep(0.5)
            places = sorted({0, len(answer), *(cut % len(answer) for cut in cuts)})
            for a, b in pairwise(places):
                writer.write(answer[a:b])
                await asyncio.sleep(0.001)
            if way in ("short", "until the end", "silent end"):
                return


WAYS = (
    "plain",
    "chunked",
    "trailers",
    "short",
    "until the end",
    "closing",
    "interim",
    "more",
    "none",
    "silent end",
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    plans=st.lists(
        st.tuples(st.sampled_from((*WAYS, "late")), st.lists(st.integers(0, 300), max_size=4)),
        min_size=1,
        max_size=12,
    ),
    ends=st.lists(
        st.sampled_from(["read", "read", "read", "leave", "cancel"]), min_size=12, max_size=12
    ),
    together=st.integers(1, 4),
)
def test_every_answer_is_the_asked_ones_or_a_failure(
    plans: list[tuple[str, list[int]]], ends: list[str], together: int
) -> None:
    async def ask_one(wires: Wires, number: int, end: str) -> None:
        async def read() -> None:
            answer = await wires.ask("GET" if number % 2 else "POST", f"/{number}", [], b"")
            try:
                if end != "leave":
                    assert await answer.read() == str(number).encode()
            finally:
                answer.release()

        try:
            if end == "cancel":
                task = asyncio.create_task(read())
                await asyncio.sleep(0.001 * (number % 5))
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.result()
            else:
                await read()
        except (HungUp, BadAnswer, TimeoutError):
            pass

    async def ask_all() -> None:
        async with raw_service(Services(plans)) as url, asyncio.timeout(LIMIT_SECONDS * 2):
            wires = Wires(url, BOUNDS)
            for first in range(100, 112, together):
                group = range(first, min(first + together, 112))
                await asyncio.gather(
                    *(ask_one(wires, number, ends[number - 100]) for number in group)
                )
            wires.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask_all())
