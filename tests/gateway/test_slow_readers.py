"""Clients that read nothing of their answer, or read it slowly."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from apps.kit import http_server
from tests.gateway.connections import METADATA, connect, held_connections, run
from tests.gateway.running import Answer, open_gateway, raw_service, until


@asynccontextmanager
async def deaf_client(port: int) -> AsyncIterator[socket.socket]:
    """Connects with a receive buffer that takes next to nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        yield client


@pytest.mark.parametrize(
    ("length", "times"),
    [(8_000_000, 1), (60_000, 60)],
    ids=["one long answer", "many short answers"],
)
@pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
def test_client_that_reads_nothing_is_let_go(
    short_limits: None, length: int, times: int, connection: bytes
) -> None:
    async def test() -> None:
        async with open_gateway() as gateway, deaf_client(gateway.port) as client:
            gateway.patient.answer = Answer(body=b"x" * length)
            last = METADATA[:-2] + b"Connection: " + connection + b"\r\n\r\n"
            requests = METADATA * (times - 1) + last
            await asyncio.get_running_loop().sock_sendall(client, requests)
            await until(lambda: held_connections(gateway.port) == 1)
            started_at = asyncio.get_running_loop().time()
            await until(lambda: held_connections(gateway.port) == 0)
            assert asyncio.get_running_loop().time() - started_at > 0.3

    run(test)


def test_client_that_reads_slowly_gets_everything(
    short_limits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The kernel takes in a megabyte and more at a time.
    monkeypatch.setattr(http_server, "UNREAD_SECONDS", 1.5)
    length = 12_000_000

    async def test() -> None:
        async with open_gateway() as gateway, connect(gateway.port) as (reader, writer):
            gateway.patient.answer = Answer(
                200, [(b"content-length", b"%d" % length)], b"x" * length
            )
            writer.write(METADATA)
            await reader.readuntil(b"\r\n\r\n")
            left = length
            started_at = asyncio.get_running_loop().time()
            while left:
                left -= len(await reader.readexactly(min(left, 200_000)))
                await asyncio.sleep(0.04)
            # Longer than a client that reads nothing is given.
            assert asyncio.get_running_loop().time() - started_at > 2.0

    run(test)


def test_client_that_reads_nothing_holds_the_service_back() -> None:
    sent = 0

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        while sent < 200_000_000:
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async def test() -> None:
        async with (
            raw_service(stream) as url,
            open_gateway(upstreams={"patient": url}) as gateway,
            deaf_client(gateway.port) as client,
        ):
            await asyncio.get_running_loop().sock_sendall(client, METADATA)
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.3)
            assert 0 < sent < 50_000_000

    run(test)
