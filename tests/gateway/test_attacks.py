"""What a hostile client tries. Each must end at the gateway, or reach the service
without its sting.
"""

import asyncio
import contextlib
import json

import pytest

from apps.gateway.settings import RequestLimits
from tests.gateway.running import (
    LIMIT_SECONDS,
    PUBLIC_URL,
    Answer,
    Gateway,
    Service,
    make_settings,
    make_token,
    open_gateway,
    raw_service,
    serving,
    signing_key,
    until,
)

READ = "user/Patient.rs"
WRITE = "user/Patient.cud"
SMALL = RequestLimits(requests_per_minute=1_000_000, body_bytes=2048, bundle_bytes=4096)


def bearer(scope: str) -> bytes:
    return b"Authorization: Bearer " + make_token(scope).encode() + b"\r\n"


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


async def test_identity_headers_of_the_client_are_dropped(gateway: Gateway) -> None:
    forged = {
        "X-User-Id": "admin",
        "X_User_Id": "admin",
        "X-User-Token": "t",
        "X-Forwarded-User": "admin",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "for=6.6.6.6;host=evil.example",
        "X-Real-IP": "6.6.6.6",
        "X-Original-URL": "/oauth2/revocations",
        "X-Rewrite-URL": "/oauth2/revocations",
        "X-HTTP-Method-Override": "DELETE",
        "X-Amzn-Oidc-Identity": "admin",
        "X-Auth-Request-Email": "a@b.example",
        "Remote-User": "admin",
        "Via": "1.1 evil",
        "Cookie": "session=stolen",
        "Host": "evil.example",
    }
    async with gateway.call("GET", "/api/patients", scope=READ, headers=forged) as answer:
        assert answer.status == 200
    (seen,) = gateway.patient.seen
    values = b"\n".join(name + b": " + value for name, value in seen.headers).lower()
    for sting in (
        b"admin",
        b"6.6.6.6",
        b"evil",
        b"gopher",
        b"delete",
        b"stolen",
        b"a@b.example",
        b"x-user-token",
    ):
        assert sting not in values
    assert seen.values(b"x-forwarded-for") == [b"127.0.0.1"]


async def test_client_address_is_the_rightmost_that_no_trusted_proxy_has() -> None:
    settings = make_settings(trusted_proxies=())
    assert settings.trusted_proxies == ()
    from ipaddress import ip_network

    async with open_gateway(
        trusted_proxies=(ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"))
    ) as gateway:
        headers = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.0.3.4"}
        async with gateway.call("GET", "/api/patients", scope=READ, headers=headers):
            pass
        assert gateway.patient.seen[0].values(b"x-forwarded-for") == [b"203.0.113.9"]


async def test_hop_by_hop_headers_end_here_both_ways(gateway: Gateway) -> None:
    gateway.patient.answer = Answer(
        200,
        [
            (b"connection", b"x-secret"),
            (b"x-secret", b"1"),
            (b"keep-alive", b"timeout=5"),
            (b"proxy-authenticate", b"Basic"),
            (b"server", b"internal/1.0"),
            (b"x-powered-by", b"internal"),
            (b"via", b"1.1 internal"),
            (b"access-control-allow-origin", b"*"),
            (b"set-cookie", b"a=b"),
            (b"x-kept", b"1"),
        ],
    )
    headers = {
        "Connection": "keep-alive, X-Private , if-match",
        "X-Private": "1",
        "If-Match": 'W/"1"',
        "Keep-Alive": "timeout=5",
        "TE": "trailers",
        "Proxy-Authorization": "Basic x",
        "Proxy-Connection": "keep-alive",
        "Trailer": "X-T",
        "X-Kept": "1",
    }
    async with gateway.call("GET", "/api/patients", scope=READ, headers=headers) as answer:
        for name in (
            "X-Secret",
            "Keep-Alive",
            "Proxy-Authenticate",
            "Server",
            "X-Powered-By",
            "Via",
            "Set-Cookie",
        ):
            assert name not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["X-Kept"] == "1"
        assert len(answer.headers.getall("Date")) == 1
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    names = {name for name, _ in gateway.patient.seen[0].headers}
    assert not names & {
        b"x-private",
        b"if-match",
        b"keep-alive",
        b"te",
        b"proxy-authorization",
        b"proxy-connection",
        b"trailer",
        b"connection",
    }
    assert b"x-kept" in names


async def test_cookies_are_the_auth_services_alone(gateway: Gateway) -> None:
    gateway.services["auth"].answer = Answer(
        200, [(b"set-cookie", b"sid=1; HttpOnly"), (b"set-cookie", b"b=2")]
    )
    async with gateway.call("GET", "/oauth2/authorize", headers={"Cookie": "sid=0"}) as answer:
        assert answer.headers.getall("Set-Cookie") == ["sid=1; HttpOnly", "b=2"]
    assert gateway.services["auth"].seen[0].values(b"cookie") == [b"sid=0"]


async def test_one_callers_cookies_are_never_anothers() -> None:
    auth = Service(Answer(200, [(b"set-cookie", b"sid=1; HttpOnly")]))
    # By name: a jar would not keep an address's cookies anyway.
    async with (
        serving(auth) as port,
        open_gateway(upstreams={"auth": f"http://localhost:{port}"}) as gateway,
    ):
        for _ in range(2):
            async with gateway.call("GET", "/oauth2/authorize"):
                pass
    assert [seen.values(b"cookie") for seen in auth.seen] == [[], []]


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
