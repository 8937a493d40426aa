"""A connection that fails."""

from typing import Any


class Failing:
    """A connection whose statements fail."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def fetchval(self, *arguments: Any, **options: Any) -> Any:
        raise self.error

    fetch = fetchval
