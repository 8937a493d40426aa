"""However often health is asked, what stands behind it is asked once at a time, once a second."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from apps.kit.health import HEALTH_CACHE_SECONDS, LIVENESS, health_handler

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Checked:
    """A service that is `ready` or not; counts how often and how many at once ask."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ready = True
        self.asked = self.asking = self.most = 0
        self.now = 1_000.0
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr("apps.kit.health.time", clock)
        self._handler = health_handler(self.is_ready)

    async def is_ready(self) -> bool:
        self.asked += 1
        self.asking += 1
        self.most = max(self.most, self.asking)
        await asyncio.sleep(0)
        self.asking -= 1
        return self.ready

    def _method(self, name: str) -> Any:
        call = SimpleNamespace(method=f"/grpc.health.v1.Health/{name}", invocation_metadata=())
        return self._handler.service(call)

    async def status(self, service: str = "") -> int:
        request = health_pb2.HealthCheckRequest(service=service)
        return int((await self._method("Check").unary_unary(request, None)).status)

    def watch(self) -> Any:
        return self._method("Watch").unary_stream(health_pb2.HealthCheckRequest(), None)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    return Checked(monkeypatch)


async def test_status_is_kept_for_a_second(checked: Checked) -> None:
    assert await checked.status() == SERVING
    checked.ready = False
    checked.now += HEALTH_CACHE_SECONDS
    assert (await checked.status(), checked.asked) == (SERVING, 1)
    checked.now += 0.001
    assert (await checked.status(), checked.asked) == (NOT_SERVING, 2)


async def test_many_at_once_ask_once(checked: Checked) -> None:
    assert await asyncio.gather(*(checked.status() for _ in range(10))) == [SERVING] * 10
    assert (checked.asked, checked.most) == (1, 1)


async def test_process_that_runs_is_alive_however_its_service_is(checked: Checked) -> None:
    checked.ready = False
    assert (await checked.status(LIVENESS), checked.asked) == (SERVING, 0)
    assert await checked.status() == NOT_SERVING


async def test_watcher_is_told_of_changes_alone(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.kit.health.HEALTH_WATCH_SECONDS", 0.0)
    watching = checked.watch()
    assert (await anext(watching)).status == SERVING
    following = asyncio.create_task(anext(watching))
    async with asyncio.timeout(5):
        while checked.asked < 3:
            assert not following.done()
            checked.now += HEALTH_CACHE_SECONDS + 1
            await asyncio.sleep(0)
        checked.ready = False
        while not following.done():
            checked.now += HEALTH_CACHE_SECONDS + 1
            await asyncio.sleep(0)
    assert (await following).status == NOT_SERVING
    await watching.aclose()
