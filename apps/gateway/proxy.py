"""Passes a request on to a service over HTTP and its answer back; bodies stream both ways, everything is bounded."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from yarl import URL

from apps.gateway.body import SMALL_BODY_BYTES, ClientGone, RequestBody
from apps.gateway.headers import request_headers, response_headers
from apps.gateway.settings import Bounds, Settings
from apps.gateway.wire import (
    IDLE_CONNECTION_SECONDS,
    BadAnswer,
    ConnectFailed,
    HungUp,
    WireAnswer,
    Wires,
)
from apps.kit.context import current_context
from apps.kit.errors import BadGateway, BadRequest, Problem, Unavailable

DNS_CACHE_SECONDS = 10
_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

WITH_PAGES = ("auth", "console")

# TimeoutError is an OSError.
FAILURES = (ConnectFailed, HungUp, BadAnswer, aiohttp.ClientError, OSError)

log = logging.getLogger(__name__)


class GatewayTimeout(Problem):
    status = 504


@dataclass(slots=True)
class Upstream:
    """One HTTP service. `reachable` is what the last request found."""

    name: str
    url: str
    wires: Wires
    # Only auth and the console have pages, and so cookies.
    cookies: bool
    running: int = 0
    reachable: bool = True


class Proxy:
    """`forward` is an ASGI application but for its two last parameters."""

    def __init__(self, session: aiohttp.ClientSession, settings: Settings) -> None:
        # For bodies that stream to a service.
        self._session = session
        self._bounds = settings.bounds
        public = urlsplit(settings.public_url)
        self._forwarded = (
            ("x-forwarded-proto", public.scheme),
            ("x-forwarded-host", public.netloc),
        )
        self.upstreams: Mapping[str, Upstream] = {
            name: Upstream(name, url, Wires(url, settings.bounds), cookies=name in WITH_PAGES)
            for name, url in settings.upstreams.items()
        }

    def close(self) -> None:
        for upstream in self.upstreams.values():
            upstream.wires.close()

    async def forward(
        self, scope: Scope, receive: Receive, send: Send, name: str, max_body_bytes: int
    ) -> None:
        """Raises Problem as long as no answer has begun; afterwards it breaks the answer off."""
        upstream = self.upstreams[name]
        body = RequestBody(scope, receive, max_bytes=max_body_bytes, bounds=self._bounds)
        if upstream.running >= self._bounds.running_requests_per_service:
            raise Unavailable(f"{name}_busy")
        upstream.running += 1
        try:
            await self._exchange(scope, body, send, upstream)
        except ClientGone:
            return
        finally:
            upstream.running -= 1

    async def _exchange(
        self, scope: Scope, body: RequestBody, send: Send, upstream: Upstream
    ) -> None:
        headers = request_headers(scope["headers"], cookies=upstream.cookies)
        headers.append(("x-forwarded-for", scope["state"]["address"]))
        headers.extend(self._forwarded)
        context = current_context()
        if context:
            headers.extend(context.headers().items())
        answer = await self._ask(scope, body, headers, upstream)
        upstream.reachable = True
        try:
            await _pass_back(answer, send, upstream)
        finally:
            # Given back to the pool where it was read to its end, closed otherwise.
            answer.release()

    async def _ask(
        self, scope: Scope, body: RequestBody, headers: list[tuple[str, str]], upstream: Upstream
    ) -> "WireAnswer | StreamedAnswer":
        method, target = scope["method"], _target(scope)
        try:
            if body.is_small:
                return await upstream.wires.ask(method, target, headers, await body.read())
            if body.length is not None:
                headers.append(("content-length", str(body.length)))
            answer = await self._session.request(
                method,
                URL(upstream.url + target, encoded=True),
                headers=headers,
                data=body.chunks(),
                allow_redirects=False,
            )
            return StreamedAnswer(answer)
        except ValueError:
            raise BadRequest("malformed_header") from None
        except FAILURES as error:
            if body.fault is not None:
                raise body.fault from None
            raise _problem_of(error, upstream) from error


class StreamedAnswer:
    """aiohttp's answer, with the face of a WireAnswer."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.status, self.raw_headers, self.content_length = (
            answer.status,
            answer.raw_headers,
            answer.content_length,
        )
        self.read, self.chunks, self.release = answer.read, answer.content.iter_any, answer.release


async def _pass_back(answer: WireAnswer | StreamedAnswer, send: Send, upstream: Upstream) -> None:
    started = False
    start = {
        "type": "http.response.start",
        "status": answer.status,
        "headers": response_headers(answer.raw_headers, cookies=upstream.cookies),
    }
    try:
        length = answer.content_length
        if length is not None and length <= SMALL_BODY_BYTES:
            content = await answer.read()
            started = True
            await send(start)
            await send({"type": "http.response.body", "body": content})
            return
        started = True
        await send(start)
        async for chunk in answer.chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except FAILURES as error:
        if not started:
            raise _problem_of(error, upstream) from error
        # Without its last piece: the server then closes the connection, and the client sees that it was cut short.
        log.warning(
            "answer broken off", extra={"service": upstream.name, "error": type(error).__name__}
        )


def _target(scope: Scope) -> str:
    target: str = scope["raw_path"].decode("ascii")
    if scope["query_string"]:
        # A fragment is the client's own (RFC 9110, 4.2.5).
        target += "?" + scope["query_string"].decode("latin-1").partition("#")[0]
    return target


def _problem_of(error: Exception, upstream: Upstream) -> Problem:
    match error:
        case ConnectFailed() | aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            upstream.reachable = False
            return Unavailable(f"{upstream.name}_unavailable")
        case asyncio.TimeoutError():
            return GatewayTimeout(f"{upstream.name}_timeout", headers={"Retry-After": "5"})
        case HungUp() | aiohttp.ClientOSError() | aiohttp.ServerDisconnectedError():
            return Unavailable(f"{upstream.name}_unavailable")
    return BadGateway(f"{upstream.name}_failed")


class Forwarded(Response):
    """What a route answers: the service's own answer, as it comes."""

    def __init__(self, proxy: Proxy, name: str, max_body_bytes: int) -> None:
        self._proxy = proxy
        self._name = name
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._proxy.forward(scope, receive, send, self._name, self._max_body_bytes)


@asynccontextmanager
async def open_session(bounds: Bounds) -> AsyncIterator[aiohttp.ClientSession]:
    """The pool of connections to the services, for the application's life."""
    connector = aiohttp.TCPConnector(
        limit=0,
        limit_per_host=bounds.running_requests_per_service,
        keepalive_timeout=IDLE_CONNECTION_SECONDS,
        ttl_dns_cache=DNS_CACHE_SECONDS,
    )
    timeout = aiohttp.ClientTimeout(
        total=bounds.total_seconds,
        sock_connect=bounds.connect_seconds,
        sock_read=bounds.answer_seconds,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=_OWN_HEADERS,
    ) as session:
        yield session
