"""HTTP as every service speaks it: routes with a policy each, problems rendered once, bounds,
health.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Lifespan, Receive, Scope, Send

from apps.kit.context import current_request_id
from apps.kit.errors import (
    BadRequest,
    Forbidden,
    Problem,
    Unauthorized,
    UnsupportedMediaType,
    problem_of_status,
)
from apps.kit.request_body import limit_body
from apps.kit.request_context import Renderer, RequestContextMiddleware
from apps.kit.scopes import Principal
from apps.kit.token_verifier import Verifier
from apps.kit.version import service_version

MAX_BODY_BYTES = 1024 * 1024

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]
Check = Callable[[Principal, Request], bool]


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may call an operation. `name` is shown in documents and tests; without a
    `check`, anybody may.
    """

    name: str
    check: Check | None


PUBLIC = Policy("public", None)
AUTHENTICATED = Policy("authenticated", lambda principal, request: True)


def scopes(*any_of: str) -> Policy:
    """Returns the policy that wants any one of these scopes."""
    return Policy(" or ".join(any_of), lambda principal, request: principal.has_scope(*any_of))


def smart(interaction: str, resource_type: str | None = None) -> Policy:
    """Returns the policy that wants a SMART scope for `interaction` (c r u d s) on `resource_type`,
    else on the path's `{type}`.
    """

    def check(principal: Principal, request: Request) -> bool:
        return (
            principal.access_to(resource_type or request.path_params["type"], interaction)
            is not None
        )

    return Policy(f"{resource_type or '{type}'}.{interaction}", check)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a path. There is no default policy: an operation without one
    cannot be written.
    """

    method: str
    endpoint: Endpoint
    policy: Policy


class PolicedRoute(Route):
    """A path and its operations; the token is verified and the policy checked before an
    endpoint runs.
    """

    def __init__(
        self, path: str, *operations: Operation, max_body_bytes: int | None = None
    ) -> None:
        self.operations: Mapping[str, Operation] = {
            operation.method: operation for operation in operations
        }
        self.max_body_bytes = max_body_bytes
        super().__init__(path, self._dispatch, methods=list(self.operations))
        # Straight: around a function Starlette puts a second layer that catches errors, as the
        # application's does.
        self.app = self._respond

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        max_body_bytes = self.max_body_bytes or scope["app"].state.max_body_bytes
        response = await self._dispatch(
            Request(scope, limit_body(scope, receive, max_body_bytes), send)
        )
        await response(scope, receive, send)

    async def _dispatch(self, request: Request) -> Response:
        operation = self.operations["GET" if request.method == "HEAD" else request.method]
        if operation.policy.check is not None:
            principal = await authenticate(request)
            # Before the check: whoever records a refusal knows who was refused.
            request.state.principal = principal
            if not operation.policy.check(principal, request):
                raise Forbidden("insufficient_scope", f"this needs {operation.policy.name}")
        return await operation.endpoint(request)


async def authenticate(request: Request) -> Principal:
    """Returns who calls, by `Authorization: Bearer` (RFC 6750) or `DPoP` (RFC 9449).
    Raises Unauthorized.
    """
    verifier: Verifier = request.state.verifier
    scheme, token = read_credentials(request)
    if scheme == "bearer":
        return await verifier.verify(token)
    return await verifier.verify_with_proof(
        token,
        request.headers.getlist("dpop"),
        method=request.method,
        path=request.url.path,
    )


def read_credentials(request: Request) -> tuple[str, str]:
    """Returns the scheme (`bearer` or `dpop`) and the token. Raises Unauthorized unless there
    is exactly one.
    """
    sent = request.headers.getlist("authorization")
    if len(sent) > 1:
        # Whatever stands in front may have looked at another one.
        raise Unauthorized("invalid_token", "more than one Authorization header")
    scheme, _, token = "".join(sent).partition(" ")
    if scheme.lower() not in ("bearer", "dpop") or not token:
        raise Unauthorized("missing_token")
    return scheme.lower(), token.strip()


def bearer_token(request: Request) -> str:
    """Returns the caller's token, to be passed on to a service that is called for them."""
    return read_credentials(request)[1]


def principal_of(request: Request) -> Principal:
    """Returns who calls; set by the route once the policy was met."""
    principal: Principal = request.state.principal
    return principal


class JSONResponse(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


async def read_json(request: Request, *media_types: str) -> Any:
    """Reads the body's JSON; raises BadRequest for malformed JSON and UnsupportedMediaType for
    another media type.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (media_types or ("application/json",)):
        raise UnsupportedMediaType(
            "unsupported_media_type",
            f"expected {' or '.join(media_types or ('application/json',))}",
        )
    try:
        return msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("malformed_json", str(error)) from None


def render_problem(request: Request, problem: Problem) -> Response:
    body = msgspec.json.encode(
        problem.as_problem(instance=request.url.path, request_id=current_request_id())
    )
    return Response(
        body, problem.status, headers=problem.headers, media_type="application/problem+json"
    )


@dataclass(frozen=True, slots=True)
class Readiness:
    """`failed` keeps traffic away (the service's own database, keys never had);
    `degraded` is only told.
    """

    failed: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


def health_routes(readiness: Callable[[Request], Awaitable[Readiness]]) -> list[BaseRoute]:
    """Returns `/livez` and `/readyz`: for the container's check and the balancer, not
    reachable from outside.
    """

    async def livez(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        state = await readiness(request)
        status = "failed" if state.failed else "degraded" if state.degraded else "ok"
        body = {
            "status": status,
            "failed": state.failed,
            "degraded": state.degraded,
            "version": service_version(),
        }
        return JSONResponse(body, 503 if state.failed else 200)

    return [
        PolicedRoute("/livez", Operation("GET", livez, PUBLIC)),
        PolicedRoute("/readyz", Operation("GET", readyz, PUBLIC)),
    ]


def create_web_app(
    routes: list[BaseRoute],
    *,
    lifespan: Lifespan[Starlette] | None,
    middleware: tuple[Middleware, ...] = (),
    render: Renderer = render_problem,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> Starlette:
    """Makes a Starlette application with the house's rules. `lifespan` yields the state; `verifier`
    must be in it.

    `max_body_bytes` bounds the bodies of the routes that have no bound of their own.
    """

    async def handle_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        if error.status >= 500:
            log.warning(
                "answered %s", error.status, extra={"code": error.code, "path": request.url.path}
            )
        return render(request, error)

    async def handle_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return render(request, problem_of_status(error.status_code, error.headers))

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(RequestContextMiddleware, render=render), *middleware],
        exception_handlers={Problem: handle_problem, HTTPException: handle_http},
    )
    app.state.max_body_bytes = max_body_bytes
    return app


def every_route(app: Starlette) -> list[PolicedRoute]:
    """Returns every route of the application; raises TypeError for one that no policy guards."""
    found: list[PolicedRoute] = []
    for route in app.routes:
        if not isinstance(route, PolicedRoute):
            raise TypeError(f"{route} has no policy")
        found.append(route)
    return found
