"""The bodies of requests on a connection: too large, too slow, cut short."""

import asyncio
import io
from dataclasses import replace

import pytest

from apps.gateway.settings import RequestLimits
from tests.gateway.running import (
    FAST,
    LIMIT_SECONDS,
    bearer,
    make_token,
    open_gateway,
    raw_service,
    until,
)

WRITE = "user/Patient.cud"
SMALL = RequestLimits(requests_per_minute=1_000_000, body_bytes=2048, bundle_bytes=4096)


@pytest.mark.parametrize("path", ["/api/patients", "/fhir/R4"])
async def test_body_declared_too_large_is_refused_before_it_is_sent(path: str) -> None:
    async with open_gateway(limits=SMALL) as gateway:
        answer = await gateway.raw(
            b"POST " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
            b"Expect: 100-continue\r\nConnection: close\r\n" + bearer(WRITE) + b"\r\n"
        )
        assert b"HTTP/1.1 413 " in answer
        assert (b"OperationOutcome" in answer) == path.startswith("/fhir")
        assert (b"application/problem+json" in answer) != path.startswith("/fhir")
        assert not gateway.patient.seen


@pytest.mark.parametrize(("path", "limit"), [("/api/patients", 2048), ("/fhir/R4", 4096)])
async def test_body_at_the_limit_passes_and_one_byte_more_does_not(path: str, limit: int) -> None:
    async with open_gateway(limits=SMALL) as gateway:
        for length, status in ((limit, 200), (limit + 1, 413)):
            async with gateway.call("POST", path, scope=WRITE, data=b"x" * length) as answer:
                assert answer.status == status
                await answer.read()

            async def chunks(length: int = length):  # type: ignore[no-untyped-def]
                for start in range(0, length, 1000):
                    yield b"x" * min(1000, length - start)

            async with gateway.call("POST", path, scope=WRITE, data=chunks()) as answer:
                assert answer.status == status
                await answer.read()
        assert [len(seen.body) for seen in gateway.patient.seen] == [limit, limit]


@pytest.mark.parametrize(
    "head", [b"Content-Length: 9000000\r\n", b"Transfer-Encoding: chunked\r\n"]
)
async def test_upload_that_never_ends_gets_its_refusal_and_leaves_nothing_running(
    head: bytes,
) -> None:
    async with open_gateway(limits=SMALL) as gateway:
        before = len(asyncio.all_tasks())
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"POST /api/patients HTTP/1.1\r\nHost: x\r\n" + head + bearer(WRITE) + b"\r\n")
        for _ in range(400):
            writer.write(b"2710\r\n" + b"x" * 10000 + b"\r\n")
            await writer.drain()
        async with asyncio.timeout(LIMIT_SECONDS):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 413 ")
        writer.close()
        await until(lambda: len(asyncio.all_tasks()) <= before)
        assert not gateway.patient.seen


@pytest.mark.parametrize("head", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
async def test_body_that_comes_too_slowly_is_408(head: bytes) -> None:
    async with open_gateway(limits=FAST) as gateway:
        answer = await gateway.raw(
            b"POST /api/patients HTTP/1.1\r\nHost: x\r\n" + head + b"\r\nContent-Type: "
            b"application/json\r\n"
            b"Authorization: Bearer " + make_token(WRITE).encode() + b"\r\n\r\n1\r\n{\r\n"
        )
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"request_timeout" in answer


async def test_body_that_drips_in_is_408() -> None:
    limits = replace(FAST, body_seconds=0.5)
    async with open_gateway(limits=limits) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(
            b"POST /api/patients HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Authorization: Bearer " + make_token(WRITE).encode() + b"\r\n\r\n"
        )
        answer = asyncio.create_task(reader.readuntil(b"\r\n"))
        for _ in range(30):
            writer.write(b"x")
            await asyncio.wait([answer], timeout=0.05)
        assert (await answer).startswith(b"HTTP/1.1 408 ")
        writer.close()
        assert not gateway.patient.seen


async def test_half_a_body_never_looks_whole_to_the_service() -> None:
    begun = asyncio.Event()
    ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"hello")
        begun.set()
        ended.set_result(head + await reader.read())

    async with raw_service(listen) as url, open_gateway(upstreams={"patient": url}) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(
            b"POST /api/patients HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Authorization: Bearer " + make_token(WRITE).encode() + b"\r\n\r\n5\r\nhello\r\n"
        )
        async with asyncio.timeout(5):
            await begun.wait()
            writer.close()
            received = await ended
    assert b"hello" in received
    assert not received.endswith(b"0\r\n\r\n")


async def test_answer_that_comes_before_the_body_was_sent_arrives_whole() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 422 Unprocessable\r\nContent-Length: 100000\r\n\r\n" + b"a" * 50_000
        )
        await writer.drain()
        await reader.read(200_000)
        writer.write(b"a" * 50_000)
        await writer.drain()

    async with raw_service(refuse) as url, open_gateway(upstreams={"patient": url}) as gateway:
        data = io.BytesIO(b"x" * 4_000_000)
        async with gateway.call("POST", "/fhir/R4", scope=WRITE, data=data) as answer:
            assert answer.status == 422
            assert len(await answer.read()) == 100_000


async def test_answer_is_not_cut_short_by_a_client_that_sends_no_more() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 422 Unprocessable\r\nContent-Length: 10\r\n\r\naaaaa")
        await writer.drain()
        await asyncio.sleep(3 * limits.receive_seconds)
        writer.write(b"aaaaa")
        await writer.drain()

    limits = replace(FAST, answer_seconds=5.0, receive_seconds=0.2)
    async with (
        raw_service(refuse) as url,
        open_gateway(upstreams={"patient": url}, limits=limits) as gateway,
    ):
        answer = await gateway.raw(
            b"POST /api/patients HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
            b"Authorization: Bearer " + make_token(WRITE).encode() + b"\r\n\r\n{"
        )
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert answer.endswith(b"\r\n\r\naaaaaaaaaa")
