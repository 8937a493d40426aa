"""What a hostile client tries. Each must end at the gateway, or reach the service
without its sting.
"""

import asyncio
import contextlib
import json

import pytest

from tests.gateway.running import (
    PUBLIC_URL,
    Gateway,
    bearer,
    make_token,
    open_gateway,
    raw_service,
    signing_key,
)

READ = "user/Patient.rs"
WRITE = "user/Patient.cud"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "missing_token"),
        ("", "missing_token"),
        ("nonsense", "invalid_token"),
        (make_token(READ, exp=1), "invalid_token"),
        (make_token(READ, key=signing_key("other")), "invalid_token"),
        (make_token(READ, iss="https://evil.example"), "invalid_token"),
        (make_token(READ, aud="billing"), "invalid_token"),
    ],
    ids=["none", "empty", "nonsense", "expired", "other key", "other issuer", "other audience"],
)
async def test_call_without_a_good_token_is_401_and_ends_here(
    gateway: Gateway, token: str | None, code: str
) -> None:
    for path in (
        "/api/patients",
        "/billing/v1/accounts?patient=x",
        "/analytics/v1/registrations",
        "/auth/v1/users",
    ):
        async with gateway.call("GET", path, token=token) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert answer.content_type == "application/problem+json"
            assert (await answer.json())["code"] == code
    assert not any(service.seen for service in gateway.services.values())


async def test_options_are_asked_of_the_service_that_knows_the_path(gateway: Gateway) -> None:
    async with gateway.call("OPTIONS", "/fhir/R4/Patient/7", scope="user/*.rs"):
        pass
    assert [request.method for request in gateway.services["patient"].seen] == ["OPTIONS"]
    assert not gateway.billing.calls


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/api/patients", "user/Patient.c"),
        ("POST", "/api/patients", READ),
        ("DELETE", "/api/patients/7", "user/Patient.crus"),
        ("GET", "/fhir/R4/Observation", "billing.read openid"),
        ("POST", "/fhir/R4", "billing.write analytics.read openid"),
        ("GET", "/billing/v1/accounts?patient=x", "user/*.cruds analytics.read"),
        ("POST", "/billing/v1/accounts", "billing.read"),
        ("GET", "/analytics/v1/registrations", "user/*.cruds billing.read"),
        ("POST", "/analytics/v1/dead-letters/7/discard", "analytics.read"),
        ("GET", "/auth/v1/users", "user/*.cruds"),
        ("GET", "/api/patients", "patient/*.rs"),
    ],
)
async def test_call_without_the_scope_is_403_and_ends_here(
    gateway: Gateway, method: str, path: str, scope: str
) -> None:
    async with gateway.call(method, path, scope=scope) as answer:
        assert answer.status == 403
        assert "insufficient_scope" in answer.headers["WWW-Authenticate"]
        body = await answer.json(content_type=None)
        if path.startswith("/fhir/"):
            assert answer.content_type == "application/fhir+json"
            assert body["issue"][0]["code"] == "forbidden"
        else:
            assert body["code"] == "insufficient_scope"
    assert not any(service.seen for service in gateway.services.values())
    assert not gateway.billing.calls


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 50\r\n",
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b" Transfer-Encoding: chunked\r\n",
        b"X: 1\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ],
)
async def test_smuggled_request_reaches_no_service(head: bytes) -> None:
    requests: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            data = await reader.readuntil(b"\r\n\r\n")
            requests.append(data)
            if b"transfer-encoding" in data.lower():
                await reader.readuntil(b"0\r\n\r\n")
            elif b"content-length" in data.lower():
                length = int(data.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

    async with raw_service(listen) as url, open_gateway(upstreams={"patient": url}) as gateway:
        smuggled = b"GET /oauth2/revocations HTTP/1.1\r\nHost: x\r\n\r\n"
        with contextlib.suppress(ConnectionError):
            await gateway.raw(
                b"POST /api/patients HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                + bearer(WRITE)
                + head
                + b"\r\n0\r\n\r\n"
                + smuggled
            )
        # What comes next on the pool's connection is a request of its own.
        async with gateway.call("GET", "/api/patients", scope=READ) as answer:
            assert answer.status == 200
    assert not any(b"revocations" in request.split(b"\r\n")[0] for request in requests)
    for request in requests:
        assert not (
            b"content-length" in request.lower() and b"transfer-encoding" in request.lower()
        )


@pytest.mark.parametrize(
    "path",
    [
        "/oauth2/revocations",
        "/oauth2/revocations/",
        "/oauth2/token/../revocations",
        "/oauth2/token/%2e%2e/revocations",
        "/oauth2/%72evocations",
        "/oauth2//token",
        "//oauth2/token",
        "/./oauth2/token",
        "/oauth2/token/",
        "/OAUTH2/token",
        "/api/patients/..%2f..%2foauth2%2frevocations",
        "/api/patients/..%5c..%5clivez",
        "/api/patients/%2e%2e/livez",
        "/api/patients/..",
        "/api/patients/../livez",
        "/api/patients/.%2e/livez",
        "/api/patients/a%2fb",
        "/api/patients/a%00b",
        "/api/patients/a%0d%0aX:1",
        "/api/patients/a%252fb",
        "/api/patients/a/b",
        "/api/patients/",
        "/api/patients\\7",
        "/fhir/R4/Patient/7/../../../livez",
        "/%72eadyz",
        "/%6civez",
        "/livez%2f",
        "/fhir/R4/%2e%2e/livez",
        "/fhir/R4/Patient/",
        "/fhir/R4//Patient",
        "/fhir/r4/Patient",
        "/analytics/v1/../../livez",
        "http://evil.example/api/patients",
        "/" + "a" * 3000,
    ],
)
async def test_path_that_is_not_in_the_table_is_404_and_reaches_no_service(
    gateway: Gateway, path: str
) -> None:
    scopes = "user/*.cruds billing.read analytics.read admin"
    target = path.encode()
    for method in (b"GET", b"POST"):
        answer = await gateway.raw(
            method
            + b" "
            + target
            + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n"
            + bearer(scopes)
            + b"\r\n"
        )
        assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), answer
    assert not any(service.seen for service in gateway.services.values())


