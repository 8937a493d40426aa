"""Checks every request before the routes: its address, path, size and rate. Logs it at its end."""

import logging
import re
import time
from contextlib import suppress

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.gateway.addresses import client_address
from apps.gateway.error_page import render_refusal
from apps.gateway.rate_limit import Decision, RateLimiter, rate_limit_header
from apps.gateway.settings import Settings
from apps.kit.addresses import network_of
from apps.kit.errors import NotFound, Problem, TooManyRequests, Unavailable
from apps.kit.scopes import Principal

HEALTH_PATHS = frozenset({"/livez", "/readyz"})
FHIR_ROOT = b"/fhir/R4"
MAX_PATH_BYTES = 2048
# Searches with long lists go by POST.
MAX_QUERY_BYTES = 16 * 1024
MAX_HEADERS = 100
# Beyond a token, cookies and what browsers and proxies add.
MAX_HEADERS_BYTES = 32 * 1024
# RFC 3986 path characters, no empty and no dot segment, and nothing encoded that another reader
# would take for a slash, a backslash, a dot, a percent sign or a control character: every reader
# sees the same path.
_PLAIN_PATH = re.compile(
    rb"/|(?:/(?!\.\.?(?:/|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%(?![01]|2[eEfF5]|5[cC]|7[fF])[0-9A-Fa-f]{2})+)+"
)

log = logging.getLogger("apps.gateway.access")


class HeadersTooLarge(Problem):
    status = 431


class GatewayMiddleware:
    """Limits what reaches the routes. It verifies a token only to count by its client: policies
    are the routes'.
    """

    def __init__(self, app: ASGIApp, settings: Settings, limiter: RateLimiter) -> None:
        self.app = app
        self._trusted = settings.trusted_proxies
        self._max_running = settings.limits.running_requests
        self._running = 0
        self._limiter = limiter
        self._fixed_headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"ratelimit-policy", limiter.policy),
        ]
        if settings.public_url.startswith("https:"):
            self._fixed_headers.append(
                (b"strict-transport-security", b"max-age=63072000; includeSubDomains")
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        token = ""
        forwarded_for: list[str] = []
        headers_bytes = 0
        for name, value in scope["headers"]:
            headers_bytes += len(name) + len(value)
            if name == b"authorization":
                scheme, _, credentials = value.decode("latin-1").partition(" ")
                token = credentials.strip() if scheme.lower() in ("bearer", "dpop") else ""
            elif name == b"x-forwarded-for":
                forwarded_for.append(value.decode("latin-1"))
        if scope["path"] in HEALTH_PATHS and _is_spelled_out(scope) and not forwarded_for:
            # The container's check and the balancer's own: nobody that came through the balancer
            # (decision 0501).
            await self.app(scope, receive, send)
            return
        if scope["raw_path"] == FHIR_ROOT + b"/":
            scope["raw_path"] = FHIR_ROOT
            scope["path"] = FHIR_ROOT.decode()
        scope["state"]["headers_bytes"] = headers_bytes
        await self._guard(scope, receive, send, token, forwarded_for)

    async def _guard(
        self, scope: Scope, receive: Receive, send: Send, token: str, forwarded_for: list[str]
    ) -> None:
        started_at = time.perf_counter()
        state = scope["state"]
        peer = scope["client"][0] if scope["client"] else "unknown"
        state["address"] = client_address(peer, forwarded_for, self._trusted)
        principal: Principal | None = None
        if token:
            with suppress(Problem):
                principal = await state["verifier"].verify_forwarded(token)
        decision = self._limiter.take(
            f"c:{principal.client_id}:{principal.subject}"
            if principal
            else f"a:{network_of(state['address'])}"
        )
        fixed_headers = [*self._fixed_headers, (b"ratelimit", rate_limit_header(decision))]
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *fixed_headers]
            await send(message)

        self._running += 1
        try:
            problem = self._refusal(scope, decision)
            if problem is None:
                await self.app(scope, receive, send_with_headers)
            else:
                await render_refusal(Request(scope), problem)(scope, receive, send_with_headers)
        finally:
            self._running -= 1
            route = scope.get("route")
            log.info(
                "%s %s %s",
                scope["method"],
                route.path_format if route else "-",
                status or "-",
                extra={
                    "ms": round((time.perf_counter() - started_at) * 1000, 1),
                    "client_id": principal.client_id if principal else "-",
                },
            )

    def _refusal(self, scope: Scope, decision: Decision) -> Problem | None:
        if not decision.allowed:
            return TooManyRequests("rate_limited", decision.retry_after_seconds)
        if self._running > self._max_running:
            return Unavailable("overloaded")
        if (
            len(scope["headers"]) > MAX_HEADERS
            or scope["state"]["headers_bytes"] > MAX_HEADERS_BYTES
            or len(scope["query_string"]) > MAX_QUERY_BYTES
        ):
            return HeadersTooLarge("headers_too_large")
        raw_path = scope["raw_path"]
        if len(raw_path) > MAX_PATH_BYTES or not _PLAIN_PATH.fullmatch(raw_path):
            return NotFound("not_found")
        if scope["path"] in HEALTH_PATHS:
            return NotFound("not_found")
        return None


def _is_spelled_out(scope: Scope) -> bool:
    """Tells whether nothing in the path is percent-encoded."""
    raw_path: bytes = scope["raw_path"]
    return b"%" not in raw_path
