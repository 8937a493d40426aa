"""A client that does not read its answer holds neither its connection nor the stop for ever; a slow one gets it all."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from apps.gateway.tls import self_signed_certificate
from apps.kit import server, web
from tests.gateway.running import LIMIT_SECONDS, serving, until

WHOLE = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
# Not plain: Hypercorn's own.
OTHER = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, x\r\n\r\n"
WAYS = pytest.mark.parametrize("question", [WHOLE, OTHER], ids=["straight", "by Hypercorn"])

LOADED = b"/6000000"


class Held:
    """How many answers are being made, and connections held."""

    answers = connections = 0
    server: Any = None


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """As many bytes as the path says, in pieces."""
    if scope["type"] != "http":
        return
    Held.answers += 1
    try:
        length = int(scope["path"][1:])
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % length)],
            }
        )
        for start in range(0, length, 30_000):
            piece = b"x" * min(30_000, length - start)
            await send(
                {"type": "http.response.body", "body": piece, "more_body": start + 30_000 < length}
            )
    finally:
        Held.answers -= 1


@pytest.fixture(autouse=True)
def shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "UNREAD_SECONDS", 0.4)
    monkeypatch.setattr(web, "KEEP_ALIVE_SECONDS", 0.4)
    monkeypatch.setattr(Held, "answers", 0)
    monkeypatch.setattr(Held, "connections", 0)
    run_one = server.PromptServer.run

    async def counting(self: Any) -> None:
        Held.connections += 1
        Held.server = self
        try:
            await run_one(self)
        finally:
            Held.connections -= 1

    monkeypatch.setattr(server.PromptServer, "run", counting)


def run(test: Awaitable[None]) -> None:
    """On the loop that services run on."""

    async def bounded() -> None:
        async with asyncio.timeout(LIMIT_SECONDS * 3):
            await test

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[socket.socket]:
    """One that takes in next to nothing by itself."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        yield client


@WAYS
def test_client_that_reads_nothing_loses_its_connection(question: bytes) -> None:
    async def test() -> None:
        async with serving(answer) as port, client_of(port) as client:
            await until(lambda: Held.connections == 1)
            client.send(question % LOADED)
            await until(lambda: Held.answers == 1)
            await until(lambda: Held.answers == Held.connections == 0)

    run(test())


@WAYS
def test_client_that_leaves_the_end_unread_is_not_waited_for(question: bytes) -> None:
    async def test() -> None:
        async with serving(answer) as port, client_of(port) as client:
            await until(lambda: Held.connections == 1)
            # More and more answers, until one is made but not all sent.
            while not Held.server.writer.transport.get_write_buffer_size():
                client.send(question % b"/30000")
                await asyncio.sleep(0.02)
            assert Held.answers == 0
            await until(lambda: Held.connections == 0)

    run(test())


@WAYS
def test_client_that_reads_nothing_does_not_hold_up_the_stop(
    question: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "UNREAD_SECONDS", 60.0)
    monkeypatch.setattr(web, "GRACEFUL_STOP_SECONDS", 0.5)

    async def test() -> None:
        async with AsyncExitStack() as stack:
            # Closed last, so that it is there while the server stops.
            clients = AsyncExitStack()
            stack.push_async_callback(clients.aclose)
            port = await stack.enter_async_context(serving(answer))
            client = await clients.enter_async_context(client_of(port))
            await until(lambda: Held.connections == 1)
            client.send(question % LOADED)
            await until(lambda: Held.answers == 1)

    run(test())


@pytest.mark.parametrize(("question", "over_tls"), [(WHOLE, False), (WHOLE, True), (OTHER, False)])
def test_client_that_reads_slowly_gets_it_all(
    question: bytes, over_tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The kernel takes in a megabyte and more at a time.
    monkeypatch.setattr(server, "UNREAD_SECONDS", 1.5)
    monkeypatch.setattr(web, "KEEP_ALIVE_SECONDS", 1.5)

    async def test() -> None:
        with self_signed_certificate("x") if over_tls else nullcontext() as tls:
            async with serving(answer, tls) as port:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=context if over_tls else None, limit=50_000
                )
                writer.write(question % b"/12000000")
                await reader.readuntil(b"\r\n\r\n")
                left = 12_000_000
                started = asyncio.get_running_loop().time()
                while left:
                    left -= len(await reader.readexactly(min(left, 200_000)))
                    await asyncio.sleep(0.04)
                # Longer than a client that reads nothing is given.
                assert asyncio.get_running_loop().time() - started > 2.0
                writer.close()

    run(test())
