"""The middleware around every request: its id and trace, its log line, and a 500 for what nobody
caught.
"""

import logging
import time
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.kit.context import read_context, use_context
from apps.kit.errors import Problem
from apps.kit.logs import log_failure, log_request

log = logging.getLogger(__name__)

Renderer = Callable[[Request, Problem], Response]


class RequestContextMiddleware:
    """Gives the request its id and trace, answers the id, and turns what nobody caught
    into a plain 500.
    """

    def __init__(self, app: ASGIApp, render: Renderer) -> None:
        self.app, self.render = app, render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = traceparent = None
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                request_id = value.decode("latin-1")
            elif name == b"traceparent":
                traceparent = value.decode("latin-1")
        started = False
        status = 0
        started_at = time.perf_counter()
        with use_context(read_context(request_id, traceparent)) as context:

            async def send_with_id(message: Message) -> None:
                nonlocal started, status
                if message["type"] == "http.response.start":
                    started = True
                    status = message["status"]
                    message["headers"] = [
                        *message["headers"],
                        (b"x-request-id", context.request_id.encode()),
                    ]
                await send(message)

            try:
                await self.app(scope, receive, send_with_id)
            except ClientDisconnect:
                log.info("client hung up", extra={"method": scope["method"], "path": scope["path"]})
            except Exception as error:
                log_failure(error, "request failed", method=scope["method"], path=scope["path"])
                if started:
                    # The server sees that the response is incomplete and closes the connection.
                    return
                response = self.render(Request(scope), Problem("internal_error"))
                await response(scope, receive, send_with_id)
            finally:
                if scope["path"] not in ("/livez", "/readyz"):
                    route = scope.get("route")
                    path = route.path_format if route else "-"
                    log_request(scope["method"], path, status, started_at)
