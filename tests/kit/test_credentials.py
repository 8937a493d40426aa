import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from apps.kit.credentials import ServiceCredentials
from apps.kit.errors import Unavailable


@dataclass
class FakeIssuer:
    """Answers `POST /oauth2/token` with a new token a time, or with `status`."""

    status: int = 200
    expires_in: int = 600
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append((str(form["audience"]), request.headers["Authorization"]))
        body = {"access_token": f"token-{len(self.asked)}", "expires_in": self.expires_in}
        return web.json_response(body, status=self.status)


@asynccontextmanager
async def open_credentials(issuer: FakeIssuer) -> AsyncIterator[ServiceCredentials]:
    app = web.Application()
    app.router.add_post("/oauth2/token", issuer.token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession() as session:
        yield ServiceCredentials(f"http://{host}:{port}", "service-patient", "s&cret", session)
    await runner.cleanup()


async def test_many_callers_share_one_request_for_a_token() -> None:
    issuer = FakeIssuer()
    async with open_credentials(issuer) as credentials:
        tokens = await asyncio.gather(*(credentials.token("billing") for _ in range(20)))
    assert set(tokens) == {"token-1"}
    assert issuer.asked == [("billing", aiohttp.encode_basic_auth("service-patient", "s%26cret"))]


async def test_each_audience_and_scope_has_its_own_token() -> None:
    issuer = FakeIssuer()
    async with open_credentials(issuer) as credentials:
        tokens = {
            await credentials.token("billing"),
            await credentials.token("auth"),
            await credentials.token("billing", "billing.system"),
        }
    assert len(tokens) == 3


async def test_token_near_its_end_is_renewed() -> None:
    issuer = FakeIssuer(expires_in=30)
    async with open_credentials(issuer) as credentials:
        assert await credentials.token("auth") == "token-1"
        assert await credentials.token("auth") == "token-2"


async def test_token_at_hand_serves_while_auth_refuses_to_renew_it() -> None:
    issuer = FakeIssuer(expires_in=30)
    async with open_credentials(issuer) as credentials:
        assert await credentials.token("auth") == "token-1"
        issuer.status = 503
        assert await credentials.token("auth") == "token-1"


async def test_refusal_is_unavailable_and_not_asked_again_at_once() -> None:
    issuer = FakeIssuer(status=401)
    async with open_credentials(issuer) as credentials:
        for _ in range(3):
            with pytest.raises(Unavailable):
                await credentials.token("auth")
    assert len(issuer.asked) == 1
