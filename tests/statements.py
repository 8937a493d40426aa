"""Watches what the services of this process say to PostgreSQL, for what PostgreSQL does not refuse:
a lock that ends with its own statement, and several writes of which a failure keeps some.

Not seen: one statement again and again (a second try is no fault), writes on one connection after
another, and those inside a function of the database.
"""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from apps.kit.database import Connection, Database, PooledConnection

TESTS = str(Path(__file__).parent)
WRITE = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM|MERGE INTO)\b")
# A lock's own words would look like a write.
LOCK = re.compile(
    r"\bFOR (NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)\b|\bpg_(try_)?advisory_xact_lock\b"
)


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

    def end(self, connection: Connection, borrower: str) -> None:
        written = self._written.pop(id(connection))
        if len(set(written)) > 1:
            self.faults.append(f"{borrower}: writes without a transaction: {'; '.join(written)}")

    def take(self) -> list[str]:
        faults, self.faults = self.faults, []
        return faults


def watch() -> Statements:
    """Watches the connections of every `Database` of this process from now on."""
    seen = Statements()
    borrow = Database.connection

    @asynccontextmanager
    async def connection(self: Database) -> AsyncIterator[Connection]:
        async with borrow(self) as borrowed:
            frame = borrower_of(sys._getframe())
            if frame.f_code.co_filename.startswith(TESTS):
                yield borrowed
                return
            held = getattr(borrowed, "_con", borrowed)
            seen.begin(held)
            try:
                yield borrowed
            finally:
                seen.end(held, f"{frame.f_code.co_filename}:{frame.f_lineno}")

    Database.connection = connection  # type: ignore[method-assign]
    for name in ("_execute", "_executemany"):
        setattr(PooledConnection, name, noted(seen, getattr(PooledConnection, name)))
    # With arguments it goes by `_execute`.
    PooledConnection.execute = noted(seen, PooledConnection.execute, bare=True)
    return seen


def borrower_of(frame: FrameType) -> FrameType:
    """Returns the frame of who asked for the connection, a service or a test."""
    while frame.f_back and Path(frame.f_code.co_filename).name in (
        "statements.py",
        "contextlib.py",
        "database.py",
    ):
        frame = frame.f_back
    return frame


def noted(seen: Statements, method: Any, *, bare: bool = False) -> Any:
    async def run(self: Connection, query: str, *arguments: Any, **options: Any) -> Any:
        if not (bare and arguments):
            seen.note(self, query)
        return await method(self, query, *arguments, **options)

    return run
