"""Connections to a gateway, byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvloop

from tests.gateway.running import LIMIT_SECONDS, bearer

METADATA = b"GET /fhir/R4/metadata HTTP/1.1\r\nHost: x\r\n\r\n"
BEARER = bearer("user/*.cruds")


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Runs a test on uvloop, as services do."""

    async def limited() -> None:
        async with asyncio.timeout(LIMIT_SECONDS * 3):
            await test()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(limited())


def held_connections(port: int) -> int:
    """Counts the connections that the server on `port` has not closed (proc_net_tcp(5):
    state 01 and 08).
    """
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(int(row[1].partition(":")[2], 16) == port and row[3] in ("01", "08") for row in rows)


@asynccontextmanager
async def connect(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def read_response(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Reads one response with a declared length; returns its head in lower case and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


async def seconds_until_closed(reader: asyncio.StreamReader) -> float:
    started_at = asyncio.get_running_loop().time()
    with suppress(ConnectionError):
        await reader.read()
    return asyncio.get_running_loop().time() - started_at
