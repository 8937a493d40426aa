"""Passes a request on to a service over HTTP and its answer back; bodies stream both ways, everything is bounded."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from yarl import URL

from apps.gateway.body import SMALL_BODY_BYTES, ClientGone, RequestBody
from apps.gateway.headers import request_headers, response_headers
from apps.gateway.settings import Bounds, Settings
from apps.kit.context import current_context
from apps.kit.errors import BadGateway, Problem, Unavailable

# Shorter than the services' keep-alive (75 s): a connection is never taken up as it is being closed.
IDLE_CONNECTION_SECONDS = 30
DNS_CACHE_SECONDS = 10
_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

log = logging.getLogger(__name__)


class GatewayTimeout(Problem):
    status = 504


@dataclass(slots=True)
class Upstream:
    """One HTTP service. `reachable` is what the last request found."""

    name: str
    url: str
    # Only the auth service has pages, and so cookies.
    cookies: bool
    running: int = 0
    reachable: bool = True


class Proxy:
    """`forward` is an ASGI application but for its two last parameters."""

    def __init__(self, session: aiohttp.ClientSession, settings: Settings) -> None:
        self._session = session
        self._bounds = settings.bounds
        public = urlsplit(settings.public_url)
        self._forwarded = (("x-forwarded-proto", public.scheme), ("x-forwarded-host", public.netloc))
        self.upstreams: Mapping[str, Upstream] = {
            name: Upstream(name, url, cookies=name == "auth") for name, url in settings.upstreams.items()
        }

    async def forward(self, scope: Scope, receive: Receive, send: Send, name: str, max_body_bytes: int) -> None:
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

    async def _exchange(self, scope: Scope, body: RequestBody, send: Send, upstream: Upstream) -> None:
        headers = request_headers(scope["headers"], cookies=upstream.cookies)
        headers.append(("x-forwarded-for", scope["state"]["address"]))
        headers.extend(self._forwarded)
        context = current_context()
        if context:
            headers.extend(context.headers().items())
        data: Any = None
        if body.is_small:
            data = await body.read() or None
        else:
            data = body.chunks()
            if body.length is not None:
                headers.append(("content-length", str(body.length)))
        try:
            # aiohttp sends an idempotent request once more where a connection was closed before it was answered.
            answer = await self._session.request(
                scope["method"], _url(upstream, scope), headers=headers, data=data, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            if body.fault is not None:
                raise body.fault from None
            raise _problem_of(error, upstream) from error
        upstream.reachable = True
        try:
            await _pass_back(answer, send, upstream)
        finally:
            # Given back to the pool where it was read to its end, closed otherwise.
            answer.release()


async def _pass_back(answer: aiohttp.ClientResponse, send: Send, upstream: Upstream) -> None:
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
        async for chunk in answer.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except (aiohttp.ClientError, OSError) as error:
        if not started:
            raise _problem_of(error, upstream) from error
        # Without its last piece: the server then closes the connection, and the client sees that it was cut short.
        log.warning("answer broken off", extra={"service": upstream.name, "error": type(error).__name__})


def _url(upstream: Upstream, scope: Scope) -> URL:
    target = scope["raw_path"].decode("ascii")
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("latin-1")
    return URL(upstream.url + target, encoded=True)


def _problem_of(error: Exception, upstream: Upstream) -> Problem:
    match error:
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            upstream.reachable = False
            return Unavailable(f"{upstream.name}_unavailable")
        case asyncio.TimeoutError():
            return GatewayTimeout(f"{upstream.name}_timeout", headers={"Retry-After": "5"})
        case aiohttp.ClientOSError() | aiohttp.ServerDisconnectedError():
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
        total=bounds.total_seconds, sock_connect=bounds.connect_seconds, sock_read=bounds.answer_seconds
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
