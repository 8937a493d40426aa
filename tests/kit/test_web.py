import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from apps.kit.context import current_context
from apps.kit.errors import Conflict, FieldError, Unauthorized, Unavailable, Unprocessable
from apps.kit.http_server import serve_http
from apps.kit.scopes import Principal
from apps.kit.web import (
    AUTHENTICATED,
    MAX_BODY_BYTES,
    PUBLIC,
    JSONResponse,
    Operation,
    PolicedRoute,
    Readiness,
    create_web_app,
    every_route,
    health_routes,
    principal_of,
    read_json,
    scopes,
    smart,
)

SECRET_TEXT = "Jane Doe"


class FakeVerifier:
    async def verify(self, token: str) -> Principal:
        granted = {"reader": "thing.read", "other": "thing.other", "clinician": "user/Patient.r"}
        if token not in granted:
            raise Unauthorized
        return Principal(token, "web", "aud", frozenset({granted[token]}), (), "jti", 0, 2**40)


async def echo(request: Request) -> Response:
    return JSONResponse(await read_json(request))


async def whoami(request: Request) -> Response:
    return JSONResponse({"subject": principal_of(request).subject})


async def context(request: Request) -> Response:
    found = current_context()
    assert found is not None
    return JSONResponse(found.headers())


async def fail(request: Request) -> Response:
    match request.path_params["how"]:
        case "conflict":
            raise Conflict("mrn_taken", "the number is taken", pointer="/identifier/0")
        case "rules":
            raise Unprocessable(
                "invalid", faults=(FieldError("a", "A", "/a"), FieldError("b", "B", "/b"))
            )
        case "away":
            raise Unavailable("database_unavailable", retry_after_seconds=3)
    raise RuntimeError(SECRET_TEXT)


ROUTES = (
    PolicedRoute("/echo", Operation("POST", echo, PUBLIC), Operation("GET", context, PUBLIC)),
    PolicedRoute("/small", Operation("POST", echo, PUBLIC), max_body_bytes=10),
    PolicedRoute("/fail/{how}", Operation("GET", fail, PUBLIC)),
    PolicedRoute("/me", Operation("GET", whoami, AUTHENTICATED)),
    PolicedRoute("/things", Operation("GET", whoami, scopes("thing.read", "thing.all"))),
    PolicedRoute(
        "/fhir/{type}", Operation("GET", whoami, smart("r")), Operation("POST", whoami, smart("c"))
    ),
)


def make_app(readiness: Readiness | None = None) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        yield {"verifier": FakeVerifier()}

    async def state(request: Request) -> Readiness:
        return readiness or Readiness()

    return create_web_app([*health_routes(state), *ROUTES], lifespan=lifespan)


