import asyncio
import gc
import subprocess
import sys
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


# With glibc; another C library keeps nothing anyway.
HASHING = """
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from argon2 import PasswordHasher
from apps.kit.start import fix_mapped_bytes

def resident_kib():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

fix_mapped_bytes()
hasher = PasswordHasher(time_cost=1, memory_cost=19 * 1024, parallelism=1)
before = resident_kib()
with ThreadPoolExecutor(2) as pool:
    list(pool.map(hasher.hash, ["a password"] * 6))
print(resident_kib() - before)
"""


def test_memory_of_password_hashes_goes_back_to_the_system() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HASHING], check=True, capture_output=True, text=True
    )
    assert int(ended.stdout) < 10 * 1024
