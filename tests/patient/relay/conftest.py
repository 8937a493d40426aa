"""A database of its own for each module, and a connection to it with an empty outbox."""

from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest


@pytest.fixture(scope="module")
def database(make_database: Any) -> Iterator[str]:
    """One of its own: elsewhere a running service leads."""
    with make_database("patient") as (runtime_url, _):
        yield runtime_url


@pytest.fixture
async def connection(database: str) -> Any:
    connection = await asyncpg.connect(database)
    await connection.execute("DELETE FROM outbox")
    yield connection
    await connection.execute("DELETE FROM outbox")
    await connection.close()
