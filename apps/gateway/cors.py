"""CORS (https://fetch.spec.whatwg.org/#http-cors-protocol): which web origins may call which paths.

Documents that anybody may read are for any origin. What an application needs after them is for the
origins of registered redirect URIs. A setting adds origins for every path. Cookies are never
allowed: a caller is known by its token alone.
"""

import re

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.gateway.error_page import render_refusal
from apps.gateway.origins import ClientOrigins
from apps.kit.errors import Forbidden

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = (
    "Accept, Authorization, Content-Type, DPoP, Idempotency-Key, If-Match, If-Modified-Since, "
    "If-None-Exist,"
    " If-None-Match, Prefer, X-Request-Id, traceparent"
)
RESPONSE_HEADERS = (
    "Content-Location, ETag, Idempotency-Replayed, Last-Modified, Link, Location, RateLimit, "
    "RateLimit-Policy,"
    " Retry-After, WWW-Authenticate, X-Request-Id"
)
PREFLIGHT_CACHE_SECONDS = 600

_PUBLIC = re.compile(r"(?:/fhir/R4)?/\.well-known/[^/]+|/fhir/R4/metadata")
_REGISTERED = re.compile(r"/oauth2/(?:token|userinfo|revoke)|/fhir/R4(?:/.*)?")


class CorsPolicy:
    def __init__(self, listed: tuple[str, ...], registered: ClientOrigins) -> None:
        self._listed = frozenset(listed)
        self._registered = registered

    def allowed_origin(self, path: str, origin: str) -> str | None:
        """Returns the value of `Access-Control-Allow-Origin`, or None if the origin may not
        call the path.
        """
        if _PUBLIC.fullmatch(path):
            return "*"
        if origin in self._listed:
            return origin
        if origin in self._registered and _REGISTERED.fullmatch(path):
            return origin
        return None


class CorsMiddleware:
    """Lets a browser's script read responses, refusals included: it stands before
    everything else.
    """

    def __init__(self, app: ASGIApp, policy: CorsPolicy) -> None:
        self.app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = _origin_of(scope) if scope["type"] == "http" else None
        allowed = self._policy.allowed_origin(scope["path"], origin) if origin else None
        if allowed is None:
            await self.app(scope, receive, send)
            return
        headers = [
            (b"access-control-allow-origin", allowed.encode("latin-1")),
            (b"access-control-expose-headers", RESPONSE_HEADERS.encode()),
            *([] if allowed == "*" else [(b"vary", b"Origin")]),
        ]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self.app(scope, receive, send_with_headers)


class PreflightMiddleware:
    """Answers preflight requests. It stands behind the rate limit, which they count against."""

    def __init__(self, app: ASGIApp, policy: CorsPolicy) -> None:
        self.app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "OPTIONS":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if not origin or "access-control-request-method" not in headers:
            await self.app(scope, receive, send)
            return
        if self._policy.allowed_origin(scope["path"], origin) is None:
            problem = Forbidden("cors_refused", "this origin may not call this path")
            await render_refusal(Request(scope), problem)(scope, receive, send)
            return
        # The browser compares its method and header fields with these; nothing depends on
        # what it asks for.
        answer = {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_CACHE_SECONDS),
        }
        await Response(status_code=204, headers=answer)(scope, receive, send)


def _origin_of(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"origin":
            text: str = value.decode("latin-1")
            return text
    return None
