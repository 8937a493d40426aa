"""CORS by an exact allow-list of origins; empty by default, and then there is none."""

import msgspec
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from apps.kit.context import current_request_id
from apps.kit.errors import Forbidden

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    "Accept",
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Exist",
    "If-None-Match",
    "Prefer",
    "X-Request-Id",
    "traceparent",
)
ANSWER_HEADERS = (
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
)
PREFLIGHT_CACHE_SECONDS = 600


class Cors(CORSMiddleware):
    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        problem = Forbidden("cors_refused", bytes(response.body).decode())
        body = msgspec.json.encode(problem.as_problem(instance="", request_id=current_request_id()))
        return Response(
            body, problem.status, headers={"Vary": "Origin"}, media_type="application/problem+json"
        )


def cors_middleware(origins: tuple[str, ...]) -> tuple[Middleware, ...]:
    if not origins:
        return ()
    # Without credentials: the caller is known by its bearer token, never by a cookie.
    return (
        Middleware(
            Cors,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=ANSWER_HEADERS,
            max_age=PREFLIGHT_CACHE_SECONDS,
        ),
    )
