from collections.abc import AsyncIterator

import pytest

from apps.kit import http_server, uvicorn_protocol
from tests.gateway.running import Gateway, open_gateway


@pytest.fixture(autouse=True)
def quick_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_protocol, "STOP_IDLE_SECONDS", 0.05)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway() as opened:
        yield opened


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_protocol, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(http_server, "UNREAD_SECONDS", 0.4)
    monkeypatch.setattr(http_server, "KEEP_ALIVE_SECONDS", 0.6)
