import asyncio
import gc
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from apps.kit import start
from apps.kit.start import run_service


@dataclass(frozen=True)
class Settings:
    log_format: str = "text"


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_collector_leaves_alone_what_a_service_was_started_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start, "SETTLED_SECONDS", 0.01)
    monkeypatch.setattr(start, "configure_logging", lambda log_format: None)
    frozen = 0

    async def serve(settings: Settings, stop: asyncio.Event) -> None:
        nonlocal frozen
        assert gc.get_freeze_count() == 0
        async with asyncio.timeout(5):
            while not frozen:
                await asyncio.sleep(0.01)
                frozen = gc.get_freeze_count()
        assert gc.get_threshold()[0] == start.COLLECT_OBJECTS

    assert run_service(Settings(), serve) == 0
    assert frozen > 10_000
