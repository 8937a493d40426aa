"""Watches what the services say to PostgreSQL in the tests, for what PostgreSQL does not refuse: a
lock that ends with its own statement, and several writes of which a failure keeps some.
"""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from apps.kit.database import Connection, Database, PooledConnection

TESTS = str(Path(__file__).parent)
WRITE = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM|MERGE INTO)\b")
# A lock's own words would look like a write.
LOCK = re.compile(r"\bFOR (NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)\b|\bpg_advisory_xact_lock")


class Statements:
    """`faults` are sentences about statements outside a transaction."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._written: dict[int, list[str]] = {}

    def note(self, connection: Connection, query: str) -> None:
        if connection.is_in_transaction() or id(connection) not in self._written:
            return
        is_write = WRITE.search(LOCK.sub("", query)) is not None
        if is_write:
            self._written[id(connection)].append(query)
        elif LOCK.search(query):
            self.faults.append(f"a lock outside a transaction: {query}")

    def begin(self, connection: Connection) -> None:
        self._written[id(connection)] = []

    def end(self, connection: Connection) -> None:
        written = self._written.pop(id(connection))
        if len(set(written)) > 1:
            self.faults.append("writes without a transaction: " + "; ".join(written))


def watch() -> Statements:
    """Watches the connections of every `Database` of this process from now on."""
    seen = Statements()
    borrow = Database.connection

    @asynccontextmanager
    async def connection(self: Database) -> AsyncIterator[Connection]:
        async with borrow(self) as borrowed:
            if is_called_by_a_test():
                yield borrowed
                return
            held = getattr(borrowed, "_con", borrowed)
            seen.begin(held)
            try:
                yield borrowed
            finally:
                seen.end(held)

    Database.connection = connection  # type: ignore[method-assign]
    for name in ("execute", "_execute", "_executemany"):
        setattr(PooledConnection, name, noted(seen, getattr(PooledConnection, name)))
    return seen


def is_called_by_a_test() -> bool:
    """Whether a test borrows the connection, and not a service."""
    frame = sys._getframe(2)
    while frame.f_back and Path(frame.f_code.co_filename).name in ("contextlib.py", "database.py"):
        frame = frame.f_back
    return frame.f_code.co_filename.startswith(TESTS)


def noted(seen: Statements, method: Any) -> Any:
    async def run(self: Connection, query: str, *arguments: Any, **options: Any) -> Any:
        seen.note(self, query)
        return await method(self, query, *arguments, **options)

    return run
