"""Lets a client see a response that was sent before its request's body was read (RFC 9112, 9.6)."""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.kit.errors import BadRequest
from apps.kit.request_body import declared_length

# Long enough for a client to see the response and stop sending.
REST_SECONDS = 2.0


class ReadRestMiddleware:
    """Reads and drops the rest of a request's body for REST_SECONDS before it ends an
    early response.

    Closed at once, the connection would be reset and the response lost. Hypercorn 0.18 hands a body
    over through a queue of ten: with no reader its connection would stay open and delay the stop.
    So the rest is read until the connection ends.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._readers: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not has_body(scope):
            await self.app(scope, receive, send)
            return
        received = False

        async def receive_body() -> Message:
            nonlocal received
            message = await receive()
            received = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def read_rest() -> None:
            while not received:
                await receive_body()

        async def send_response(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get(
                "more_body", False
            )
            if is_last and not received:
                await send({**message, "more_body": True})
                with suppress(TimeoutError):
                    async with asyncio.timeout(REST_SECONDS):
                        await read_rest()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        try:
            await self.app(scope, receive_body, send_response)
        finally:
            if not received:
                reader = asyncio.create_task(read_rest())
                self._readers.add(reader)
                reader.add_done_callback(self._readers.discard)


def has_body(scope: Scope) -> bool:
    """Tells whether the request may have a body. A malformed length is refused later."""
    try:
        return declared_length(scope) != 0
    except BadRequest:
        return True
