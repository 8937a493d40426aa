"""What travels through the gateway, and what becomes of services that fail it."""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from apps.gateway.settings import RequestLimits
from tests.gateway.running import PUBLIC_URL, Answer, Gateway, make_token, open_gateway, raw_service

READ = "user/Patient.rs"
WRITE = "user/Patient.cud"
FAST = RequestLimits(
    requests_per_minute=1_000_000, answer_seconds=0.3, receive_seconds=0.3, connect_seconds=0.3
)


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


async def test_slow_service_takes_its_own_share_only() -> None:
    limits = RequestLimits(requests_per_minute=1_000_000, running_requests_per_service=1)
    async with open_gateway(limits=limits) as gateway:
        gateway.patient.hold = asyncio.Event()

        async def wait() -> int:
            async with gateway.call("GET", "/api/patients", scope=READ) as answer:
                return answer.status

        held = asyncio.create_task(wait())
        await gateway.patient.reached.wait()
        async with gateway.call("GET", "/api/patients", scope=READ) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"]
            assert (await answer.json())["code"] == "patient_busy"
        async with gateway.call("GET", "/analytics/v1/lag", scope="analytics.read") as answer:
            assert answer.status == 200
        gateway.patient.hold.set()
        assert await held == 200


async def test_more_requests_at_once_than_it_bears_are_503() -> None:
    limits = RequestLimits(requests_per_minute=1_000_000, running_requests=1)
    async with open_gateway(limits=limits) as gateway:
        gateway.patient.hold = asyncio.Event()

        async def wait() -> int:
            async with gateway.call("GET", "/api/patients", scope=READ) as answer:
                return answer.status

        held = asyncio.create_task(wait())
        async with asyncio.timeout(10):
            await gateway.patient.reached.wait()
        async with gateway.call("GET", "/openapi.json") as answer:
            assert answer.status == 503
            assert (await answer.json())["code"] == "overloaded"
        gateway.patient.hold.set()
        assert await held == 200

        # One after another there may be as many as one likes, those that were refused too.
        for _ in range(3):
            async with gateway.call("GET", "/openapi.json") as answer:
                assert answer.status == 200


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
