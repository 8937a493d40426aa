"""Writes the record: current versions, index, audit and outbox in ONE statement, be it for one change or 5,000.

The trigger `resource_version` moves the version that is replaced into the history, and refuses a writer that
did not see it. Part of a transaction where there is one; a transaction by itself otherwise.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import asyncpg
import msgspec

from apps.kit.database import Connection
from apps.kit.errors import Conflict
from apps.patient.search import hashing
from apps.patient.search.hashing import resource_hash
from apps.patient.search.index_rows import INDEX_VERSION
from apps.patient.search.query import missing_position
from apps.patient.storage.events import messages_of
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.read_audit import entities_of
from apps.patient.storage.summaries import PatientSummary
from apps.patient.storage.versions import Author, Change, view_of

_ACTIONS: Mapping[str, str] = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "update",
    "DELETE": "delete",
}
# (type, name) of each column that travels as an array.
_RESOURCE = (
    ("bigint", "number"),
    ("bigint", "reference_hash"),
    ("bigint", "version_id"),
    ("timestamptz", "last_updated"),
    ("bigint", "parameters_present"),
    ("bigint", "ranges_hash"),
    ("text", "type"),
    ("text", "id"),
    ("text", "patient_id"),
    ("text", "method"),
    ("text", "value_hashes"),
    ("text", "target_hashes"),
    ("text", "mrn"),
    ("text", "summary"),
    ("text", "body"),
)
_AUDIT = (
    ("text", "action"),
    ("text", "actor_id"),
    ("text", "client_id"),
    ("text", "request_id"),
    ("text", "resource_type"),
    ("text", "resource_id"),
    ("bigint", "version_id"),
    ("text", "patient_id"),
    ("text", "returned_ids"),
    ("text", "entities"),
)
_OUTBOX = (
    ("text", "destination"),
    ("text", "patient_id"),
    ("text", "event_id"),
    ("bytea", "payload"),
    ("text", "request_id"),
    ("text", "traceparent"),
)
_ARRAYS = {
    "value_hashes": "bigint[]",
    "target_hashes": "bigint[]",
    "entities": "bigint[]",
}
_VALUES = (("bigint", "hash"), ("bigint", "number"))
_DATES = (
    ("bigint", "key"),
    ("bigint", "low"),
    ("bigint", "high"),
    ("smallint", "low_clock"),
    ("smallint", "high_clock"),
    ("bigint", "number"),
)
_STRINGS = (
    ("bigint", "key"),
    ("smallint", "part"),
    ("boolean", "is_whole"),
    ("text", "value"),
    ("bigint", "number"),
)
_QUANTITIES = (
    ("bigint", "key"),
    ("bigint", "system_code"),
    ("bigint", "code"),
    ("bigint", "unit"),
    ("numeric", "low"),
    ("numeric", "high"),
    ("bigint", "number"),
)
_TEXTS = (("bigint", "key"), ("text", "value"), ("bigint", "code_hash"))

Columns = Sequence[tuple[str, str]]
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Part:
    """One table's share of the statement: `sql` with `{source}`, a relation `n` of the rows."""

    sql: str
    columns: Columns
    rows: Rows


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

    async def write(
        self, connection: Connection, changes: Sequence[Change], author: Author
    ) -> None:
        """Writes changes with their audit entries and events; raises Conflict where another writer came first."""
        await self._write(connection, changes, [*_record_parts(changes, author)])

    async def write_versions(self, connection: Connection, changes: Sequence[Change]) -> None:
        """Writes and indexes versions that were recorded before."""
        await self._write(connection, changes, [])

    async def _write(
        self, connection: Connection, changes: Sequence[Change], more: Sequence[Part]
    ) -> None:
        if not changes:
            return
        numbers = await self._numbers(connection, changes)
        texts = self.texts.unknown(text for change in changes for text in change.index.texts)
        parts = [part for part in [*_parts(changes, numbers, texts), *more] if part.rows]
        statement = _statement(tuple((part.sql, tuple(part.columns)) for part in parts))
        arguments = [list(column) for part in parts for column in zip(*part.rows, strict=True)]
        try:
            await connection.execute(statement, *arguments)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != "resource_reference_hash_key":
                raise
            raise Conflict("version_conflict", "it was changed meanwhile") from None
        except asyncpg.SerializationError:
            raise Conflict("version_conflict", "it was changed meanwhile") from None
        self.texts.remember(texts)

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
def _statement(parts: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]) -> str:
    named = []
    position = 0
    for index, (sql, columns) in enumerate(parts):
        arrays = []
        for kind, _ in columns:
            position += 1
            arrays.append(f"${position}::{kind}[]")
        names = ", ".join(name for _, name in columns)
        source = f"unnest({', '.join(arrays)}) AS n ({names})"
        named.append(f"part_{index} AS ({sql.replace('{source}', source)})")
    return f"WITH {', '.join(named)} SELECT 1"


def _insert(table: str, columns: Columns, tail: str = "") -> str:
    names = ", ".join(name for _, name in columns)
    values = ", ".join(_value(name, kind) for kind, name in columns)
    return f"INSERT INTO {table} ({names}) SELECT {values} FROM {{source}}{tail}"


def _value(name: str, kind: str) -> str:
    """An array within a row travels as text: unnest would flatten it."""
    return f"n.{name}::{_ARRAYS[name]}" if kind == "text" and name in _ARRAYS else f"n.{name}"


