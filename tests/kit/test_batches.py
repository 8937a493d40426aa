"""What waits is written together, in order and within bounds."""

import asyncio
from collections.abc import Sequence

import pytest

from apps.kit.batches import Batches, Waiting
from apps.kit.errors import Unavailable


class Writer:
    """Notes each batch; waits for `go_on` before it finishes what is no Exception."""

    def __init__(self) -> None:
        self.written: list[list[object]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def write(self, batch: Sequence[Waiting[object, str]]) -> None:
        self.written.append([waiting.item for waiting in batch])
        await self.go_on.wait()
        for waiting in batch:
            if isinstance(waiting.item, KeyError):
                raise waiting.item
            if isinstance(waiting.item, Exception):
                waiting.fail(waiting.item)
            else:
                waiting.finish(f"wrote {waiting.item}")


def batches_of(writer: Writer, **options: object) -> Batches[object, str]:
    bounds: dict[str, object] = {"max_batch": 3, "max_waiting": 6, "busy": "too_busy", **options}
    return Batches(writer.write, **bounds)  # type: ignore[arg-type]


async def test_what_comes_during_a_batch_makes_the_next() -> None:
    writer = Writer()
    writer.go_on.clear()
    batches = batches_of(writer)
    puts = [asyncio.create_task(batches.put(0))]
    await asyncio.sleep(0.01)
    puts += [asyncio.create_task(batches.put(number)) for number in range(1, 6)]
    await asyncio.sleep(0.01)
    assert writer.written == [[0]]
    writer.go_on.set()
    assert await asyncio.gather(*puts) == [f"wrote {number}" for number in range(6)]
    assert writer.written == [[0], [1, 2, 3], [4, 5]]


async def test_what_does_not_fit_begins_the_next_batch() -> None:
    writer = Writer()
    batches = batches_of(writer, fits=lambda batch, item: item not in batch)
    await asyncio.gather(*(batches.put(item) for item in ("a", "b", "b", "a", "c")))
    assert writer.written == [["a", "b"], ["b", "a", "c"]]


async def test_more_than_may_wait_are_refused() -> None:
    writer = Writer()
    writer.go_on.clear()
    batches = batches_of(writer)
    puts = [asyncio.create_task(batches.put(0))]
    await asyncio.sleep(0.01)
    puts += [asyncio.create_task(batches.put(number)) for number in range(5)]
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable) as refused:
        await batches.put("one too many")
    assert refused.value.code == "too_busy"
    writer.go_on.set()
    assert len(await asyncio.gather(*puts)) == 6


async def test_failure_is_of_its_own_item_or_of_all_that_were_not_finished() -> None:
    writer = Writer()
    batches = batches_of(writer)
    outcomes = await asyncio.gather(
        *(batches.put(item) for item in ("a", ValueError("bad"), "b")), return_exceptions=True
    )
    assert [str(outcome) for outcome in outcomes] == ["wrote a", "bad", "wrote b"]
    outcomes = await asyncio.gather(
        *(batches.put(item) for item in ("a", KeyError("broken"), "b")), return_exceptions=True
    )
    assert outcomes[0] == "wrote a"
    assert [type(outcome) for outcome in outcomes[1:]] == [KeyError, KeyError]
    # And the next is tried anew.
    assert await batches.put("c") == "wrote c"


async def test_unavailable_is_an_error_of_its_own_for_each() -> None:
    async def write(batch: Sequence[Waiting[object, str]]) -> None:
        raise Unavailable("away")

    batches: Batches[object, str] = Batches(write, max_batch=3, max_waiting=6, busy="too_busy")
    errors = await asyncio.gather(*(batches.put(item) for item in "ab"), return_exceptions=True)
    assert [getattr(error, "code", "") for error in errors] == ["away", "away"]
    assert errors[0] is not errors[1]


async def test_caller_who_went_away_keeps_nobody_back() -> None:
    writer = Writer()
    writer.go_on.clear()
    batches = batches_of(writer)
    gone, other = (asyncio.create_task(batches.put(item)) for item in ("gone", "other"))
    await asyncio.sleep(0.01)
    gone.cancel()
    writer.go_on.set()
    assert await other == "wrote other"
    assert gone.cancelled()


async def test_settling_waits_for_what_is_left() -> None:
    writer = Writer()
    writer.go_on.clear()
    batches = batches_of(writer)
    putting = asyncio.create_task(batches.put("last"))
    await asyncio.sleep(0.01)
    asyncio.get_running_loop().call_later(0.05, writer.go_on.set)
    await batches.settle()
    assert putting.done() or writer.go_on.is_set()
    assert await putting == "wrote last"
    await batches.settle()