@asynccontextmanager
async def calling(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            yield client


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with calling(make_app()) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_problem_says_what_where_and_in_which_request(client: httpx.AsyncClient) -> None:
    answer = await client.get("/fail/conflict", headers={"X-Request-Id": "r-1"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()) == (
        409,
        {
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "code": "mrn_taken",
            "detail": "the number is taken",
            "instance": "/fail/conflict",
            "requestId": "r-1",
            "errors": [
                {"pointer": "/identifier/0", "code": "mrn_taken", "message": "the number is taken"}
            ],
        },
    )


async def test_every_broken_rule_is_told(client: httpx.AsyncClient) -> None:
    problem = (await client.get("/fail/rules")).json()
    assert [error["pointer"] for error in problem["errors"]] == ["/a", "/b"]


async def test_unavailable_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    answer = await client.get("/fail/away")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")


async def test_what_nobody_caught_is_a_500_that_tells_nothing(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = await client.get("/fail/unforeseen")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert SECRET_TEXT not in answer.text
    assert SECRET_TEXT not in caplog.text
    (record,) = [record for record in caplog.records if record.message == "request failed"]
    assert "test_web.py" in vars(record)["at"]


async def test_unknown_path_and_wrong_method(client: httpx.AsyncClient) -> None:
    assert (await client.get("/nothing")).json()["status"] == 404
    answer = await client.delete("/echo")
    assert answer.status_code == 405
    assert {method.strip() for method in answer.headers["allow"].split(",")} == {
        "GET",
        "HEAD",
        "POST",
    }
    assert answer.headers["content-type"] == "application/problem+json"


async def test_json_is_read(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert (await client.post("/echo", content=b'{"a":[1]}', headers=headers)).json() == {"a": [1]}


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":1}}', b"\xff", b"[" * 100_000, b'{"a":NaN}'])
async def test_malformed_json_is_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/echo", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


@pytest.mark.parametrize(
    "media_type", ["", "text/plain", "application/xml", "application/json-patch+json"]
)
async def test_other_media_type_is_415(client: httpx.AsyncClient, media_type: str) -> None:
    answer = await client.post("/echo", content=b"{}", headers={"Content-Type": media_type})
    assert answer.status_code == 415


async def test_body_over_the_limit_is_413_however_it_is_sent(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 1024 + 1):
            yield b" " * 1024

    headers = {"Content-Type": "application/json"}
    whole = b'"' + b"a" * MAX_BODY_BYTES + b'"'
    for content in (whole, chunks()):
        answer = await client.post("/echo", content=content, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (
            413,
            "application/problem+json",
        )
    assert (
        await client.post("/small", content=b'"' + b"a" * 9 + b'"', headers=headers)
    ).status_code == 413
    assert (await client.post("/small", content=b'"aaaaaaaa"', headers=headers)).status_code == 200


async def test_request_id_and_trace_come_in_and_go_out(client: httpx.AsyncClient) -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    answer = await client.get("/echo", headers={"X-Request-Id": "r-1", "traceparent": trace})
    assert answer.headers["x-request-id"] == "r-1"
    assert answer.json() == {"x-request-id": "r-1", "traceparent": trace}


@pytest.mark.parametrize("given", ["", "a b", "a" * 65, "é"])
async def test_request_id_that_is_none_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get(
        "/echo", headers={b"X-Request-Id": given.encode(), b"traceparent": b"00-x"}
    )
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", answer.json()["traceparent"])


async def test_token_is_asked_for_verified_and_its_scope_decides(client: httpx.AsyncClient) -> None:
    answer = await client.get("/things")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    for headers in (
        {"Authorization": "Basic cmVhZGVy"},
        {"Authorization": "Bearer "},
        bearer("forged"),
    ):
        assert (await client.get("/things", headers=headers)).status_code == 401
    answer = await client.get("/things", headers=bearer("other"))
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert (await client.get("/things", headers=bearer("reader"))).json() == {"subject": "reader"}
    assert (await client.get("/me", headers=bearer("other"))).json() == {"subject": "other"}


async def test_smart_scope_is_that_of_the_path_and_the_method(client: httpx.AsyncClient) -> None:
    assert (await client.get("/fhir/Patient", headers=bearer("clinician"))).status_code == 200
    assert (await client.get("/fhir/Condition", headers=bearer("clinician"))).status_code == 403
    assert (await client.post("/fhir/Patient", headers=bearer("clinician"))).status_code == 403


@pytest.mark.parametrize(
    ("readiness", "status", "word"),
    [
        (Readiness(), 200, "ok"),
        (Readiness(degraded=("kafka",)), 200, "degraded"),
        (Readiness(failed=("database",), degraded=("kafka",)), 503, "failed"),
    ],
)
async def test_readiness_fails_for_its_own_only(
    readiness: Readiness, status: int, word: str
) -> None:
    async with calling(make_app(readiness)) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (status, word)
        assert (await client.get("/livez")).status_code == 200


def test_route_without_a_policy_is_found() -> None:
    app = make_app()
    assert {route.path for route in every_route(app)} >= {"/livez", "/readyz", "/echo"}
    app.router.routes.append(Route("/unguarded", echo))
    with pytest.raises(TypeError, match="unguarded"):
        every_route(app)


async def test_stop_lets_what_runs_finish(unused_tcp_port: int) -> None:
    begun, finish, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Response:
        begun.set()
        await finish.wait()
        return JSONResponse("done")

    app = create_web_app([PolicedRoute("/slow", Operation("GET", slow, PUBLIC))], lifespan=None)
    server = asyncio.create_task(serve_http(app, "127.0.0.1", unused_tcp_port, stop))
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{unused_tcp_port}", trust_env=False
    ) as client:
        async with asyncio.timeout(10):
            while not begun.is_set():
                call = asyncio.create_task(client.get("/slow"))
                await asyncio.wait(
                    {call, asyncio.create_task(begun.wait())}, return_when=asyncio.FIRST_COMPLETED
                )
                if not begun.is_set():
                    call.exception()  # not listening yet
            stop.set()
            await asyncio.sleep(0)
            finish.set()
            assert (await call).json() == "done"
    async with asyncio.timeout(10):
        await server
