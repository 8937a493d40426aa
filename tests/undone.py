"""A connection for a test whose changes nobody else sees, and nothing is left of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg


@asynccontextmanager
async def undone(url: str) -> AsyncIterator[Any]:
    """Yields a connection whose changes are undone at the end."""
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()
