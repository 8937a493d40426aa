"""Analytics from its start to its end, with an auth service that knows it."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from apps.analytics.__main__ import serve
from apps.analytics.settings import Settings
from tests.analytics.conftest import ENVIRONMENT, Bench, until
from tests.fake_auth import open_fake_auth
from tests.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]


async def test_it_is_ready_once_it_has_the_keys_and_ends_when_it_is_told(bench: Bench) -> None:
    port = free_port()
    async with open_fake_auth() as auth, httpx.AsyncClient() as client:
        asks = Settings.from_environment({**ENVIRONMENT, "AUTH_URL": auth.url}).verifier
        settings = replace(bench.settings, port=port, verifier=asks)
        stop = asyncio.Event()
        task = asyncio.create_task(serve(settings, stop))

        async def is_ready() -> bool:
            if task.done():
                task.result()
            try:
                answer = await client.get(f"http://127.0.0.1:{port}/readyz")
            except httpx.ConnectError:
                return False
            return answer.status_code == 200 and answer.json()["degraded"] == []

        try:
            await until(is_ready)
        finally:
            stop.set()
            await task
        assert auth.asked == {"service-analytics:secret"}
