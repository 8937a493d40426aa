import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from apps.kit.credentials import (
    RENEW_BEFORE_SECONDS,
    RETRY_AFTER_SECONDS,
    ServiceCredentials,
)
from apps.kit.errors import Unavailable
from tests.ports import free_port


@dataclass
class FakeIssuer:
    """Answers `POST /oauth2/token` with a new token a time, or with `status`."""

    status: int = 200
    expires_in: object = 600
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


@pytest.mark.parametrize("expires_in", ["soon", None])
async def test_malformed_answer_is_unavailable(expires_in: object) -> None:
    async with open_credentials(FakeIssuer(expires_in=expires_in)) as credentials:
        with pytest.raises(Unavailable):
            await credentials.token("auth")


async def test_absent_auth_is_unavailable() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with aiohttp.ClientSession() as session:
        credentials = ServiceCredentials(url, "service-patient", "secret", session)
        with pytest.raises(Unavailable) as raised:
            await credentials.token("auth")
    assert raised.value.code == "auth_unavailable"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of the credentials, which moves by hand."""
    now = SimpleNamespace(seconds=1_000.0)
    clock = SimpleNamespace(monotonic=lambda: now.seconds)
    monkeypatch.setattr("apps.kit.credentials.time", clock)
    return now


async def test_token_is_renewed_from_a_minute_before_its_end(now: SimpleNamespace) -> None:
    async with open_credentials(FakeIssuer(expires_in=600)) as credentials:
        assert await credentials.token("auth") == "token-1"
        now.seconds += 600 - RENEW_BEFORE_SECONDS - 1
        assert await credentials.token("auth") == "token-1"
        now.seconds += 1
        assert await credentials.token("auth") == "token-2"


async def test_token_serves_until_its_end_while_auth_is_away(now: SimpleNamespace) -> None:
    issuer = FakeIssuer(expires_in=600)
    async with open_credentials(issuer) as credentials:
        assert await credentials.token("auth") == "token-1"
        issuer.status = 503
        now.seconds += 599
        assert await credentials.token("auth") == "token-1"
        now.seconds += 1
        with pytest.raises(Unavailable):
            await credentials.token("auth")


async def test_auth_that_refused_is_asked_again_after_a_second(now: SimpleNamespace) -> None:
    issuer = FakeIssuer(status=503)
    async with open_credentials(issuer) as credentials:
        for seconds, asked in ((0.0, 1), (RETRY_AFTER_SECONDS - 0.5, 1), (0.5, 2)):
            now.seconds += seconds
            with pytest.raises(Unavailable):
                await credentials.token("auth")
            assert len(issuer.asked) == asked