async def test_health_is_hidden_from_what_came_through_the_balancer(gateway: Gateway) -> None:
    for path in ("/livez", "/readyz"):
        async with gateway.call("GET", path) as answer:
            assert answer.status == 200
        async with gateway.call("GET", path, headers={"X-Forwarded-For": "203.0.113.9"}) as answer:
            assert answer.status == 404
            assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/patients", {"GET", "HEAD", "POST"}),
        ("POST", "/api/patients/7", {"GET", "HEAD", "PUT", "DELETE"}),
        ("PUT", "/fhir/R4", {"GET", "HEAD", "POST"}),
        ("TRACE", "/fhir/R4/metadata", {"GET", "HEAD"}),
        ("GET", "/oauth2/token", {"POST"}),
        ("PUT", "/billing/v1/accounts", {"GET", "HEAD", "POST"}),
        ("TRACE", "/api/patients", {"GET", "HEAD", "POST"}),
        ("PROPFIND", "/docs", {"GET", "HEAD"}),
    ],
)
async def test_wrong_method_is_405_with_allow(
    gateway: Gateway, method: str, path: str, allowed: set[str]
) -> None:
    async with gateway.call(method, path, scope="user/*.cruds") as answer:
        assert answer.status == 405
        assert {name.strip() for name in answer.headers["Allow"].split(",")} == allowed
        body = await answer.json(content_type=None)
        assert body.get("resourceType", "problem") == (
            "OperationOutcome" if "/fhir/" in path else "problem"
        )
    assert not any(service.seen for service in gateway.services.values())


async def test_header_that_is_no_text_is_400(gateway: Gateway) -> None:
    answer = await gateway.raw(
        b"GET /api/patients HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Note: \xff\xfe\r\n"
        + bearer(READ)
        + b"\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not gateway.patient.seen


async def test_query_reaches_the_service_as_it_was_sent(gateway: Gateway) -> None:
    query = "name=%C3%A9&_sort=-birthdate&x=a+b%2Bc&y=%2F..%2F&z=%00#fragment"
    await gateway.raw(
        b"GET /fhir/R4/Patient?"
        + query.encode()
        + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        + bearer(READ)
        + b"\r\n"
    )
    assert gateway.patient.seen[0].query == query.partition("#")[0].encode()


async def test_error_tells_nothing_of_the_inside() -> None:
    async with open_gateway(upstreams={"patient": "http://127.0.0.1:1"}) as gateway:
        async with gateway.call("GET", "/api/patients", scope=READ) as answer:
            text = await answer.text()
    assert "127.0.0.1" not in text
    assert "Traceback" not in text
    assert set(json.loads(text)) <= {
        "type",
        "title",
        "status",
        "code",
        "instance",
        "requestId",
        "detail",
    }
    assert PUBLIC_URL not in text


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (b"/openapi.json", b"".join(b"X-%d: 1\r\n" % number for number in range(120))),
        (b"/openapi.json", b"X-Long: " + b"x" * 40_000 + b"\r\n"),
        (b"/openapi.json?" + b"x" * 17_000, b""),
    ],
    ids=["too many fields", "too long a field", "too long a query"],
)
async def test_head_over_its_limits_is_431(gateway: Gateway, target: bytes, headers: bytes) -> None:
    answer = await gateway.raw(
        b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 431 ")
