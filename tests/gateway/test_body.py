"""The body of a request on its way through, whatever the server hands over."""

import asyncio
from typing import Any

import pytest

from apps.gateway.body import SMALL_BODY_BYTES, ClientGone, RequestBody, RequestTimeout
from apps.gateway.settings import RequestLimits
from apps.kit.errors import ContentTooLarge


async def test_body_over_its_declared_length_is_refused() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 6, "more_body": False}

    scope = {"headers": [(b"content-length", b"5")], "http_version": "1.1"}
    body = RequestBody(scope, receive, max_bytes=100, limits=RequestLimits())
    with pytest.raises(ContentTooLarge):
        await body.read()
    assert isinstance(body.fault, ContentTooLarge)


def body_of(
    parts: list[bytes],
    length: int | None = None,
    *,
    max_bytes: int = 100,
    body_seconds: float = 60.0,
    receive_seconds: float = 60.0,
) -> RequestBody:
    """A body that comes in these parts; after the last one nothing comes any more."""
    left = list(parts)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left) or part == b""}

    headers = [(b"transfer-encoding", b"chunked")]
    if length is not None:
        headers = [(b"content-length", str(length).encode())]
    scope = {"headers": headers, "http_version": "1.1"}
    limits = RequestLimits(body_seconds=body_seconds, receive_seconds=receive_seconds)
    return RequestBody(scope, receive, max_bytes=max_bytes, limits=limits)


async def test_body_is_read_whole() -> None:
    assert await body_of([b"ab", b"cd"], 4).read() == b"abcd"
    # Nothing is waited for where nothing was declared to come.
    async with asyncio.timeout(5):
        assert await body_of([], 0).read() == b""


@pytest.mark.parametrize("length", [None, 100])
async def test_body_of_the_largest_size_is_read(length: int | None) -> None:
    body = body_of([b"x" * 50, b"x" * 50], length)
    assert await body.read() == b"x" * 100
    assert body.fault is None


async def test_body_over_the_largest_size_is_refused() -> None:
    with pytest.raises(ContentTooLarge):
        body_of([], 101)
    body = body_of([b"x" * 50, b"x" * 51])
    with pytest.raises(ContentTooLarge):
        await body.read()
    assert isinstance(body.fault, ContentTooLarge)


@pytest.mark.parametrize(
    ("length", "is_small"),
    [(0, True), (SMALL_BODY_BYTES, True), (SMALL_BODY_BYTES + 1, False), (None, False)],
)
def test_small_body_is_one_of_a_declared_size(length: int | None, is_small: bool) -> None:
    assert body_of([], length, max_bytes=10**6).is_small is is_small


@pytest.mark.parametrize(("body_seconds", "receive_seconds"), [(60.0, 0.05), (0.05, 60.0)])
async def test_body_that_stops_coming_is_given_up(
    body_seconds: float, receive_seconds: float
) -> None:
    body = body_of([b"x", b""], 10, body_seconds=body_seconds, receive_seconds=receive_seconds)
    async with asyncio.timeout(5):
        with pytest.raises(RequestTimeout):
            await body.read()


async def test_part_that_does_not_come_is_the_fault_of_the_body() -> None:
    body = body_of([b"x", b""], 10, receive_seconds=0.05)
    chunks = body.chunks()
    async with asyncio.timeout(5):
        assert await anext(chunks) == b"x"
        with pytest.raises(RequestTimeout):
            await anext(chunks)
    assert isinstance(body.fault, RequestTimeout)


async def test_body_of_a_client_that_hung_up_has_no_end() -> None:
    messages = [{"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    scope = {"headers": [(b"content-length", b"5")], "http_version": "1.1"}
    body = RequestBody(scope, receive, max_bytes=100, limits=RequestLimits())
    async with asyncio.timeout(5):
        with pytest.raises(ClientGone):
            await body.read()
    assert isinstance(body.fault, ClientGone)
