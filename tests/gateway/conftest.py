from collections.abc import AsyncIterator

import pytest

from apps.kit import uvicorn_protocol
from tests.gateway.running import Gateway, open_gateway


@pytest.fixture(autouse=True)
def quick_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_protocol, "STOP_IDLE_SECONDS", 0.05)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway() as opened:
        yield opened
