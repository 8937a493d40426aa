"""Writes the record: current versions, index, audit and outbox in ONE statement, be it for one
change or 5,000.

The trigger `resource_version` moves the version that is replaced into the history, and
refuses a writer that did not see it. Part of a transaction where there is one; a transaction
by itself otherwise.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any

import asyncpg

from apps.kit.database import Connection
from apps.kit.errors import Conflict
from apps.patient.search.index import hashing
from apps.patient.storage.layout import Layout
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.parts import (
    Part,
    Rows,
    change_parts,
    record_parts,
    rewriting_parts,
)
from apps.patient.storage.reading import ALL_LIVING, living_arguments
from apps.patient.storage.table_writes import Write
from apps.patient.storage.versions import Author, Change

# How long a group waits for each lock of a row.
LOCK_TIMEOUT = "50ms"


class TextCache:
    """Remembers which display texts the database has, so that common ones are sent once."""

    MAX_TEXTS = 50_000

    def __init__(self) -> None:
        self._known: set[tuple[Any, ...]] = set()

    def unknown(self, texts: Iterable[tuple[int, str, int]]) -> Rows:
        return [text for text in set(texts) if text not in self._known]

    def remember(self, texts: Iterable[tuple[Any, ...]]) -> None:
        if len(self._known) > self.MAX_TEXTS:
            self._known.clear()
        self._known.update(texts)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes changes; `numbers` gives the rows of new resources their place."""

    numbers: NumberBlocks
    texts: TextCache
    layout: Layout = field(default_factory=Layout)

    async def write(
        self,
        connection: Connection,
        changes: Sequence[Change],
        author: Author,
        referred: Collection[tuple[str, str]] = (),
    ) -> bool:
        """Writes changes with their audit entries and events; raises Conflict where another
        writer came first.

        Returns False and writes nothing where one of `referred` (type, id) is not there.
        """
        return await self._write(connection, changes, [*record_parts(changes, author)], referred)

    async def write_group(
        self,
        connection: Connection,
        written: Sequence[tuple[Change, Author]],
        referred: Collection[tuple[str, str]],
    ) -> bool:
        """Writes changes of several authors, all or none, as `write` does, and raises what
        PostgreSQL does where a row's lock does not come within LOCK_TIMEOUT.
        """
        changes = [change for change, _ in written]
        recorded = [record_parts([change], author) for change, author in written]
        more = [
            Part(parts[0].write, [row for part in parts for row in part.rows])
            for parts in zip(*recorded, strict=True)
        ]
        return await self._write(connection, changes, more, referred, is_group=True)

    async def write_versions(self, connection: Connection, changes: Sequence[Change]) -> None:
        """Writes and indexes versions that were recorded before."""
        await self._write(connection, changes, [])

    async def _write(
        self,
        connection: Connection,
        changes: Sequence[Change],
        more: Sequence[Part],
        referred: Collection[tuple[str, str]] = (),
        *,
        is_group: bool = False,
    ) -> bool:
        if not changes:
            return True
        numbers = await self._numbers(connection, changes)
        texts = self.texts.unknown(text for change in changes for text in change.index.texts)
        is_compact = await self.layout.is_compact(connection)
        written = change_parts(changes, numbers, texts=texts, is_compact=is_compact)
        is_written = await self._run(connection, [*written, *more], referred, is_group=is_group)
        if is_written:
            self.texts.remember(texts)
        return is_written

    async def rewrite(self, connection: Connection, changes: Sequence[Change]) -> None:
        """Stores current versions in the newest layout and makes all rows of their index anew;
        locks are held.
        """
        if changes:
            texts = list({text for change in changes for text in change.index.texts})
            await self._run(connection, [*rewriting_parts(changes, texts)])

    async def _run(
        self,
        connection: Connection,
        parts: Iterable[Part],
        referred: Collection[tuple[str, str]] = (),
        *,
        is_group: bool = False,
    ) -> bool:
        parts = [part for part in parts if part.rows]
        arguments = [*living_arguments(referred)] if referred or is_group else []
        named = tuple((part.write, part.few) for part in parts)
        statement = _statement(named, len(arguments), is_group=is_group)
        for part in parts:
            arguments += chain(*part.rows) if part.few else map(list, zip(*part.rows, strict=True))
        try:
            return bool(await connection.fetchval(statement, *arguments))
        except asyncpg.UniqueViolationError as error:
            # The row itself, or its index: another writer made or restored it at the same time.
            if error.constraint_name not in ("resource_reference_hash_key", "resource_value_pkey"):
                raise
            raise Conflict("version_conflict", "it was changed meanwhile") from None
        except asyncpg.NotNullViolationError as error:
            # It was indexed anew between the reading and the writing.
            if error.column_name != "version_id":
                raise
            raise Conflict("version_conflict", "it was changed meanwhile") from None
        except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
            raise Conflict("version_conflict", "it was changed meanwhile") from None

    async def _numbers(self, connection: Connection, changes: Sequence[Change]) -> list[int]:
        """Returns each change's row number; rows that are there keep theirs."""
        new = sum(change.stored is None for change in changes)
        taken = iter(await self.numbers.take(connection, new))
        return [
            change.stored.number
            if change.stored
            else hashing.first_number(change.version.resource_type) + next(taken)
            for change in changes
        ]


@lru_cache(maxsize=256)
def _statement(parts: tuple[tuple[Write, int], ...], position: int, *, is_group: bool) -> str:
    """Builds it for `position` arguments that tell what must be there; with none nothing must."""
    named = [f"living AS MATERIALIZED ({ALL_LIVING})"] if position else []
    if is_group:
        named = [
            f"bounded AS MATERIALIZED (SELECT set_config('lock_timeout', '{LOCK_TIMEOUT}', true))",
            f"living AS MATERIALIZED ({ALL_LIVING} FROM bounded)",
        ]
    is_checked = bool(named)
    for index, (write, few) in enumerate(parts):
        names = ", ".join(name for _, name in write.columns)
        rows = []
        for _ in range(few or 1):
            numbered = enumerate(write.columns, position + 1)
            array = "" if few else "[]"
            rows.append(", ".join(f"${number}::{kind}{array}" for number, (kind, _) in numbered))
            position += len(write.columns)
        source = f"(VALUES ({'), ('.join(rows)})) AS n ({names})"
        if not few:
            source = f"unnest({rows[0]}) AS n ({names})"
        if is_checked:
            source = f"(SELECT n.* FROM living, {source} WHERE living.is_met) AS n"
        named.append(f"part_{index} AS ({write.sql.replace('{source}', source)})")
    return f"WITH {', '.join(named)} SELECT {'is_met FROM living' if is_checked else 'true'}"
