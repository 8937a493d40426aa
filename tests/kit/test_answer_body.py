"""An answer that comes in pieces is read to its end."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from apps.kit.answer_body import read_answer


async def answer_in_pieces(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = 10
    await response.prepare(request)
    for piece in (b"first", b"other"):
        await response.write(piece)
        await asyncio.sleep(0.05)
    return response


@pytest.mark.parametrize(
    ("most", "expected"), [(100, b"firstother"), (10, b"firstother"), (7, b"firstot")]
)
async def test_answer_is_read_to_its_end_or_to_the_bound(most: int, expected: bytes) -> None:
    app = web.Application()
    app.router.add_get("/", answer_in_pieces)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as session,
        session.get(server.make_url("/")) as answer,
    ):
        assert await read_answer(answer, most) == expected
