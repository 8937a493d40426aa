"""The origins of registered applications, as the auth service tells them over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apps.gateway.origins import MAX_ORIGIN_CHARS, MAX_ORIGINS, OriginSource, parse_origins
from tests.gateway.running import Tokens, serving

ORIGINS = ["https://a.example", "https://b.example"]


class Auth:
    """Answers `answer`, or 304 to who has the ETag already."""

    def __init__(self) -> None:
        self.answer: Response = JSONResponse({"origins": ORIGINS}, headers={"ETag": '"1"'})
        self.seen: list[tuple[str, str]] = []

    async def __call__(self, request: Request) -> Response:
        known = request.headers.get("if-none-match", "")
        self.seen.append((request.headers["authorization"], known))
        if known and known == self.answer.headers.get("etag"):
            return Response(status_code=304)
        return self.answer


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
async def source(auth: Auth) -> AsyncIterator[OriginSource]:
    async def origins(request: Request) -> Response:
        return await auth(request)

    app = Starlette(routes=[Route("/oauth2/origins", origins)])
    tokens: Any = Tokens()
    async with serving(app) as port, aiohttp.ClientSession() as session:
        yield OriginSource(f"http://127.0.0.1:{port}", tokens, session)


async def test_origins_are_fetched_with_a_token_and_again_only_if_they_changed(
    auth: Auth, source: OriginSource
) -> None:
    assert await source.fetch() == set(ORIGINS)
    assert await source.fetch() == set(ORIGINS)
    auth.answer = JSONResponse({"origins": []}, headers={"ETag": '"2"'})
    assert await source.fetch() == set()
    assert await source.fetch() == set()
    bearer = "Bearer token-for-auth"
    assert auth.seen == [(bearer, known) for known in ("", '"1"', '"1"', '"2"')]


@pytest.mark.parametrize(
    "answer",
    [
        Response(status_code=500),
        Response(status_code=401),
        Response(status_code=302, headers={"Location": "/oauth2/origins"}),
        Response("{"),
        JSONResponse({"origins": "https://a.example"}),
        JSONResponse({"origins": [1]}),
        JSONResponse({"origins": ["x" * (MAX_ORIGIN_CHARS + 1)]}),
        JSONResponse({"origins": ORIGINS * MAX_ORIGINS}),
    ],
)
async def test_answer_that_is_no_list_is_an_error(
    auth: Auth, source: OriginSource, answer: Response
) -> None:
    auth.answer = answer
    with pytest.raises((aiohttp.ClientError, ValueError)):
        await source.fetch()
    assert len(auth.seen) == 1


def test_as_many_and_as_long_origins_as_there_may_be_are_read() -> None:
    longest = "x" * MAX_ORIGIN_CHARS
    assert parse_origins({"origins": [longest] * MAX_ORIGINS}) == {longest}
