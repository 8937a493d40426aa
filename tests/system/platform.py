"""The running platform as its users see it: addresses and credentials from `scripts/up --run`, or a preview's.

Of a preview there are only PLATFORM_URL, and the USER, PASSWORD, CLIENT_ID and CLIENT_SECRET that enter it: what needs
its keys, its databases or its services' own doors is skipped there.
"""

import asyncio
import base64
import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
import pytest
from joserfc import jwt

from apps.auth.keys import select_key_ring

# How long a journey may take before the test gives it up; what it should take is asserted where it matters.
LIMIT_SECONDS = 10.0
POLL_SECONDS = 0.02
# The relay and the consumer take less for one event.
STILL_SECONDS = 1.0
SETTLE_LIMIT_SECONDS = 60.0


def variable(name: str) -> str:
    value = os.environ.get(f"PLATFORM_{name}")
    if value is None:
        pytest.skip(
            f"PLATFORM_{name} is not set: scripts/test system has it, of a platform on this machine"
        )
    return value


def is_on_this_machine() -> bool:
    return "PLATFORM_PIDS" in os.environ


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def is_problem(self) -> bool:
        """Told as the caller of the path expects it."""
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        if kind == "application/fhir+json":
            return bool(self.body["resourceType"] == "OperationOutcome")
        return kind == "application/problem+json" and self.body["status"] == self.status


@dataclass
class Platform:
    session: aiohttp.ClientSession
    urls: Mapping[str, str]
    tokens: dict[tuple[str, ...], str] = field(default_factory=dict)

    def doors(self, service: str) -> tuple[str, ...]:
        """Where it can be asked: through the gateway and, on this machine, at its own address."""
        return ("gateway", service) if service in self.urls else ("gateway",)

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        at: str = "gateway",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """`at`: the service that is asked."""
        sent = {
            **(headers or {}),
            **({"Authorization": f"Bearer {token}"} if token is not None else {}),
        }
        async with self.session.request(
            method, self.urls[at] + path, headers=sent, allow_redirects=False, **options
        ) as answer:
            is_json = "json" in answer.content_type
            body = await answer.json(content_type=None) if is_json else await answer.text()
            return Answer(answer.status, answer.headers.copy(), body)

    async def client_token(self, scope: str = "") -> str:
        return await self._token(variable("CLIENT_ID"), variable("CLIENT_SECRET"), scope=scope)

    async def service_token(self, service: str, audience: str, scope: str = "") -> str:
        secret = variable(f"{service.upper()}_CLIENT_SECRET")
        return await self._token(
            f"service-{service}", secret, scope=scope, audience=audience, at="auth"
        )

    async def _token(
        self, client_id: str, secret: str, *, scope: str, audience: str = "", at: str = "gateway"
    ) -> str:
        key = (client_id, scope, audience)
        if key not in self.tokens:
            form = {"grant_type": "client_credentials", "scope": scope, "audience": audience}
            answer = await self.call(
                "POST",
                "/oauth2/token",
                at=at,
                data={name: value for name, value in form.items() if value},
                headers={"Authorization": aiohttp.encode_basic_auth(client_id, secret)},
            )
            assert answer.status == 200, answer.body
            self.tokens[key] = answer.body["access_token"]
        return self.tokens[key]

    async def user_token(self) -> str:
        body = {"email": variable("USER"), "password": variable("PASSWORD")}
        answer = await self.call("POST", "/auth/login", json=body)
        assert answer.status == 200, answer.body
        token: str = answer.body["token"]
        return token

    async def registrations(self) -> int:
        answer = await self.call(
            "GET", "/analytics/v1/registrations", token=await self.client_token()
        )
        assert answer.status == 200, answer.body
        total: int = answer.body["total"]
        return total

    async def account_of(self, patient_id: str) -> Answer:
        return await self.call(
            "GET", f"/billing/v1/accounts?patient={patient_id}", token=await self.client_token()
        )


async def sign_with_the_platforms_key(**changes: Any) -> str:
    """A token as the auth service makes them, but for `changes`."""
    public_url, now = variable("URL"), int(time.time())
    secret = base64.urlsafe_b64decode(variable("AUTH_KEY_ENCRYPTION_KEY") + "==")
    connection = await asyncpg.connect(variable("AUTH_DATABASE_URL"))
    try:
        ring = await select_key_ring(connection, secret)
    finally:
        await connection.close()
    assert ring is not None
    claims = {
        "iss": public_url,
        "aud": public_url,
        "sub": "system-test",
        "client_id": variable("CLIENT_ID"),
        "jti": str(uuid.uuid4()),
        "iat": now,
        "exp": now + 600,
        "scope": "system/*.cruds billing.read billing.write analytics.read admin",
        "roles": [],
        **changes,
    }
    header = {"alg": ring.active.algorithm, "kid": ring.active.id, "typ": "at+jwt"}
    return jwt.encode(header, claims, ring.active.key, [ring.active.algorithm])


async def settle(platform: Platform) -> None:
    """Waits until the figures stand still: what was loaded a moment ago is still being counted."""
    seen = [-1]

    async def stands_still() -> bool:
        seen.append(await platform.registrations())
        if seen[-1] != seen[-2]:
            await asyncio.sleep(STILL_SECONDS)
        return seen[-1] == seen[-2]

    await until(stands_still, limit_seconds=SETTLE_LIMIT_SECONDS)


async def until(
    condition: Callable[[], Awaitable[bool]], limit_seconds: float = LIMIT_SECONDS
) -> float:
    """Waits for `condition`, within the limit; the seconds that it took."""
    started_at = time.perf_counter()
    async with asyncio.timeout(limit_seconds):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
    return time.perf_counter() - started_at


@contextlib.asynccontextmanager
async def open_platform() -> AsyncIterator[Platform]:
    urls = {"gateway": variable("URL")}
    for name in ("auth", "patient", "analytics"):
        if url := os.environ.get(f"PLATFORM_{name.upper()}_URL"):
            urls[name] = url
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT_SECONDS)) as session:
        yield Platform(session, urls)
