"""Numbers out of a PostgreSQL sequence in blocks: each is known before its row is written. None
is given twice.
"""

from apps.kit.database import Connection

BLOCK = 100


class NumberBlocks:
    """`sequence` steps by BLOCK; a block that a stopped process had left is not used again."""

    def __init__(self, sequence: str) -> None:
        self._sequence = sequence
        self._next = self._end = 0

    async def take(self, connection: Connection, count: int) -> list[int]:
        numbers: list[int] = []
        while len(numbers) < count:
            if self._next == self._end:
                first = await connection.fetchval(f"SELECT nextval('{self._sequence}')")
                # Another task may have drawn a block meanwhile; ours goes on, the
                # other's rest is left.
                self._next, self._end = first, first + BLOCK
            end = min(self._end, self._next + count - len(numbers))
            numbers += range(self._next, end)
            self._next = end
        return numbers
