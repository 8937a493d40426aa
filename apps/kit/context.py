"""What belongs to the request under way and travels with it: its id and its trace (W3C
trace context).
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import uuid_utils

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class RequestContext:
    request_id: str
    traceparent: str

    def headers(self) -> dict[str, str]:
        """Returns the headers that are passed on over HTTP, gRPC (as metadata) and Kafka alike;
        lower case, as gRPC wants it.
        """
        return {"x-request-id": self.request_id, "traceparent": self.traceparent}


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def new_id() -> str:
    """Returns a UUIDv7: unique, and sorts by time."""
    return str(uuid_utils.uuid7())


def read_context(request_id: str | None, traceparent: str | None) -> RequestContext:
    """Returns the caller's context, or a new one where it sent none or nonsense."""
    if not request_id or not REQUEST_ID.fullmatch(request_id):
        request_id = new_id()
    if not traceparent or not TRACEPARENT.fullmatch(traceparent):
        ids = secrets.token_hex(24)
        traceparent = f"00-{ids[:32]}-{ids[32:]}-00"
    return RequestContext(request_id, traceparent)


def current_context() -> RequestContext | None:
    return _current.get()


def current_request_id() -> str:
    context = _current.get()
    return context.request_id if context else ""


@contextmanager
def use_context(context: RequestContext) -> Iterator[RequestContext]:
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
