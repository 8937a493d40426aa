"""Numbers out of blocks."""

from typing import Any

from apps.patient.storage.numbers import BLOCK, NumberBlocks


class Sequence:
    """A database whose sequence steps by a block, from 1."""

    def __init__(self) -> None:
        self.asked = 0

    async def fetchval(self, statement: str) -> int:
        self.asked += 1
        return 1 + (self.asked - 1) * BLOCK


async def test_numbers_are_given_once_and_in_order_and_a_block_is_used_up() -> None:
    sequence: Any = Sequence()
    blocks = NumberBlocks("numbers")
    given: list[int] = []
    for count in (0, 1, BLOCK - 1, 1, 2 * BLOCK, BLOCK - 1):
        taken = await blocks.take(sequence, count)
        assert len(taken) == count
        given += taken
    assert given == list(range(1, 4 * BLOCK + 1))
    assert sequence.asked == 4
