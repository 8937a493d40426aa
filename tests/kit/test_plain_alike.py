"""What goes straight is read as h11 reads it, and any bytes whatever are answered as Hypercorn alone answers them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import h11
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from apps.kit import server
from apps.kit.plain import parse_request
from tests.gateway.running import LIMIT_SECONDS, serving

METHODS = (
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"PROPFIND",
    b"get",
    b"G@T",
)
TARGETS = (
    b"/",
    b"/a%20b?c=%20d",
    b"/a#b",
    b"/%00",
    b"//x",
    b"/?\x7f",
    b"*",
    b"http://x/",
    b"x:1",
    b"/\xe9",
    b"/a b",
)
NAMES = st.sampled_from(
    b"X-One|host|Host|Content-Length|content-length|Transfer-Encoding|Connection|TE|Expect|Upgrade|X_Y|X:|| X|X |X\t"
    b"|\x0bX|X\0|X\xe9|Proxy-Connection".split(b"|")
)
VALUES = st.one_of(
    st.sampled_from(
        b"|x| \t a  b \t|close|keep-alive|close, keep-alive|Keep-Alive|0|3|+3|-3| 3 |003|3, 3|3,4|0x3|3 3"
        b"|99999999999|999999999999999999999|chunked|gzip, chunked|100-continue|h2c|a\0b|a\rb|a\nb|a\r\n folded|\x0b"
        b"|\x85|caf\xe9|\xb2".split(b"|")
    ),
    st.just(b"a" * 9_000),
    st.binary(max_size=6),
)
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\n\r\n", b""])
BODIES = st.sampled_from(
    [b"", b"", b"abc", b"abcd", b"3\r\nabc\r\n0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]
)


@st.composite
def odd_requests(draw: st.DrawFn) -> bytes:
    """Mostly well formed; each part may be off."""
    version = draw(
        st.sampled_from([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 "])
    )
    start = [draw(st.sampled_from(METHODS)), draw(st.sampled_from(TARGETS)), version]
    lines = [
        b" ".join(start),
        *draw(st.sampled_from([(b"Host: x",)] * 6 + [(), (b"Host: x", b"Host: x")])),
    ]
    lines += [
        name + b":" + value for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=3))
    ]
    body = draw(BODIES)
    if body and draw(st.booleans()):
        lines.append(b"Content-Length: %d" % len(body))
    return b"".join(line + draw(ENDS) for line in [*lines, b""]) + body


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(odd_requests())
def test_what_goes_straight_is_what_h11_reads(data: bytes) -> None:
    plain = parse_request(data)
    if plain is None:
        return
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=16 * 1024)
    reader.receive_data(data)
    request, body = reader.next_event(), b""
    assert isinstance(request, h11.Request)
    while isinstance(event := reader.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert not event.headers
    assert reader.trailing_data == (b"", False)
    assert not reader.they_are_waiting_for_100_continue
    read = (request.method.decode(), request.target, list(request.headers), body)
    assert read == (plain.method, plain.target, plain.headers, plain.body)
    # And the connection goes on.
    reader.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
    reader.send(h11.EndOfMessage())
    reader.start_next_cycle()


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers what it was asked; at /late a little later, at /cut with half of what it says, at /early unread."""
    if scope["type"] != "http":
        return
    body, more, path = b"", scope["path"] != "/early", scope["path"]
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if path == "/late":
        await asyncio.sleep(0.005)
    kept = (
        "method",
        "scheme",
        "path",
        "raw_path",
        "query_string",
        "http_version",
        "headers",
        "extensions",
    )
    told = json.dumps([{name: scope[name] for name in kept}, body.hex()], default=repr).encode()
    length = len(told) + (5 if path == "/cut" else 0)
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"%d" % length)],
        }
    )
    await send({"type": "http.response.body", "body": told[:9], "more_body": True})
    if path != "/cut":
        await send({"type": "http.response.body", "body": told[9:]})


@asynccontextmanager
async def both(straight: list[bytes], tls: Any = None) -> AsyncIterator[tuple[int, int]]:
    """The ports of the server as it is and of Hypercorn alone."""
    alone: list[int] = []
    stand, answer = server.PromptServer._stand_between, server.PromptServer._answer

    def stand_between(self: Any, read_bytes: int) -> bool:
        return self.writer.get_extra_info("sockname")[1] not in alone and stand(self, read_bytes)

    def noting(self: Any, request: Any) -> None:
        straight.append(request.target)
        answer(self, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.PromptServer, "_stand_between", stand_between)
        patch.setattr(server.PromptServer, "_answer", noting)
        async with serving(tell) as ours, serving(tell) as hypercorns:
            alone.append(hypercorns)
            yield ours, hypercorns


