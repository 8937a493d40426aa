"""What a client may do to its connection: hang up, stall, drip, and be there at a stop."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.gateway.connections import (
    BEARER,
    METADATA,
    connect,
    held_connections,
    read_response,
    run,
    seconds_until_closed,
)
from tests.gateway.running import Gateway, Service, open_gateway, raw_service, serving, until
from tests.ports import free_port


def test_client_that_hangs_up_is_let_go_at_once() -> None:
    async def test() -> None:
        async with open_gateway() as gateway:
            for _ in range(20):
                async with connect(gateway.port) as (reader, writer):
                    writer.write(METADATA)
                    await read_response(reader)
                    assert held_connections(gateway.port)
            await until(lambda: held_connections(gateway.port) == 0)

    run(test)


def test_client_that_hangs_up_before_its_answer_is_let_go_at_once() -> None:
    async def test() -> None:
        async with open_gateway() as gateway:
            gateway.patient.hold = asyncio.Event()
            async with connect(gateway.port) as (_, writer):
                writer.write(METADATA)
                await gateway.patient.reached.wait()
                assert held_connections(gateway.port)
            await until(lambda: held_connections(gateway.port) == 0)
            gateway.patient.hold.set()

    run(test)


def test_client_that_sends_nothing_is_let_go(short_limits: None) -> None:
    async def test() -> None:
        async with open_gateway() as gateway, connect(gateway.port) as (reader, _):
            assert 0.3 < await seconds_until_closed(reader) < 1.0

    run(test)


@pytest.mark.parametrize("first", [b"", METADATA], ids=["first request", "second request"])
def test_client_that_sends_its_head_byte_by_byte_is_let_go(
    short_limits: None, first: bytes
) -> None:
    async def test() -> None:
        async with open_gateway() as gateway, connect(gateway.port) as (reader, writer):
            if first:
                writer.write(first)
                await read_response(reader)
            closed = asyncio.create_task(seconds_until_closed(reader))
            for byte in METADATA:
                writer.write(bytes([byte]))
                await asyncio.wait([closed], timeout=0.05)
                if closed.done():
                    break
            assert 0.3 < await closed < 1.0

    run(test)


def test_blank_lines_do_not_keep_a_connection_open(short_limits: None) -> None:
    async def test() -> None:
        async with open_gateway() as gateway, connect(gateway.port) as (reader, writer):
            closed = asyncio.create_task(seconds_until_closed(reader))
            while not closed.done():
                writer.write(b"\r\n")
                await asyncio.wait([closed], timeout=0.05)
            assert await closed < 1.0

    run(test)


def test_idle_connection_is_closed_after_its_idle_time_and_not_before(short_limits: None) -> None:
    async def test() -> None:
        async with open_gateway() as gateway, connect(gateway.port) as (reader, writer):
            writer.write(METADATA)
            await read_response(reader)
            assert 0.5 < await seconds_until_closed(reader) < 1.5

    run(test)


def test_head_that_never_ends_is_cut_off_by_its_size() -> None:
    async def test() -> None:
        async with open_gateway() as gateway, connect(gateway.port) as (_, writer):
            writer.write(METADATA[:-2] + b"X-Long: ")
            sent = 0
            with suppress(ConnectionError):
                while sent < 10_000_000:
                    writer.write(b"x" * 10_000)
                    await writer.drain()
                    sent += 10_000
                    await asyncio.sleep(0)
            assert sent < 10_000_000

    run(test)


@pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
@pytest.mark.parametrize("refused_by", ["gateway", "service"])
def test_answer_sent_before_the_body_was_read_arrives(connection: bytes, refused_by: str) -> None:
    """A client that writes its whole body before it reads still finds the answer."""
    body = b"x" * 900_000

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        await reader.read(100_000)

    async def test() -> None:
        async with (
            raw_service(refuse) as url,
            open_gateway(upstreams={"patient": url}) as gateway,
            connect(gateway.port) as (reader, writer),
        ):
            for _ in range(1 if connection == b"close" else 2):
                writer.write(
                    b"POST /fhir/R4/Patient HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
                    % len(body)
                    + b"Connection: "
                    + connection
                    + b"\r\n"
                    + (BEARER if refused_by == "service" else b"")
                    + b"\r\n"
                )
                for start in range(0, len(body), 50_000):
                    writer.write(body[start : start + 50_000])
                    await writer.drain()
                    await asyncio.sleep(0.005)
                head, _ = await read_response(reader)
                assert head.startswith(b"http/1.1 401 ")

    run(test)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 50\r\n",
        b"Transfer-Encoding: xchunked\r\n",
    ],
)
async def test_request_that_two_readers_may_frame_differently_closes_the_connection(
    gateway: Gateway, head: bytes
) -> None:
    answer = await gateway.raw(
        b"POST /fhir/R4/Patient HTTP/1.1\r\nHost: x\r\n"
        + BEARER
        + head
        + b"\r\n0\r\n\r\n"
        + METADATA
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not gateway.patient.seen


async def test_requests_sent_together_are_answered_in_their_order(gateway: Gateway) -> None:
    async with connect(gateway.port) as (reader, writer):
        writer.write(
            b"".join(
                b"GET /api/nowhere/%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(10)
            )
        )
        for number in range(10):
            _, body = await read_response(reader)
            assert b'"/api/nowhere/%d"' % number in body


@asynccontextmanager
async def gateway_process(
    patient_url: str,
) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    port = free_port()
    environ = {
        "ENVIRONMENT": "local",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "LOG_FORMAT": "json",
        "AUTH_URL": "http://127.0.0.1:1",
        "PATIENT_URL": patient_url,
        "ANALYTICS_URL": "http://127.0.0.1:1",
        "CONSOLE_URL": "http://127.0.0.1:1",
        "BILLING_TARGET": "127.0.0.1:1",
        "GATEWAY_CLIENT_SECRET": "s",
        "RATE_LIMIT_REQUESTS_PER_MINUTE": "1000000",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "apps.gateway", env=environ, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            while True:
                with suppress(OSError):
                    async with connect(port):
                        break
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield port, process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_stop_under_load_loses_no_request() -> None:
    answered = 0
    lost = 0

    async def ask_until_closed(port: int) -> None:
        nonlocal answered, lost
        async with connect(port) as (reader, writer):
            while True:
                writer.write(METADATA)
                try:
                    head, _ = await read_response(reader)
                except (asyncio.IncompleteReadError, ConnectionError):
                    lost += 1
                    return
                answered += 1
                if b"connection: close" in head:
                    return
                await asyncio.sleep(0.002 * (answered % 5))

    async with serving(Service(), server="uvicorn") as patient_port:
        async with gateway_process(f"http://127.0.0.1:{patient_port}") as (port, process):
            clients = [asyncio.create_task(ask_until_closed(port)) for _ in range(24)]
            await until(lambda: answered > 200)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                await asyncio.gather(*clients)
                assert await process.wait() == 0
    assert lost == 0
