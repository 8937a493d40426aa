"""A response that is sent before its request's body was read ends when the body did, or soon."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from apps.kit import read_rest
from apps.kit.read_rest import ReadRestMiddleware

WAIT_SECONDS = 10.0
EARLY: list[Message] = [
    {"type": "http.response.start", "status": 413, "headers": []},
    {"type": "http.response.body", "body": b"no"},
]
# The end of the response comes by itself, once the client has stopped sending.
HELD_BACK: list[Message] = [
    EARLY[0],
    {"type": "http.response.body", "body": b"no", "more_body": True},
    {"type": "http.response.body", "body": b""},
]


def request(length: bytes = b"9") -> dict[str, Any]:
    return {"type": "http", "http_version": "1.1", "headers": [(b"content-length", length)]}


def piece(more: bool) -> Message:
    return {"type": "http.request", "body": b"x", "more_body": more}


class Client:
    """Sends the pieces of a body, then nothing more; keeps what is answered."""

    def __init__(self, *pieces: Message) -> None:
        self.pieces = list(pieces)
        self.answered: list[Message] = []
        self.read_all = asyncio.Event()

    async def receive(self) -> Message:
        if not self.pieces:
            self.read_all.set()
            await asyncio.Event().wait()
        return self.pieces.pop(0)

    async def send(self, message: Message) -> None:
        self.answered.append(message)

    async def ask(self, scope: Scope, *, reads: int = 0) -> None:
        async def app(given: Scope, receive: Receive, send: Send) -> None:
            assert given is scope
            for _ in range(reads):
                await receive()
            for message in EARLY:
                await send(message)

        async with asyncio.timeout(WAIT_SECONDS):
            await ReadRestMiddleware(app)(scope, self.receive, self.send)


async def test_early_response_ends_when_the_body_was_read() -> None:
    client = Client(piece(True), piece(True), piece(False))
    await client.ask(request(), reads=1)
    assert client.answered == HELD_BACK
    assert not client.pieces and not client.read_all.is_set()


async def test_early_response_ends_when_the_client_is_gone() -> None:
    client = Client(piece(True), {"type": "http.disconnect"})
    await client.ask(request())
    assert client.answered == HELD_BACK
    assert not client.pieces and not client.read_all.is_set()


async def test_early_response_ends_soon_for_a_client_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_rest, "REST_SECONDS", 0.01)
    client = Client(piece(True))
    await client.ask(request())
    assert client.answered == HELD_BACK


@pytest.mark.parametrize(
    ("scope", "reads"), [(request(), 1), (request(b"0"), 0), ({"type": "websocket"}, 0)]
)
async def test_response_is_not_held_back_where_nothing_is_left_to_read(
    scope: Scope, reads: int
) -> None:
    client = Client(piece(False))
    await client.ask(scope, reads=reads)
    assert client.answered == EARLY


async def test_malformed_length_may_be_that_of_a_body() -> None:
    client = Client(piece(False))
    await client.ask(request(b"x"))
    assert client.answered == HELD_BACK


async def test_body_is_read_on_after_an_application_that_failed() -> None:
    client = Client(piece(True), piece(True))

    async def app(*_: Any) -> None:
        raise RuntimeError

    middleware = ReadRestMiddleware(app)
    with pytest.raises(RuntimeError):
        await middleware(request(), client.receive, client.send)
    async with asyncio.timeout(WAIT_SECONDS):
        await client.read_all.wait()
    for reader in middleware._readers:
        reader.cancel()