class Pair:
    """Both servers, for as many examples as there are."""

    def __init__(
        self, runner: asyncio.Runner, ports: tuple[int, int], straight: list[bytes]
    ) -> None:
        self.runner, self.ports, self.straight = runner, ports, straight

    def ask(self, *pieces: bytes) -> tuple[bytes, bytes]:
        """All that each server answers to these pieces, until it closes or nothing more comes."""

        async def ask_both() -> tuple[bytes, bytes]:
            ours, hypercorns = await asyncio.gather(*(talk(port, pieces) for port in self.ports))
            return ours, hypercorns

        return self.runner.run(ask_both())


LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def talk(port: int, pieces: Sequence[bytes]) -> bytes:
    """All that is answered to the pieces, each sent by itself, until the server closes or waits for more."""
    answered = b""

    async def read_on(reader: asyncio.StreamReader) -> None:
        nonlocal answered
        while piece := await reader.read(2**16):
            answered += piece

    async with asyncio.timeout(LIMIT_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        reading = asyncio.create_task(read_on(reader))
        try:
            for piece in pieces:
                if reading.done():
                    break
                writer.write(piece)
                await asyncio.sleep(0.002)
            # Where it does not close, it waits for the rest of something. In turns of the loop, which is the servers'
            # too: a machine that stands still for a while takes one of them, not all.
            for _ in range(100):
                await asyncio.wait([reading], timeout=0.003)
                if reading.done():
                    break
            return answered if reading.done() else answered + b"waits"
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            # What we sent after it closed may have reset the connection: it closed all the same.
            if not reading.cancelled():
                reading.exception()
            writer.close()


def answers_in(data: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer, and (0, ...) for what was cut short."""
    found: list[tuple[int, bytes]] = []
    while data:
        if data == b"waits":
            return [*found, (-1, data)]
        head, _, data = data.partition(b"\r\n\r\n")
        status = int(head[9:12])
        length = next(
            (
                int(line[15:])
                for line in head.lower().split(b"\r\n")
                if line[:15] == b"content-length:"
            ),
            0,
        )
        # An answer to HEAD: what comes next begins an answer.
        if status < 200 or (length and data.startswith(b"HTTP/1.1 ")) or not data:
            length = 0
        body, data = data[:length], data[length:]
        found.append((status if len(body) == length else 0, body))
    return found


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    straight: list[bytes] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        context = both(straight)
        ports = runner.run(context.__aenter__())
        yield Pair(runner, ports, straight)
        runner.run(context.__aexit__(None, None, None))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=odd_requests())
def test_odd_request_is_answered_as_hypercorn_answers_it(pair: Pair, data: bytes) -> None:
    ours, hypercorns = pair.ask(data, LAST)
    assert answers_in(ours) == answers_in(hypercorns)


PLAIN = (
    b"GET /one?a=1 HTTP/1.1\r\nHost: x\r\nX-Who: 1\r\n\r\n",
    b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"b" * 70_000,
    b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /late HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"GET /k HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, x\r\n\r\n",
    b"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
    b"HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n",
)
ENDINGS = (
    LAST,
    b"\r\n" + LAST,
    b"GET /cut HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /old HTTP/1.0\r\nHost: x\r\n\r\n",
    b"GET /bad HTTP/1.1\r\n\r\n",
)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    requests=st.lists(st.sampled_from(PLAIN), min_size=1, max_size=6),
    ending=st.sampled_from(ENDINGS),
    cuts=st.lists(st.integers(min_value=0, max_value=100_000), max_size=6),
    keeps=st.booleans(),
)
def test_requests_in_any_pieces_are_answered_in_their_order(
    pair: Pair, requests: list[bytes], ending: bytes, cuts: list[int], keeps: bool
) -> None:
    """`keeps`: besides the cuts, each request comes by itself; so both ways take turns on one connection."""
    requests = [*requests, ending]
    stream, ends, end = b"".join(requests), [], 0
    for request in requests:
        ends.append(end := end + len(request))
    places = sorted(
        {0, len(stream), *(cut % len(stream) for cut in cuts), *(ends if keeps else ())}
    )
    pieces = [stream[a:b] for a, b in pairwise(places)]
    ours, hypercorns = pair.ask(*pieces)
    assert answers_in(ours) == answers_in(hypercorns)


@pytest.mark.parametrize("request_bytes", PLAIN[:4] + PLAIN[5:], ids=range(len(PLAIN) - 1))
def test_request_split_anywhere_between_two_others_is_the_same(
    pair: Pair, request_bytes: bytes
) -> None:
    before = PLAIN[0]
    expected = answers_in(pair.ask(before, request_bytes, LAST)[1])
    for cut in range(1, len(request_bytes)):
        pieces = [before, request_bytes[:cut], request_bytes[cut:], LAST]
        ours = pair.runner.run(talk(pair.ports[0], pieces))
        assert answers_in(ours) == expected, cut


def test_plain_ones_did_go_straight(pair: Pair) -> None:
    pair.ask(*PLAIN[:4])
    assert {b"/one?a=1", b"/late", b"/p", b"/s"} <= set(pair.straight)
