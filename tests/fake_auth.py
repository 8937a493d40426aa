"""The auth service as the other services call it: tokens of their own, keys and revocations."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.gateway.running import REGISTERED_ORIGINS, serving, signing_key


@dataclass
class FakeAuth:
    """`asked`: the client and its secret of each request for a token."""

    url: str = ""
    asked: set[str] = field(default_factory=set)

    async def token(self, request: Request) -> Response:
        _, _, basic = request.headers["authorization"].partition(" ")
        self.asked.add(base64.b64decode(basic).decode())
        return JSONResponse({"access_token": "token", "expires_in": 600})

    async def keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [signing_key().as_dict(private=False)]})

    async def revocations(self, request: Request) -> Response:
        return JSONResponse({"tokens": [], "subjects": {}, "clients": {}, "families": {}})

    async def origins(self, request: Request) -> Response:
        return JSONResponse({"origins": REGISTERED_ORIGINS})


@asynccontextmanager
async def open_fake_auth() -> AsyncIterator[FakeAuth]:
    auth = FakeAuth()
    app = Starlette(
        routes=[
            Route("/oauth2/token", auth.token, methods=["POST"]),
            Route("/.well-known/jwks.json", auth.keys),
            Route("/oauth2/revocations", auth.revocations),
            Route("/oauth2/origins", auth.origins),
        ]
    )
    async with serving(app) as port:
        auth.url = f"http://127.0.0.1:{port}"
        yield auth
