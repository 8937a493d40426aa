"""The running platform as its users see it: addresses and credentials from `scripts/up --run`,
or a preview's.

Of a preview only PLATFORM_URL, _USER, _PASSWORD, _CLIENT_ID and _CLIENT_SECRET are known: tests
that need its keys, its databases or its services' own addresses are skipped there.
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
from apps.client.client import Client, Response, open_client
from apps.client.settings import ClientSettings

# How long a journey may take before the test gives it up; what it should take is asserted
# where it matters.
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


def is_problem(response: Response) -> bool:
    """Whether an error has the form that the path promises: problem details or an
    OperationOutcome.
    """
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    if kind == "application/fhir+json":
        return bool(response.body["resourceType"] == "OperationOutcome")
    return kind == "application/problem+json" and response.body["status"] == response.status


@dataclass
class Platform:
    """`urls`: of the gateway and, on this machine, of each HTTP service behind it."""

    client: Client
    urls: Mapping[str, str]
    tokens: dict[tuple[str, ...], str] = field(default_factory=dict)

    def servers_of(self, service: str) -> tuple[str, ...]:
        """Returns where the service can be called: through the gateway and, on this machine, at
        its own address.
        """
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
    ) -> Response:
        """Sends one request to the server `at`."""
        return await self.client.send(
            method, path, token=token, headers=headers, base_url=self.urls[at], **options
        )

    async def client_token(self, scope: str = "") -> str:
        """Returns an access token of the first client, asked for once."""
        key = (self.client.settings.client_id, scope)
        if key not in self.tokens:
            form = {"scope": scope} if scope else {}
            self.tokens[key] = token_of(await self.client.request_token(**form))
        return self.tokens[key]

    async def service_token(self, service: str, audience: str, scope: str = "") -> str:
        """Returns a service's own access token for the service `audience`, asked for once."""
        key = (f"service-{service}", scope, audience)
        if key not in self.tokens:
            secret = variable(f"{service.upper()}_CLIENT_SECRET")
            form = {"grant_type": "client_credentials", "scope": scope, "audience": audience}
            response = await self.call(
                "POST",
                "/oauth2/token",
                at="auth",
                data={name: value for name, value in form.items() if value},
                headers={"Authorization": aiohttp.encode_basic_auth(key[0], secret)},
            )
            self.tokens[key] = token_of(response)
        return self.tokens[key]

    async def user_token(self) -> str:
        """Signs the first administrator in by the short login."""
        body = {"email": variable("USER"), "password": variable("PASSWORD")}
        response = await self.call("POST", "/auth/login", json=body)
        assert response.status == 200, response.body
        token: str = response.body["token"]
        return token

    async def registrations(self) -> int:
        """Returns how many registrations analytics has counted."""
        response = await self.call(
            "GET", "/analytics/v1/registrations", token=await self.client_token()
        )
        assert response.status == 200, response.body
        total: int = response.body["total"]
        return total

    async def account_of(self, patient_id: str) -> Response:
        """Asks for the patient's billing account."""
        return await self.call(
            "GET", f"/billing/v1/accounts?patient={patient_id}", token=await self.client_token()
        )


def token_of(response: Response) -> str:
    assert response.status == 200, response.body
    token: str = response.body["access_token"]
    return token


async def sign_with_the_platforms_key(**changes: Any) -> str:
    """Returns a token as the auth service signs them, with `changes` to its claims."""
    public_url = variable("URL")
    now = int(time.time())
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


async def settle(platform: Platform) -> int:
    """Waits until the figures stand still and returns how many registrations were counted.

    What was registered a moment ago is still being counted.
    """
    seen = [-1]

    async def stands_still() -> bool:
        seen.append(await platform.registrations())
        if seen[-1] != seen[-2]:
            await asyncio.sleep(STILL_SECONDS)
        return seen[-1] == seen[-2]

    await until(stands_still, limit_seconds=SETTLE_LIMIT_SECONDS)
    return seen[-1]


async def until(
    condition: Callable[[], Awaitable[bool]], limit_seconds: float = LIMIT_SECONDS
) -> float:
    """Waits for `condition` within the limit and returns the seconds that it took."""
    started_at = time.perf_counter()
    async with asyncio.timeout(limit_seconds):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
    return time.perf_counter() - started_at


@contextlib.asynccontextmanager
async def open_platform() -> AsyncIterator[Platform]:
    """Opens a client of the platform that the environment names; skips the test if
    it names none.
    """
    settings = ClientSettings(
        url=variable("URL"),
        client_id=variable("CLIENT_ID"),
        client_secret=variable("CLIENT_SECRET"),
    )
    urls = {"gateway": settings.url}
    for name in ("auth", "patient", "analytics"):
        if url := os.environ.get(f"PLATFORM_{name.upper()}_URL"):
            urls[name] = url
    async with open_client(settings=settings) as client:
        yield Platform(client, urls)
