"""The body of a request on its way through: counted and timed, never gathered,
unless it is small.
"""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Receive, Scope

from apps.gateway.settings import RequestLimits
from apps.kit.errors import ContentTooLarge, Problem
from apps.kit.request_body import declared_length

# Small enough to hold, so that it goes out in one piece and can be sent again.
SMALL_BODY_BYTES = 64 * 1024


class RequestTimeout(Problem):
    status = 408


class ClientGone(Exception):
    """The client hung up before its request was whole: there is nobody to answer."""


class RequestBody:
    """`length`: the declared one, None where there is none (chunked, or HTTP/2). `fault`: why
    `chunks` broke off.

    The constructor raises ContentTooLarge and BadRequest for what the headers alone show.
    """

    def __init__(
        self, scope: Scope, receive: Receive, *, max_bytes: int, limits: RequestLimits
    ) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._limits = limits
        self.fault: Problem | ClientGone | None = None
        self.length = declared_length(scope)
        if self.length is not None and self.length > max_bytes:
            raise too_large(max_bytes)

    @property
    def is_small(self) -> bool:
        return self.length is not None and self.length <= SMALL_BODY_BYTES

    async def read(self) -> bytes:
        """Returns the body whole: for one that is small, or is read here."""
        if self.length == 0:
            return b""
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return b"".join([chunk async for chunk in self.chunks()])
        except TimeoutError:
            raise too_slow() from None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises `fault`. Once the service has answered, that ends the sending alone,
        not the answer.
        """
        received = 0
        bound = self._max_bytes if self.length is None else self.length
        while True:
            try:
                async with asyncio.timeout(self._limits.receive_seconds):
                    message = await self._receive()
            except TimeoutError:
                self.fault = too_slow()
                raise self.fault from None
            if message["type"] != "http.request":
                # Ending quietly would make half a body look whole to the service.
                self.fault = ClientGone()
                raise self.fault
            chunk = message.get("body", b"")
            received += len(chunk)
            if received > bound:
                self.fault = too_large(self._max_bytes)
                raise self.fault
            if chunk:
                yield chunk
            if not message.get("more_body", False):
                return


def too_large(max_bytes: int) -> ContentTooLarge:
    return ContentTooLarge("content_too_large", f"at most {max_bytes} bytes")


def too_slow() -> RequestTimeout:
    return RequestTimeout("request_timeout", "the body came too slowly")
