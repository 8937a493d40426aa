"""Serves analytics in the test's process, on the test's database and topics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from apps.analytics.app import Neighbours, create_app
from apps.analytics.settings import Settings
from apps.kit.errors import Unauthorized
from apps.kit.scopes import Principal

PUBLIC_URL = "https://health.example"
ANALYST = {"Authorization": "Bearer analyst"}
SNOMED = "http://snomed.info/sct"


class FakeVerifier:
    has_keys = True
    degraded = ()

    async def verify(self, token: str) -> Principal:
        scopes = {"analyst": "analytics.read", "clinician": "user/*.cruds", "admin": "admin"}
        if token not in scopes:
            raise Unauthorized
        return Principal(token, "web", PUBLIC_URL, frozenset({scopes[token]}), (), "jti", 0, 2**40)


@asynccontextmanager
async def serving(settings: Settings, neighbours: Neighbours) -> AsyncIterator[httpx.AsyncClient]:
    @asynccontextmanager
    async def given(settings: Settings) -> AsyncIterator[Neighbours]:
        yield neighbours

    app = create_app(settings, neighbours=given)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://analytics") as client:
            yield client


async def get(client: httpx.AsyncClient, path: str, status: int = 200) -> Any:
    answer = await client.get(f"/analytics/v1/{path}", headers=ANALYST)
    assert answer.status_code == status, answer.text
    return answer.json()
