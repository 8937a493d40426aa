"""What a change does to each table, as SQL on a relation of rows: parts of one statement. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

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
# Arrays within a row travel as text: unnest would flatten them.
_EXPRESSIONS = {
    "value_hashes": "n.value_hashes::bigint[]",
    "target_hashes": "n.target_hashes::bigint[]",
    "entities": "n.entities::bigint[]",
    "returned_ids": "string_to_array(n.returned_ids, ' ')",
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


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Write:
    """What is done to one table: `sql` with `{source}`, a relation `n` of rows with `columns`.

    `few`: so many rows are sent as values. Arrays cost PostgreSQL several times as much, but rows
    whose number differs from change to change would make more statements to plan.
    """

    sql: str
    columns: Columns
    few: int = 0


def _insert(table: str, columns: Columns, tail: str = "", *, few: int = 0) -> Write:
    names = ", ".join(name for _, name in columns)
    values = ", ".join(_value(name) for _, name in columns)
    sql = f"INSERT INTO {table} ({names}) SELECT {values} FROM {{source}}{tail}"
    return Write(sql=sql, columns=columns, few=few)


def _value(name: str) -> str:
    return _EXPRESSIONS.get(name) or f"n.{name}"


_KEPT = ("number", "reference_hash", "type", "id", "mrn")
_CHECKED = {
    "version_id": "CASE WHEN r.index_version = n.seen_index THEN n.version_id END",
}
_SET = ", ".join(
    f"{name} = {_CHECKED.get(name) or _value(name)}" for _, name in _RESOURCE if name not in _KEPT
)
_NUMBER = (("bigint", "number"),)
_NEW_ONLY = " ON CONFLICT DO NOTHING"

CREATE = _insert("resource", _RESOURCE, few=1)
# What a change found in the index, or what reindexing has made of it meanwhile: then the change
# would leave rows behind that lead to it, and the version is refused.
UPDATE = Write(
    sql=(
        f"UPDATE resource r SET {_SET}, mrn = coalesce(n.mrn, r.mrn) FROM {{source}}"
        " WHERE r.number = n.number"
    ),
    columns=(*_RESOURCE, ("smallint", "seen_index")),
    few=1,
)
# The same version in another layout: the trigger of versions does not see it.
REWRITE = Write(
    sql=(
        "UPDATE resource r SET index_version = n.index_version,"
        " parameters_present = n.parameters_present, ranges_hash = n.ranges_hash,"
        " value_hashes = n.value_hashes::bigint[], target_hashes = n.target_hashes::bigint[],"
        " summary = n.summary, body = NULL, packed = n.packed"
        " FROM {source} WHERE r.number = n.number"
    ),
    columns=_RESOURCE,
    few=1,
)
ADD_VALUES = _insert("resource_value", _VALUES)
ADD_NEW_VALUES = _insert("resource_value", _VALUES, _NEW_ONLY)
FORGET_VALUES = Write(
    sql=(
        "DELETE FROM resource_value v USING {source} WHERE v.hash = n.hash AND v.number = n.number"
    ),
    columns=_VALUES,
)
ADD_TEXTS = _insert("token_text", _TEXTS, _NEW_ONLY)
ADD_AUDIT = _insert("audit_event", _AUDIT, few=1)
# A patient's change is told to billing and to the topic.
ADD_OUTBOX = _insert("outbox", _OUTBOX, few=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """A table of ranges: `kind` is the field of IndexRows that its rows are in."""

    kind: str
    add: Write
    forget: Write


def _ranges(kind: str, table: str, columns: Columns) -> Ranges:
    forget = Write(
        sql=f"DELETE FROM {table} t USING {{source}} WHERE t.number = n.number",
        columns=_NUMBER,
        few=1,
    )
    return Ranges(kind=kind, add=_insert(table, columns, few=1), forget=forget)


RANGES = (
    _ranges("dates", "resource_date", _DATES),
    _ranges("strings", "resource_string", _STRINGS),
    _ranges("quantities", "resource_quantity", _QUANTITIES),
)
