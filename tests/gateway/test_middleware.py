"""What the gateway refuses before a route is looked for: the largest that passes, and more."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from apps.gateway import middleware
from apps.gateway.middleware import GatewayMiddleware
from apps.gateway.rate_limit import RateLimiter
from apps.gateway.settings import RequestLimits
from tests.gateway.running import make_settings

Headers = Sequence[tuple[bytes, bytes]]


class App:
    """Counts what reaches it, and may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope.get("path", scope["type"]))
        if self.error:
            raise self.error
        if scope["type"] == "http":
            await PlainTextResponse("ok")(scope, receive, send)


def gateway(app: App, *, requests: int = 1_000, running: int = 10) -> GatewayMiddleware:
    limits = RequestLimits(running_requests=running)
    return GatewayMiddleware(app, make_settings(limits=limits), RateLimiter(requests))


async def status_of(
    guarded: GatewayMiddleware,
    path: bytes = b"/",
    *,
    headers: Headers = (),
    query: bytes = b"",
) -> int:
    """The status that a GET is answered with."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": path.decode(),
        "raw_path": path,
        "query_string": query,
        "headers": list(headers),
        "client": ("203.0.113.5", 1),
        "state": {},
        "http_version": "1.1",
    }
    await guarded(scope, receive, send)
    return int(sent[0]["status"])


def of_bytes(count: int) -> Headers:
    return [(b"x", b"y" * (count - 1))]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"headers": [(b"x", b"")] * middleware.MAX_HEADERS}, 200),
        ({"headers": [(b"x", b"")] * (middleware.MAX_HEADERS + 1)}, 431),
        ({"headers": of_bytes(middleware.MAX_HEADERS_BYTES)}, 200),
        ({"headers": of_bytes(middleware.MAX_HEADERS_BYTES + 1)}, 431),
        ({"query": b"q" * middleware.MAX_QUERY_BYTES}, 200),
        ({"query": b"q" * (middleware.MAX_QUERY_BYTES + 1)}, 431),
        ({"path": b"/" + b"p" * (middleware.MAX_PATH_BYTES - 1)}, 200),
        ({"path": b"/" + b"p" * middleware.MAX_PATH_BYTES}, 404),
        ({"path": b"/a//b"}, 404),
        ({"path": b"/a/../b"}, 404),
        # The balancer's check passes as it is; whoever came through the balancer is refused.
        ({"path": b"/livez"}, 200),
        ({"path": b"/livez", "headers": [(b"x-forwarded-for", b"6.6.6.6")]}, 404),
    ],
)
async def test_request_is_bounded(request_: dict[str, Any], status: int) -> None:
    app = App()
    assert await status_of(gateway(app), **request_) == status
    assert len(app.paths) == (status == 200)


async def test_slash_after_the_root_of_fhir_is_dropped() -> None:
    app = App()
    await status_of(gateway(app), b"/fhir/R4/")
    assert app.paths == ["/fhir/R4"]


async def test_request_that_fails_is_not_counted_as_running_any_more() -> None:
    app = App(ValueError("odd"))
    guarded = gateway(app, running=1)
    for _ in range(3):
        with pytest.raises(ValueError, match="odd"):
            await status_of(guarded)
    app.error = None
    assert [await status_of(guarded) for _ in range(3)] == [200] * 3


async def test_client_may_spend_its_last_request() -> None:
    guarded = gateway(App(), requests=2)
    assert [await status_of(guarded) for _ in range(3)] == [200, 200, 429]


async def test_what_is_no_request_passes() -> None:
    app = App()
    scope: dict[str, Any] = {"type": "lifespan"}
    unused: Any = None
    await gateway(app)(scope, unused, unused)
    assert app.paths == ["lifespan"]


async def test_as_many_requests_run_at_once_as_the_limit_says() -> None:
    hold = asyncio.Event()

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        await hold.wait()
        await PlainTextResponse("ok")(scope, receive, send)

    limits = RequestLimits(running_requests=2)
    guarded = GatewayMiddleware(wait, make_settings(limits=limits), RateLimiter(1_000))
    running = [asyncio.create_task(status_of(guarded)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await status_of(guarded) == 503
    hold.set()
    assert await asyncio.gather(*running) == [200, 200]
    assert await status_of(guarded) == 200