_CREATE = (
    _insert("resource", _RESOURCE)
    .replace("(number,", "(index_version, number,")
    .replace("SELECT n.number", f"SELECT {INDEX_VERSION}, n.number")
)
_UPDATE = (
    "UPDATE resource r SET index_version = "
    + str(INDEX_VERSION)
    + ", "
    + ", ".join(
        f"{name} = {_value(name, kind)}"
        for kind, name in _RESOURCE
        if name not in ("number", "reference_hash", "type", "id", "mrn")
    )
    + ", mrn = coalesce(n.mrn, r.mrn) FROM {source} WHERE r.number = n.number"
)
_FORGET_VALUES = (
    "DELETE FROM resource_value v USING {source} WHERE v.hash = n.hash AND v.number = n.number"
)
_NUMBER = (("bigint", "number"),)


def _forget(table: str) -> str:
    return f"DELETE FROM {table} t USING {{source}} WHERE t.number = n.number"


def _parts(changes: Sequence[Change], numbers: Sequence[int], texts: Rows) -> Iterable[Part]:
    rows = list(zip(changes, numbers, strict=True))
    new = [(change, number) for change, number in rows if change.stored is None]
    # In one order for everybody: two Bundles do not wait for each other.
    old = sorted(
        ((change, number) for change, number in rows if change.stored is not None),
        key=lambda item: item[1],
    )
    yield Part(_CREATE, _RESOURCE, [_resource_row(*item) for item in new])
    yield Part(_UPDATE, _RESOURCE, [_resource_row(*item) for item in old])
    yield Part(
        _FORGET_VALUES,
        _VALUES,
        [
            (hashed, number)
            for change, number in old
            for hashed in set(change.stored.value_hashes) - change.index.indexed  # type: ignore[union-attr]
        ],
    )
    yield Part(
        _insert("resource_value", _VALUES),
        _VALUES,
        [
            (hashed, number)
            for change, number in rows
            for hashed in change.index.indexed
            - set(change.stored.value_hashes if change.stored else ())
        ],
    )
    # Rows that are as they were are left alone.
    moved = [
        (change, number)
        for change, number in rows
        if (change.stored.ranges_hash if change.stored else 0) != change.index.ranges_hash
    ]
    replaced: Rows = [(number,) for change, number in moved if change.stored is not None]
    for table, columns, found in (
        ("resource_date", _DATES, [(*row, n) for c, n in moved for row in c.index.dates]),
        ("resource_string", _STRINGS, [(*row, n) for c, n in moved for row in c.index.strings]),
        (
            "resource_quantity",
            _QUANTITIES,
            [(*row, n) for c, n in moved for row in c.index.quantities],
        ),
    ):
        yield Part(_forget(table), _NUMBER, replaced)
        yield Part(_insert(table, columns), columns, found)
    yield Part(_insert("token_text", _TEXTS, " ON CONFLICT DO NOTHING"), _TEXTS, texts)


def _record_parts(changes: Sequence[Change], author: Author) -> Iterable[Part]:
    """Returns the audit entries and the events of changes."""
    yield Part(
        _insert("audit_event", _AUDIT).replace(
            "n.returned_ids", "string_to_array(n.returned_ids, ' ')"
        ),
        _AUDIT,
        list(_audit_rows(changes, author)),
    )
    yield Part(
        _insert("outbox", _OUTBOX),
        _OUTBOX,
        [
            (
                message.destination,
                message.patient_id,
                message.event_id,
                message.payload,
                author.request_id,
                author.traceparent,
            )
            for change in changes
            for message in messages_of(change, author)
        ],
    )


def _resource_row(change: Change, number: int) -> tuple[Any, ...]:
    version, index = change.version, change.index
    present = sum(1 << missing_position(version.resource_type, name) for name in index.present)
    return (
        number,
        resource_hash(version.resource_type, version.id),
        version.version_id,
        version.recorded_at,
        present,
        index.ranges_hash,
        version.resource_type,
        version.id,
        version.patient_id,
        version.method,
        array_text(index.values),
        array_text(index.targets),
        change.mrn,
        _view_text(change),
        version.body,
    )


def _view_text(change: Change) -> str | None:
    """Returns what /api/patients gives of a Patient, ready to be sent."""
    if not isinstance(change.summary, PatientSummary) or change.version.body is None:
        return None
    return msgspec.json.encode(view_of(change.version.id, change.summary)).decode()


def array_text(values: Iterable[int]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def _audit_rows(changes: Sequence[Change], author: Author) -> Iterable[tuple[Any, ...]]:
    """One entry for each action on each patient's record: a Bundle's changes are told together."""
    groups: dict[tuple[str, str | None], list[Change]] = {}
    for change in changes:
        key = (_ACTIONS[change.version.method], change.version.patient_id)
        groups.setdefault(key, []).append(change)
    for (action, patient_id), group in groups.items():
        version = group[0].version
        references = [(change.version.resource_type, change.version.id) for change in group]
        entities = entities_of(references, (patient_id,) if patient_id else ())
        if len(group) == 1:
            named = (version.resource_type, version.id, version.version_id, patient_id, None)
        else:
            written = " ".join(change.version.reference for change in group)
            named = ("Bundle", None, None, patient_id, written)  # type: ignore[assignment]
        yield (
            action,
            author.actor_id,
            author.client_id,
            author.request_id,
            *named,
            array_text(entities),
        )
