"""What travels through the gateway."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientPayloadError

from apps.gateway.body import SMALL_BODY_BYTES
from apps.gateway.proxy import Proxy, open_session
from apps.gateway.settings import RequestLimits
from apps.kit.errors import BadRequest, Problem
from tests.gateway.running import (
    PUBLIC_URL,
    Answer,
    Gateway,
    make_settings,
    open_gateway,
    raw_service,
)

READ = "user/Patient.rs"
WRITE = "user/Patient.cud"
LIMITS = RequestLimits(running_requests_per_service=1)


async def test_request_and_answer_pass_through_whole(gateway: Gateway) -> None:
    gateway.patient.answer = Answer(
        201,
        [
            (b"content-type", b"application/json"),
            (b"location", b"/api/patients/7"),
            (b"etag", b'W/"1"'),
        ],
        b"[7]",
    )
    async with gateway.call(
        "POST",
        "/api/patients?a=1&b=%20c",
        scope=WRITE,
        data=b'{"x":1}',
        headers={"Idempotency-Key": "k"},
    ) as answer:
        assert answer.status == 201
        assert await answer.read() == b"[7]"
        assert answer.headers["Location"] == "/api/patients/7"
        assert answer.headers["ETag"] == 'W/"1"'
    (seen,) = gateway.patient.seen
    assert (seen.method, seen.raw_path, seen.query, seen.body) == (
        "POST",
        b"/api/patients",
        b"a=1&b=%20c",
        b'{"x":1}',
    )
    assert seen.values(b"idempotency-key") == [b"k"]
    assert seen.values(b"content-length") == [b"7"]
    assert seen.values(b"x-forwarded-for") == [b"127.0.0.1"]
    assert seen.values(b"x-forwarded-proto") == [b"https"]
    assert seen.values(b"x-forwarded-host") == [PUBLIC_URL.removeprefix("https://").encode()]


async def test_request_id_and_trace_go_both_ways(gateway: Gateway) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Request-Id": "mine-1", "traceparent": trace, "tracestate": "a=b"}
    async with gateway.call("GET", "/api/patients", scope=READ, headers=headers) as answer:
        assert answer.headers.getall("X-Request-Id") == ["mine-1"]
    (seen,) = gateway.patient.seen
    assert seen.values(b"x-request-id") == [b"mine-1"]
    assert seen.values(b"traceparent") == [trace.encode()]
    assert seen.values(b"tracestate") == [b"a=b"]


async def test_large_bodies_stream_both_ways(gateway: Gateway) -> None:
    big = bytes(range(256)) * 4 * 1024 * 3
    gateway.patient.answer = Answer(200, [(b"content-type", b"application/fhir+json")], big)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 100_000):
            yield big[start : start + 100_000]

    for data in (io.BytesIO(big), pieces()):
        async with gateway.call("POST", "/fhir/R4", scope="user/*.cruds", data=data) as answer:
            assert answer.status == 200
            assert await answer.read() == big
    declared, chunked = gateway.patient.seen
    assert declared.body == chunked.body == big
    assert declared.values(b"content-length") == [str(len(big)).encode()]
    assert chunked.values(b"content-length") == []


@pytest.mark.parametrize("status", [204, 304])
async def test_answer_without_content_stays_without(gateway: Gateway, status: int) -> None:
    gateway.patient.answer = Answer(status, [(b"etag", b'W/"3"')], b"")
    async with gateway.call("GET", "/api/patients/7", scope=READ) as answer:
        assert (answer.status, await answer.read()) == (status, b"")
        assert "Content-Length" not in answer.headers
        assert "Transfer-Encoding" not in answer.headers
        assert answer.headers["ETag"] == 'W/"3"'


async def test_head_tells_the_length_and_sends_nothing(gateway: Gateway) -> None:
    gateway.patient.answer = Answer(200, [(b"content-length", b"12345")], b"x" * 12345)
    async with gateway.call("HEAD", "/api/patients", scope=READ) as answer:
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (
            200,
            "12345",
            b"",
        )
    assert gateway.patient.seen[0].method == "HEAD"
    async with gateway.call("GET", "/api/patients", scope=READ) as answer:
        assert len(await answer.read()) == 12345


async def test_redirect_is_the_clients_to_follow(gateway: Gateway) -> None:
    gateway.services["auth"].answer = Answer(
        302, [(b"location", b"https://app.example/cb?code=1")], b""
    )
    async with gateway.call("GET", "/oauth2/authorize?client_id=x") as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "https://app.example/cb?code=1")


async def test_compressed_answer_passes_untouched(gateway: Gateway) -> None:
    gateway.patient.answer = Answer(200, [(b"content-encoding", b"gzip")], b"\x1f\x8bnot really")
    async with gateway.call("GET", "/api/patients", scope=READ) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert await answer.read() == b"\x1f\x8bnot really"


async def test_services_problem_passes_with_its_status(gateway: Gateway) -> None:
    gateway.patient.answer = Answer(
        503,
        [(b"content-type", b"application/problem+json"), (b"retry-after", b"9")],
        b'{"status":503}',
    )
    async with gateway.call("GET", "/api/patients", scope=READ) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "9")
        assert await answer.read() == b'{"status":503}'


async def test_interim_answers_are_passed_over() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
            b"2\r\n\r\nok"
        )
        await writer.drain()

    async with raw_service(early) as url, open_gateway(upstreams={"patient": url}) as gateway:
        async with gateway.call("GET", "/api/patients", scope=READ) as answer:
            assert (answer.status, await answer.read()) == (200, b"ok")


async def test_connections_to_a_service_are_kept_and_taken_up_again() -> None:
    opened = 0

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()

    async with raw_service(keep) as url, open_gateway(upstreams={"patient": url}) as gateway:
        for _ in range(5):
            async with gateway.call("GET", "/api/patients", scope=READ) as answer:
                assert await answer.read() == b"ok"
    assert opened == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "/fhir/R4/Patient",
        "/fhir/R4/Patient/7/$everything",
        "/fhir/R4/Patient/7/_history/2",
        "/fhir/R4/_history",
        "/fhir/R4/Patient/7/Observation",
        "/fhir/R4/Observation/$lastn",
    ],
)
async def test_every_path_and_verb_of_fhir_reaches_the_patient_service(
    gateway: Gateway, method: str, path: str
) -> None:
    headers = {"Content-Type": "application/json-patch+json"}
    async with gateway.call(method, path, scope=READ, headers=headers, data=b"[]") as answer:
        assert answer.status == 200
    (seen,) = gateway.patient.seen
    assert (seen.method, seen.raw_path) == (method, path.encode())
    assert seen.values(b"content-type") == [b"application/json-patch+json"]


async def test_bundle_may_be_sent_with_a_slash_at_the_end(gateway: Gateway) -> None:
    data = io.BytesIO(b"x" * 2_000_000)
    async with gateway.call("POST", "/fhir/R4/", scope=WRITE, data=data) as answer:
        assert answer.status == 200
    assert gateway.patient.seen[0].raw_path == b"/fhir/R4"


def scope_of(*headers: tuple[bytes, bytes], method: str = "POST") -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "raw_path": b"/api/patients",
        "query_string": b"",
        "headers": list(headers),
        "http_version": "1.1",
        "state": {"address": "203.0.113.5"},
    }


async def forward(proxy: Proxy, scope: dict[str, Any], *messages: dict[str, Any]) -> int:
    """The status of the answer; 0 where nothing was answered."""
    left, sent = list(messages), []

    async def receive() -> Any:
        return left.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await proxy.forward(scope, receive, send, "patient", 1_000)
    return int(sent[0]["status"]) if sent else 0


async def test_service_is_free_again_whatever_became_of_the_request() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()

    length = (b"content-length", b"5")
    whole = {"type": "http.request", "body": b"", "more_body": False}
    async with raw_service(answer) as url, open_session(LIMITS) as session:
        upstreams = dict.fromkeys(("auth", "patient"), url)
        proxy = Proxy(session, make_settings(upstreams=upstreams, limits=LIMITS))
        patient = proxy.upstreams["patient"]
        assert await forward(proxy, scope_of(length), {"type": "http.disconnect"}) == 0
        assert patient.running == 0
        with pytest.raises(BadRequest, match="malformed_header"):
            await forward(proxy, scope_of((b"x", b"a\nb"), method="GET"), whole)
        assert patient.running == 0
        assert await forward(proxy, scope_of(method="GET"), whole) == 200
        assert patient.running == 0
        patient.running = 1
        with pytest.raises(Problem, match="patient_busy"):
            await forward(proxy, scope_of(method="GET"), whole)


@pytest.mark.parametrize("length", [SMALL_BODY_BYTES, SMALL_BODY_BYTES + 1])
async def test_answer_that_breaks_off_is_a_problem_only_if_it_is_small(length: int) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nhello" % length)
        await writer.drain()

    async with raw_service(cut) as url, open_gateway(upstreams={"patient": url}) as gateway:
        async with gateway.call("GET", "/api/patients", scope=READ) as answer:
            if length == SMALL_BODY_BYTES:
                assert (await answer.json())["code"] == "patient_failed"
                assert answer.status == 502
                return
            assert answer.status == 200
            with pytest.raises(ClientPayloadError):
                await answer.read()


async def test_connection_of_an_answer_that_nobody_reads_to_its_end_is_closed() -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    async def answer_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello")
        await writer.drain()
        await reader.read()
        closed.set()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with raw_service(answer_on) as url, open_session(LIMITS) as session:
        proxy = Proxy(session, make_settings(upstreams={"patient": url}, limits=LIMITS))
        forwarding = asyncio.create_task(
            proxy.forward(scope_of(method="GET"), receive, send, "patient", 1_000)
        )
        async with asyncio.timeout(5):
            await begun.wait()
            forwarding.cancel()
            await asyncio.wait([forwarding])
            await closed.wait()
        assert proxy.upstreams["patient"].running == 0
