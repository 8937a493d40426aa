"""What a change writes to each table, as parts of one statement. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from apps.patient.search.hashing import resource_hash
from apps.patient.search.index_rows import INDEX_VERSION
from apps.patient.search.query import missing_position
from apps.patient.storage.bodies import pack
from apps.patient.storage.events import messages_of
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
    ("smallint", "index_version"),
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
    ("bytea", "packed"),
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

    @property
    def is_single(self) -> bool:
        """Tells whether its one row is sent as values. Arrays cost PostgreSQL several times as
        much, but rows whose number differs from change to change would make more statements to
        plan.
        """
        return len(self.rows) == 1 and self.columns in (
            _RESOURCE,
            _UPDATED,
            _AUDIT,
            _OUTBOX,
            _NUMBER,
        )


def _insert(table: str, columns: Columns, tail: str = "") -> str:
    names = ", ".join(name for _, name in columns)
    values = ", ".join(_value(name, kind) for kind, name in columns)
    return f"INSERT INTO {table} ({names}) SELECT {values} FROM {{source}}{tail}"


def _value(name: str, kind: str) -> str:
    """Returns an array within a row as text: unnest would flatten it."""
    return f"n.{name}::{_ARRAYS[name]}" if kind == "text" and name in _ARRAYS else f"n.{name}"


_KEPT = ("number", "reference_hash", "type", "id", "mrn")
_CHECKED = {
    "version_id": "CASE WHEN r.index_version = n.seen_index THEN n.version_id END",
}
_SET = ", ".join(
    f"{name} = {_CHECKED.get(name) or _value(name, kind)}"
    for kind, name in _RESOURCE
    if name not in _KEPT
)
# What a change found in the index, or what reindexing has made of it meanwhile: then the change
# would leave rows behind that lead to it, and the version is refused.
_UPDATED = (*_RESOURCE, ("smallint", "seen_index"))
_UPDATE = (
    f"UPDATE resource r SET {_SET}, mrn = coalesce(n.mrn, r.mrn) FROM {{source}}"
    " WHERE r.number = n.number"
)
# The same version in another layout: the trigger of versions does not see it.
_REWRITE = (
    "UPDATE resource r SET index_version = n.index_version, parameters_present = "
    "n.parameters_present,"
    " ranges_hash = n.ranges_hash, value_hashes = n.value_hashes::bigint[],"
    " target_hashes = n.target_hashes::bigint[], summary = n.summary, body = NULL, packed = "
    "n.packed"
    " FROM {source} WHERE r.number = n.number"
)
_FORGET_VALUES = (
    "DELETE FROM resource_value v USING {source} WHERE v.hash = n.hash AND v.number = n.number"
)
_NUMBER = (("bigint", "number"),)
_NEW_ONLY = " ON CONFLICT DO NOTHING"


def _forget(table: str) -> str:
    return f"DELETE FROM {table} t USING {{source}} WHERE t.number = n.number"


def change_parts(
    changes: Sequence[Change], numbers: Sequence[int], *, texts: Rows, is_compact: bool
) -> Iterable[Part]:
    rows = list(zip(changes, numbers, strict=True))
    # In one order for everybody: two Bundles do not wait for each other.
    rows.sort(key=lambda item: item[1])
    resources = [(item, _resource_row(*item, is_compact=is_compact)) for item in rows]
    created = _insert("resource", _RESOURCE)
    yield Part(created, _RESOURCE, [row for (change, _), row in resources if not change.stored])
    updated = [
        (*row, change.stored.index_version) for (change, _), row in resources if change.stored
    ]
    yield Part(_UPDATE, _UPDATED, updated)
    yield from _index_parts(rows, is_compact=is_compact)
    yield _text_part(texts)


def rewriting_parts(changes: Sequence[Change], texts: Rows) -> Iterable[Part]:
    """Returns the parts that store versions anew as they are, with all rows of their index."""
    rows = [(change, change.stored.number) for change in changes if change.stored is not None]
    yield Part(_REWRITE, _RESOURCE, [_resource_row(*row, is_compact=True) for row in rows])
    yield Part(
        _FORGET_VALUES,
        _VALUES,
        [
            (hashed, number)
            for change, number in rows
            for hashed in set(change.stored.value_hashes) - change.index.indexed  # type: ignore[union-attr]
        ],
    )
    values = [(hashed, number) for change, number in rows for hashed in change.index.indexed]
    yield Part(_insert("resource_value", _VALUES, _NEW_ONLY), _VALUES, values)
    yield from _range_parts(rows)
    yield _text_part(texts)


def _text_part(texts: Rows) -> Part:
    return Part(_insert("token_text", _TEXTS, _NEW_ONLY), _TEXTS, texts)


def _index_parts(rows: Sequence[tuple[Change, int]], *, is_compact: bool) -> Iterable[Part]:
    """Returns what each change makes of the rows that its resource is found by."""
    forgotten: Rows = []
    values: Rows = []
    alone: Rows = []
    for change, number in rows:
        index = change.index
        indexed = index.indexed if is_compact else index.indexed | index.retired
        if change.stored is not None:
            known = set(change.stored.value_hashes)
            forgotten += [(hashed, number) for hashed in known - indexed]
            # It may have been known by a code that came with it, without a row.
            alone += [(hashed, number) for hashed in index.alone & known]
            indexed = indexed - known
        values += [(hashed, number) for hashed in indexed]
    yield Part(_FORGET_VALUES, _VALUES, forgotten)
    yield Part(_insert("resource_value", _VALUES), _VALUES, values)
    yield Part(_insert("resource_value", _VALUES, _NEW_ONLY), _VALUES, alone)
    # Rows that are as they were are left alone.
    moved = [
        (change, number)
        for change, number in rows
        if (change.stored.ranges_hash if change.stored else 0) != change.index.ranges_hash
    ]
    yield from _range_parts(moved)


def _range_parts(rows: Sequence[tuple[Change, int]]) -> Iterable[Part]:
    """Returns the parts that replace the rows of dates, texts and numbers."""
    replaced: Rows = [(number,) for change, number in rows if change.stored is not None]
    for table, columns, found in (
        ("resource_date", _DATES, [(*row, n) for c, n in rows for row in c.index.dates]),
        ("resource_string", _STRINGS, [(*row, n) for c, n in rows for row in c.index.strings]),
        (
            "resource_quantity",
            _QUANTITIES,
            [(*row, n) for c, n in rows for row in c.index.quantities],
        ),
    ):
        yield Part(_forget(table), _NUMBER, replaced)
        yield Part(_insert(table, columns), columns, found)


def record_parts(changes: Sequence[Change], author: Author) -> Iterable[Part]:
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


def _resource_row(change: Change, number: int, *, is_compact: bool) -> tuple[Any, ...]:
    version, index = change.version, change.index
    packed = pack(version.body) if is_compact and version.body is not None else None
    present = sum(1 << missing_position(version.resource_type, name) for name in index.present)
    return (
        number,
        # What is not in the newest layout is rewritten later.
        INDEX_VERSION if is_compact else INDEX_VERSION - 1,
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
        None if packed else version.body,
        packed,
    )


def _view_text(change: Change) -> str | None:
    """Returns what /api/patients gives of a Patient, ready to be sent."""
    if not isinstance(change.summary, PatientSummary) or change.version.body is None:
        return None
    return msgspec.json.encode(view_of(change.version.id, change.summary)).decode()


def array_text(values: Iterable[int]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def _audit_rows(changes: Sequence[Change], author: Author) -> Iterable[tuple[Any, ...]]:
    """Makes an entry for each action on each patient's record: a Bundle's are told together."""
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
