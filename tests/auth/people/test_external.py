"""What the organization's provider answers: what is believed, and what counts as its absence."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey

from apps.auth.people.external import (
    CLOCK_LEEWAY_SECONDS,
    MAX_ANSWER_BYTES,
    METADATA_LIFE_SECONDS,
    ExternalPerson,
    ExternalProvider,
    ExternalSignIn,
    ExternalSignInError,
    ProviderClient,
)
from apps.kit.errors import Unavailable
from tests.ports import free_port

KEY = ECKey.generate_key("P-256", {"kid": "k"})
SIGN_IN = ExternalSignIn(nonce="ours", verifier="v", next="")


@dataclass
class FakeProvider:
    """A provider. `status` and `body` are of its token endpoint, empty for an id token."""

    issuer: str = ""
    keys: Any = field(default_factory=lambda: {"keys": [KEY.as_dict(private=False)]})
    metadata: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    body: bytes = b""
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path == "/jwks":
            return web.json_response(self.keys)
        if request.path == "/token":
            return web.Response(status=self.status, body=self.body or self.id_token())
        metadata = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
        }
        return web.json_response(metadata | self.metadata)

    def id_token(self) -> bytes:
        claims = {
            "iss": self.issuer,
            "aud": "us",
            "exp": int(time.time()) + 60,
            "nonce": "ours",
            "sub": "1",
            "email": "a@example.org",
            "groups": ["Doctors"],
        }
        token = jwt.encode({"alg": "ES256", "kid": "k"}, claims | self.claims, KEY, ["ES256"])
        return json.dumps({"id_token": token}).encode()


@asynccontextmanager
async def client_of(fake: FakeProvider) -> AsyncIterator[ProviderClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    fake.issuer = f"http://{host}:{port}"
    try:
        async with aiohttp.ClientSession() as session:
            yield ProviderClient(provider_at(fake.issuer), session)
    finally:
        await runner.cleanup()


def provider_at(issuer: str) -> ExternalProvider:
    return ExternalProvider(
        issuer=issuer,
        client_id="us",
        client_secret="secret",
        name="Clinic ID",
        roles_claim="groups",
        roles={"Doctors": "clinician"},
    )


async def redeem(fake: FakeProvider) -> ExternalPerson:
    async with client_of(fake) as client:
        return await client.redeem("code", SIGN_IN, "https://us.example/callback")


@pytest.mark.parametrize("status", [400, 499])
async def test_code_that_the_provider_refuses_gives_nobody(status: int) -> None:
    with pytest.raises(ExternalSignInError, match=str(status)):
        await redeem(FakeProvider(status=status, body=b"{}"))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (399, b"{}"),
        (500, b"{}"),
        (503, b"{}"),
        (201, b"{}"),
        (200, b"no JSON"),
        (200, b"\xff"),
        (200, b"[" * 9_000),
        (200, b"[]"),
        (200, b"{" + b" " * MAX_ANSWER_BYTES + b"}"),
    ],
    ids=lambda value: str(value)[:12],
)
async def test_answer_that_is_none_counts_as_an_absent_provider(status: int, body: bytes) -> None:
    with pytest.raises(Unavailable):
        await redeem(FakeProvider(status=status, body=body))


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"issuer": "https://other.example"}},
        {"metadata": {"jwks_uri": None}},
        {"keys": {"keys": [{"kty": "oct"}]}},
        {"keys": {}},
    ],
    ids=["another issuer", "no address of keys", "malformed key", "no keys"],
)
async def test_metadata_or_keys_that_are_not_valid_count_as_an_absent_provider(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(Unavailable):
        await redeem(FakeProvider(**changes))


async def test_absent_provider_is_unavailable() -> None:
    async with aiohttp.ClientSession() as session:
        client = ProviderClient(provider_at(f"http://127.0.0.1:{free_port()}"), session)
        with pytest.raises(Unavailable):
            await client.authorization_url("s", "n", "c", "https://us.example/callback")


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({}, ""),
        ({"sub": "s" * 255}, ""),
        ({"sub": "s" * 256}, "no subject"),
        ({"sub": ""}, "no subject"),
        ({"sub": "a\n"}, "no subject"),
        ({"sub": 7}, "no subject"),
        ({"email": "nobody"}, "no verified"),
        ({"email": None}, "no verified"),
        ({"aud": ["us"]}, ""),
        ({"aud": ["us", "others"], "azp": "us"}, ""),
        ({"aud": ["us", "others"], "azp": "others"}, "another authorized party"),
        ({"exp": "soon"}, "expired"),
    ],
)
async def test_claims_are_believed_as_they_are_meant(claims: dict[str, Any], reason: str) -> None:
    fake = FakeProvider(claims=claims)
    if not reason:
        person = await redeem(fake)
        assert (person.subject, person.roles) == (claims.get("sub", "1"), ("clinician",))
        return
    with pytest.raises(ExternalSignInError, match=reason):
        await redeem(fake)


async def test_id_token_that_is_none_gives_nobody() -> None:
    for body in ({}, {"id_token": 7}, {"id_token": "a.b.c"}):
        with pytest.raises(ExternalSignInError):
            await redeem(FakeProvider(body=json.dumps(body).encode()))


async def test_id_token_is_good_for_the_leeway_of_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    clock = SimpleNamespace(time=lambda: now, monotonic=time.monotonic)
    monkeypatch.setattr("apps.auth.people.external.time", clock)
    ended = int(now) - CLOCK_LEEWAY_SECONDS
    assert (await redeem(FakeProvider(claims={"exp": ended}))).subject == "1"
    with pytest.raises(ExternalSignInError, match="expired"):
        await redeem(FakeProvider(claims={"exp": ended - 1}))


async def test_name_is_cut_and_of_printable_characters() -> None:
    for name, kept in (("n" * 201, "n" * 200), ("a\nb", ""), (7, "")):
        assert (await redeem(FakeProvider(claims={"name": name}))).name == kept


async def test_metadata_and_keys_are_read_again_after_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = SimpleNamespace(seconds=1_000.0)
    clock = SimpleNamespace(time=time.time, monotonic=lambda: now.seconds)
    monkeypatch.setattr("apps.auth.people.external.time", clock)
    fake = FakeProvider()
    async with client_of(fake) as client:
        for seconds, read in ((0.0, 1), (METADATA_LIFE_SECONDS - 1, 1), (1.0, 2)):
            now.seconds += seconds
            await client.authorization_url("s", "n", "c", "https://us.example/callback")
            assert fake.asked.count("/jwks") == read


async def test_query_of_the_providers_own_address_is_kept() -> None:
    fake = FakeProvider()
    async with client_of(fake) as client:
        first = await client.authorization_url("s", "n", "c", "https://us.example/callback")
    assert first.startswith(f"{fake.issuer}/authorize?response_type=code")
    fake = FakeProvider(metadata={"authorization_endpoint": "https://id.example/?tenant=1"})
    async with client_of(fake) as client:
        url = await client.authorization_url("s", "n", "c", "https://us.example/callback")
    assert url.startswith("https://id.example/?tenant=1&response_type=code")
