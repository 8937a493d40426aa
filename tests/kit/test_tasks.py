import asyncio
from contextlib import suppress

from apps.kit.context import current_context, read_context, use_context
from apps.kit.tasks import running


async def test_background_tasks_end_with_their_block() -> None:
    ended: list[str] = []
    begun = asyncio.Semaphore(0)

    async def forever(name: str) -> None:
        begun.release()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    with suppress(ValueError):
        async with asyncio.timeout(5), running(forever("one"), forever("two")):
            for _ in range(2):
                await begun.acquire()
            raise ValueError
    assert sorted(ended) == ["one", "two"]


def test_context_is_the_one_before_at_the_end_of_its_block() -> None:
    outer, inner = read_context("outer", None), read_context("inner", None)
    with use_context(outer):
        with suppress(ValueError), use_context(inner):
            assert current_context() == inner
            raise ValueError
        assert current_context() == outer
    assert current_context() is None
