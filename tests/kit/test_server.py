import asyncio
import os

from starlette.types import Receive, Scope, Send

from tests.gateway.running import LIMIT_SECONDS, serving, until


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send(
            {"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"2")]}
        )
        await send({"type": "http.response.body", "body": b"no"})


async def test_connection_that_its_client_closed_holds_nothing() -> None:
    async with serving(refuse) as port:
        descriptors, tasks = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"no")
            writer.close()
            await writer.wait_closed()
        await until(
            lambda: (
                len(os.listdir("/proc/self/fd")) <= descriptors
                and len(asyncio.all_tasks()) <= tasks
            )
        )


async def test_answer_given_before_the_body_arrives_and_the_connection_goes_on() -> None:
    body = b"x" * 3_000_000
    async with serving(refuse) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
            await writer.drain()
            async with asyncio.timeout(LIMIT_SECONDS):
                assert (await reader.readuntil(b"no")).startswith(b"HTTP/1.1 401 ")
        writer.close()


async def test_body_that_never_ends_holds_up_neither_connection_nor_stop() -> None:
    async with serving(refuse) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(200):
            writer.write(b"2710\r\n" + b"x" * 10000 + b"\r\n")
            await writer.drain()
        async with asyncio.timeout(LIMIT_SECONDS):
            assert (await reader.read()).endswith(b"no")
        writer.close()


async def test_head_and_small_body_arrive_as_one() -> None:
    async with serving(refuse) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(20):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(LIMIT_SECONDS):
                assert (await reader.read(10_000)).endswith(b"\r\n\r\nno")
        writer.close()


async def test_client_that_reads_nothing_holds_the_answer_back() -> None:
    sent = 0
    chunk = b"x" * 1000

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100_000):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            sent += len(chunk)
            await asyncio.sleep(0)

    async with serving(stream) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.read(1)
        before = -1
        # Until it stands still.
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert 0 < sent < 20_000_000
        writer.close()
