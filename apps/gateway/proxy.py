"""Forwards a request to a service over HTTP and returns its response.

Bodies are streamed in both directions; time, size and concurrency are limited.
"""

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
from apps.gateway.settings import RequestLimits, Settings
from apps.kit.context import current_context
from apps.kit.errors import BadGateway, BadRequest, Problem, Unavailable
from apps.kit.version import service_version

DNS_CACHE_SECONDS = 10
# Shorter than the services' keep-alive (75 s): no connection is used while its service closes it.
IDLE_CONNECTION_SECONDS = 30.0
_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

WITH_PAGES = ("auth", "console")

# TimeoutError is an OSError.
FAILURES = (aiohttp.ClientError, OSError)
NOT_CONNECTED = (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError)
HUNG_UP = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)

log = logging.getLogger(__name__)


class GatewayTimeout(Problem):
    status = 504


@dataclass(slots=True)
class Upstream:
    """An HTTP service. `reachable` is the finding of the last request."""

    name: str
    url: str
    # Only services with pages for people get and set cookies.
    cookies: bool
    running: int = 0
    reachable: bool = True


class Proxy:
    def __init__(self, session: aiohttp.ClientSession, settings: Settings) -> None:
        self._session = session
        self._limits = settings.limits
        public = urlsplit(settings.public_url)
        self._forwarded = (
            ("x-forwarded-proto", public.scheme),
            ("x-forwarded-host", public.netloc),
            # For operators: which version of the gateway a request came through.
            ("x-forwarded-server", f"gateway/{service_version()}"),
        )
        self.upstreams: Mapping[str, Upstream] = {
            name: Upstream(name, url, cookies=name in WITH_PAGES)
            for name, url in settings.upstreams.items()
        }

    async def forward(
        self, scope: Scope, receive: Receive, send: Send, name: str, max_body_bytes: int
    ) -> None:
        """Raises Problem as long as no response has begun; afterwards it breaks
        the response off.
        """
        upstream = self.upstreams[name]
        body = RequestBody(scope, receive, max_bytes=max_body_bytes, limits=self._limits)
        if upstream.running >= self._limits.running_requests_per_service:
            raise Unavailable(f"{name}_busy")
        upstream.running += 1
        try:
            response = await self._request(scope, body, upstream)
            upstream.reachable = True
            try:
                await _send_back(response, send, upstream)
            finally:
                # Returns the connection to the pool if the response was read to its end,
                # closes it otherwise.
                response.release()
        except ClientGone:
            return
        finally:
            upstream.running -= 1

    async def _request(
        self, scope: Scope, body: RequestBody, upstream: Upstream
    ) -> aiohttp.ClientResponse:
        headers = request_headers(scope["headers"], cookies=upstream.cookies)
        headers.append(("x-forwarded-for", scope["state"]["address"]))
        headers.extend(self._forwarded)
        context = current_context()
        if context:
            headers.extend(context.headers().items())

        method = scope["method"]
        url = URL(upstream.url + _target(scope), encoded=True)
        try:
            if not body.is_small:
                if body.length is not None:
                    headers.append(("content-length", str(body.length)))
                return await self._send(method, url, headers, body.chunks())
            # aiohttp sends an idempotent request once more if the service hung up
            # before it answered.
            return await self._send(method, url, headers, await body.read())
        except ValueError:
            raise BadRequest("malformed_header") from None
        except FAILURES as error:
            if body.fault is not None:
                raise body.fault from None
            raise _problem_of(error, upstream) from error

    async def _send(
        self, method: str, url: URL, headers: list[tuple[str, str]], content: Any
    ) -> aiohttp.ClientResponse:
        return await self._session.request(
            method, url, headers=headers, data=content or None, allow_redirects=False
        )


async def _send_back(response: aiohttp.ClientResponse, send: Send, upstream: Upstream) -> None:
    started = False
    start = {
        "type": "http.response.start",
        "status": response.status,
        "headers": response_headers(response.raw_headers, cookies=upstream.cookies),
    }
    try:
        length = response.content_length
        if length is not None and length <= SMALL_BODY_BYTES:
            content = await response.read()
            started = True
            await send(start)
            await send({"type": "http.response.body", "body": content})
            return
        started = True
        await send(start)
        async for chunk in response.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except FAILURES as error:
        if not started:
            raise _problem_of(error, upstream) from error
        # Without its last piece the server closes the connection: the client sees that it
        # was cut short.
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
    if isinstance(error, NOT_CONNECTED):
        upstream.reachable = False
        return Unavailable(f"{upstream.name}_unavailable")
    if isinstance(error, asyncio.TimeoutError):
        return GatewayTimeout(f"{upstream.name}_timeout", headers={"Retry-After": "5"})
    if isinstance(error, HUNG_UP):
        return Unavailable(f"{upstream.name}_unavailable")
    return BadGateway(f"{upstream.name}_failed")


class Forwarded(Response):
    """Forwards the request to a service and sends that service's response."""

    def __init__(self, proxy: Proxy, name: str, max_body_bytes: int) -> None:
        self._proxy = proxy
        self._name = name
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._proxy.forward(scope, receive, send, self._name, self._max_body_bytes)


@asynccontextmanager
async def open_session(limits: RequestLimits) -> AsyncIterator[aiohttp.ClientSession]:
    """Opens the pool of connections to the services for the application's life."""
    connector = aiohttp.TCPConnector(
        # `Proxy` limits them: `running_requests_per_service`.
        limit=0,
        keepalive_timeout=IDLE_CONNECTION_SECONDS,
        ttl_dns_cache=DNS_CACHE_SECONDS,
    )
    timeout = aiohttp.ClientTimeout(
        total=limits.total_seconds,
        sock_connect=limits.connect_seconds,
        sock_read=limits.answer_seconds,
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
