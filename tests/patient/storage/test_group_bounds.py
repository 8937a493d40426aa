"""What a group of changes holds, and what a stop waits for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apps.patient.storage import group_commit
from apps.patient.storage.group_commit import GroupCommit, Write, fits
from apps.patient.storage.versions import Author


async def test_stop_waits_for_what_is_being_written() -> None:
    release, closed = asyncio.Event(), asyncio.Event()

    class Slow:
        async def write(self, *arguments: Any) -> bool:
            await release.wait()
            closed.set()
            return True

    class Nothing:
        @contextlib.asynccontextmanager
        async def connection(self) -> AsyncIterator[None]:
            yield None

    commit = GroupCommit(cast(Any, Nothing()), cast(Any, Slow()))
    change, author = write_of("a").change, write_of("a").author
    task = asyncio.create_task(commit.write(change, author, ()))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(2 * group_commit.GROUP_SECONDS, release.set)
    await commit.aclose()
    assert closed.is_set()
    assert await task


def write_of(id: str, chars: int = 2, resource_type: str = "Observation") -> Write:
    version: Any = SimpleNamespace(resource_type=resource_type, id=id, body="x" * chars)
    change: Any = SimpleNamespace(version=version)
    return Write(change, Author("a", "c", "r", ""), ())


def test_group_is_bounded_in_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_GROUP_CHARS", 10)
    assert fits([write_of("a", 6)], write_of("b", 4))
    assert not fits([write_of("a", 6)], write_of("b", 5))
    assert not fits([write_of("a", 1)], write_of("a", 1))
    assert fits([write_of("a", 1)], write_of("a", 1, "Condition"))
