"""What becomes of a request whose service is down, slow, cut short or talks nonsense."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from apps.gateway.settings import RequestLimits
from tests.gateway.running import FAST, Gateway, open_gateway, raw_service

READ = "user/Patient.rs"
WRITE = "user/Patient.cud"


async def test_service_that_is_down_is_503_with_retry_after() -> None:
    async with open_gateway(upstreams={"patient": "http://127.0.0.1:1"}) as gateway:
        for method, path in (("GET", "/api/patients"), ("POST", "/api/patients")):
            async with gateway.call(method, path, scope="user/Patient.cruds") as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"]
                assert answer.content_type == "application/problem+json"
                problem = await answer.json()
                assert problem["code"] == "patient_unavailable"
                assert problem["requestId"] == answer.headers["X-Request-Id"]
        async with gateway.call(
            "GET", "/analytics/v1/registrations", scope="analytics.read"
        ) as answer:
            assert answer.status == 200
        async with gateway.call("GET", "/readyz") as answer:
            assert answer.status == 200
            assert (await answer.json())["degraded"] == ["patient"]


async def test_service_that_never_answers_is_504() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with (
        raw_service(never) as url,
        open_gateway(upstreams={"patient": url}, limits=FAST) as gateway,
    ):
        async with gateway.call("GET", "/fhir/R4/Patient", scope=READ) as answer:
            assert answer.status == 504
            assert answer.headers["Retry-After"]
            outcome = await answer.json()
            assert outcome["resourceType"] == "OperationOutcome"
            assert outcome["issue"][0]["code"] == "timeout"


@pytest.mark.parametrize(
    ("method", "body", "times"), [("GET", None, 2), ("PUT", b"{}", 2), ("POST", b"{}", 1)]
)
async def test_only_an_idempotent_request_is_sent_again_and_once(
    method: str, body: bytes | None, times: int
) -> None:
    sent = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        sent += 1

    async with raw_service(hang_up) as url, open_gateway(upstreams={"patient": url}) as gateway:
        path = "/api/patients" if method == "POST" else "/api/patients/7"
        async with gateway.call(method, path, scope="user/Patient.cruds", data=body) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"]
    assert sent == times


async def test_streamed_request_is_not_sent_again() -> None:
    sent = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        await reader.read(1000)
        sent += 1

    async with raw_service(hang_up) as url, open_gateway(upstreams={"patient": url}) as gateway:
        async with gateway.call(
            "PUT", "/api/patients/7", scope=WRITE, data=b"x" * 500_000
        ) as answer:
            assert answer.status == 503
    assert sent == 1


async def test_answer_cut_short_is_cut_short_for_the_client() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()

    async with raw_service(cut) as url, open_gateway(upstreams={"patient": url}) as gateway:
        with pytest.raises(aiohttp.ClientPayloadError):
            async with gateway.call("GET", "/api/patients", scope=READ) as answer:
                await answer.read()


async def test_short_answer_that_breaks_off_is_a_problem() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
        await writer.drain()

    async with raw_service(cut) as url, open_gateway(upstreams={"patient": url}) as gateway:
        async with gateway.call("GET", "/api/patients", scope=READ) as answer:
            assert answer.status == 502
            assert (await answer.json())["code"] == "patient_failed"


async def test_nonsense_from_a_service_is_502() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
        await writer.drain()

    async with raw_service(nonsense) as url, open_gateway(upstreams={"patient": url}) as gateway:
        async with gateway.call("GET", "/api/patients", scope=READ) as answer:
            assert answer.status == 502


@asynccontextmanager
async def held_request(gateway: Gateway) -> AsyncIterator[None]:
    """A request for patients is under way meanwhile, and answered with 200 at the end."""
    gateway.patient.hold = asyncio.Event()

    async def wait() -> int:
        async with gateway.call("GET", "/api/patients", scope=READ) as answer:
            return answer.status

    held = asyncio.create_task(wait())
    async with asyncio.timeout(10):
        await gateway.patient.reached.wait()
    yield
    gateway.patient.hold.set()
    assert await held == 200


async def test_slow_service_takes_its_own_share_only() -> None:
    limits = RequestLimits(requests_per_minute=1_000_000, running_requests_per_service=1)
    async with open_gateway(limits=limits) as gateway, held_request(gateway):
        async with gateway.call("GET", "/api/patients", scope=READ) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"]
            assert (await answer.json())["code"] == "patient_busy"
        async with gateway.call("GET", "/analytics/v1/lag", scope="analytics.read") as answer:
            assert answer.status == 200


async def test_more_requests_at_once_than_it_bears_are_503() -> None:
    limits = RequestLimits(requests_per_minute=1_000_000, running_requests=1)
    async with open_gateway(limits=limits) as gateway:
        async with held_request(gateway):
            async with gateway.call("GET", "/openapi.json") as answer:
                assert answer.status == 503
                assert (await answer.json())["code"] == "overloaded"
        # One after another there may be as many as one likes, those that were refused too.
        for _ in range(3):
            async with gateway.call("GET", "/openapi.json") as answer:
                assert answer.status == 200
