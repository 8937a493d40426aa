"""What tests of idempotency keys share."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

WAIT_SECONDS = 15.0


@contextmanager
def in_flight(database_url: str, *identity: str) -> Iterator[None]:
    """While another request with this identity (see `Claim`) is in flight."""
    held, let_go = threading.Event(), threading.Event()

    async def hold() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute(
            "SELECT pg_advisory_lock(hashtextextended($1, 0))", "\x1f".join(identity)
        )
        held.set()
        await asyncio.to_thread(let_go.wait)
        await connection.close()

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    try:
        assert held.wait(WAIT_SECONDS)
        yield
    finally:
        let_go.set()
        thread.join()
