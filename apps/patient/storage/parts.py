"""The rows that a change writes to each table, as parts of one statement. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from apps.patient.search.criteria.query import missing_position
from apps.patient.search.index.hashing import resource_hash
from apps.patient.search.index.index_rows import INDEX_VERSION
from apps.patient.storage.bodies import pack
from apps.patient.storage.events import messages_of
from apps.patient.storage.read_audit import entities_of
from apps.patient.storage.summaries import PatientSummary
from apps.patient.storage.table_writes import (
    ADD_AUDIT,
    ADD_NEW_VALUES,
    ADD_OUTBOX,
    ADD_TEXTS,
    ADD_VALUES,
    CREATE,
    FORGET_VALUES,
    RANGES,
    REWRITE,
    UPDATE,
    Write,
)
from apps.patient.storage.versions import Author, Change, view_of

Rows = list[tuple[Any, ...]]

_ACTIONS: Mapping[str, str] = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "update",
    "DELETE": "delete",
}


class Part(NamedTuple):
    """One table's share of the statement."""

    write: Write
    rows: Rows

    @property
    def few(self) -> int:
        """Returns how many rows are sent as values; 0 for arrays."""
        return len(self.rows) if len(self.rows) <= self.write.few else 0


def change_parts(
    changes: Sequence[Change], numbers: Sequence[int], *, texts: Rows, is_compact: bool
) -> Iterable[Part]:
    rows = list(zip(changes, numbers, strict=True))
    # In one order for everybody: two Bundles do not wait for each other.
    rows.sort(key=lambda item: item[1])
    resources = [(item, _resource_row(*item, is_compact=is_compact)) for item in rows]
    yield Part(CREATE, [row for (change, _), row in resources if not change.stored])
    updated = [
        (*row, change.stored.index_version) for (change, _), row in resources if change.stored
    ]
    yield Part(UPDATE, updated)
    yield from _index_parts(rows, is_compact=is_compact)
    yield Part(ADD_TEXTS, texts)


def rewriting_parts(changes: Sequence[Change], texts: Rows) -> Iterable[Part]:
    """Returns the parts that store versions anew as they are, with all rows of their index."""
    rows = [(change, change.stored.number) for change in changes if change.stored is not None]
    yield Part(REWRITE, [_resource_row(*row, is_compact=True) for row in rows])
    yield Part(
        FORGET_VALUES,
        [
            (hashed, number)
            for change, number in rows
            for hashed in set(change.stored.value_hashes) - change.index.indexed  # type: ignore[union-attr]
        ],
    )
    values = [(hashed, number) for change, number in rows for hashed in change.index.indexed]
    yield Part(ADD_NEW_VALUES, values)
    yield from _range_parts(rows)
    yield Part(ADD_TEXTS, texts)


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
    yield Part(FORGET_VALUES, forgotten)
    yield Part(ADD_VALUES, values)
    yield Part(ADD_NEW_VALUES, alone)
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
    for table in RANGES:
        yield Part(table.forget, replaced)
        yield Part(
            table.add,
            [
                (*row, number)
                for change, number in rows
                for row in getattr(change.index, table.kind)
            ],
        )


def record_parts(changes: Sequence[Change], author: Author) -> Iterable[Part]:
    """Returns the audit entries and the events of changes."""
    yield Part(ADD_AUDIT, list(_audit_rows(changes, author)))
    yield Part(
        ADD_OUTBOX,
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
