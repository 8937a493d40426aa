"""Writes the record: versions, heads, search terms, audit and outbox in ONE statement, be it for one change or 5,000.

Rows travel as one JSON document a table. Part of a transaction where there is one; a transaction by itself otherwise.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from apps.kit.database import Connection
from apps.kit.errors import Conflict, Unprocessable
from apps.patient.search.index_columns import PatientColumns, code_keys
from apps.patient.storage.events import messages_of
from apps.patient.storage.versions import Author, Change

_PATIENTS = """
    INSERT INTO patient (id, version_id, last_updated, deleted, mrn, name, address, email, birth_date,
                         born_from, born_before, gender, active)
    SELECT id, version_id, last_updated, deleted, mrn, name, address, email, birth_date,
           lower(born), upper(born), gender, active
    FROM json_to_recordset({parameter}::json) AS r (
        id text, version_id bigint, last_updated timestamptz, deleted boolean, mrn text, name text, address text,
        email text, birth_date text, born daterange, gender text, active boolean)
    ON CONFLICT (id) DO UPDATE SET
        version_id = excluded.version_id, last_updated = excluded.last_updated, deleted = excluded.deleted,
        name = excluded.name, address = excluded.address, email = excluded.email,
        birth_date = excluded.birth_date, born_from = excluded.born_from, born_before = excluded.born_before,
        gender = excluded.gender, active = excluded.active
    WHERE patient.version_id = excluded.version_id - 1"""
_CLINICAL = """
    INSERT INTO clinical (type, id, version_id, patient_id, last_updated, deleted, status, codes, categories,
                          happened_from, happened_before)
    SELECT type, id, version_id, patient_id, last_updated, deleted, status, codes, categories,
           happened_from, happened_before
    FROM json_to_recordset({parameter}::json) AS r (
        type text, id text, version_id bigint, patient_id text, last_updated timestamptz, deleted boolean, status text,
        codes text[], categories text[], happened_from timestamptz, happened_before timestamptz)
    ON CONFLICT (type, id) DO UPDATE SET
        version_id = excluded.version_id, last_updated = excluded.last_updated, deleted = excluded.deleted,
        status = excluded.status, codes = excluded.codes, categories = excluded.categories,
        happened_from = excluded.happened_from, happened_before = excluded.happened_before
    WHERE clinical.version_id = excluded.version_id - 1"""
# Of two writers of one version the second breaks the primary key, and with it its whole statement.
_VERSIONS = """
    INSERT INTO resource_history (type, id, version_id, patient_id, recorded_at, method, body)
    SELECT * FROM json_to_recordset({parameter}::json) AS r (
        type text, id text, version_id bigint, patient_id text, recorded_at timestamptz, method text, body text)"""
_OLD_TERMS = """
    DELETE FROM patient_term WHERE patient_id IN (SELECT json_array_elements_text({parameter}::json))"""
_TERMS = """
    INSERT INTO patient_term (patient_id, parameter, system, value)
    SELECT * FROM json_to_recordset({parameter}::json) AS r (
        patient_id text, parameter text, system text, value text)"""
_AUDIT = """
    INSERT INTO audit_event (action, actor_id, client_id, request_id, resource_type, resource_id,
                             version_id, patient_id)
    SELECT * FROM json_to_recordset({parameter}::json) AS r (
        action text, actor_id text, client_id text, request_id text, resource_type text, resource_id text,
        version_id bigint, patient_id text)"""
_OUTBOX = """
    INSERT INTO outbox (destination, patient_id, event_id, payload, request_id, traceparent)
    SELECT destination, patient_id, event_id, decode(payload, 'base64'), request_id, traceparent
    FROM json_to_recordset({parameter}::json) AS r (
        destination text, patient_id text, event_id text, payload text, request_id text, traceparent text)"""

_ACTIONS: Mapping[str, str] = {"POST": "create", "PUT": "update", "DELETE": "delete"}

Rows = list[dict[str, Any]]


async def insert_changes(connection: Connection, changes: Sequence[Change], author: Author) -> None:
    """Raises Conflict where a version is there already, Unprocessable where the patient is not."""
    parts = [(sql, rows) for sql, rows in _parts(changes, author) if rows]
    if not parts:
        return
    named = [
        f"part_{index} AS ({sql.format(parameter=f'${index}')})"
        for index, (sql, _) in enumerate(parts, 1)
    ]
    try:
        await connection.execute(
            f"WITH {', '.join(named)} SELECT 1",
            *(msgspec.json.encode(rows).decode() for _, rows in parts),
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name not in ("resource_history_pkey", "patient_pkey", "clinical_pkey"):
            raise
        raise Conflict("version_conflict", "it was changed meanwhile") from None
    except asyncpg.ForeignKeyViolationError:
        raise Unprocessable("patient_unknown", "there is no such patient") from None


def _parts(changes: Sequence[Change], author: Author) -> Iterable[tuple[str, Rows]]:
    patients = [change for change in changes if change.version.resource_type == "Patient"]
    yield _PATIENTS, [_patient_row(change) for change in patients]
    yield (
        _CLINICAL,
        [_clinical_row(change) for change in changes if change.version.resource_type != "Patient"],
    )
    yield _VERSIONS, [_version_row(change) for change in changes]
    yield _OLD_TERMS, [change.version.id for change in patients if change.version.version_id > 1]  # type: ignore[misc]
    yield _TERMS, [row for change in patients for row in _term_rows(change)]
    yield _AUDIT, [_audit_row(change, author) for change in changes]
    yield _OUTBOX, [row for change in changes for row in _outbox_rows(change, author)]


def _head(change: Change) -> dict[str, Any]:
    version = change.version
    return {
        "id": version.id,
        "version_id": version.version_id,
        "last_updated": version.recorded_at,
        "deleted": version.body is None,
    }


def _patient_row(change: Change) -> dict[str, Any]:
    columns = change.columns
    assert isinstance(columns, PatientColumns)
    return {
        **_head(change),
        "mrn": change.mrn,
        "name": columns.name,
        "address": columns.address,
        "email": columns.email,
        "birth_date": columns.birth_date,
        "born": columns.born,
        "gender": columns.gender,
        "active": columns.active,
    }


def _clinical_row(change: Change) -> dict[str, Any]:
    version, columns = change.version, change.columns
    assert not isinstance(columns, PatientColumns)
    return {
        **_head(change),
        "type": version.resource_type,
        "patient_id": version.patient_id,
        "status": columns.status,
        "codes": code_keys(columns.codings),
        "categories": code_keys(columns.categories),
        "happened_from": columns.happened_from,
        "happened_before": columns.happened_before,
    }


def _version_row(change: Change) -> dict[str, Any]:
    version = change.version
    return {
        "type": version.resource_type,
        "id": version.id,
        "version_id": version.version_id,
        "patient_id": version.patient_id,
        "recorded_at": version.recorded_at,
        "method": version.method,
        "body": version.body,
    }


def _term_rows(change: Change) -> Rows:
    assert isinstance(change.columns, PatientColumns)
    return [
        {
            "patient_id": change.version.id,
            "parameter": term.parameter,
            "system": term.system,
            "value": term.value,
        }
        for term in change.columns.terms
    ]


def _audit_row(change: Change, author: Author) -> dict[str, Any]:
    version = change.version
    return {
        "action": _ACTIONS[version.method],
        "actor_id": author.actor_id,
        "client_id": author.client_id,
        "request_id": author.request_id,
        "resource_type": version.resource_type,
        "resource_id": version.id,
        "version_id": version.version_id,
        "patient_id": version.patient_id,
    }


def _outbox_rows(change: Change, author: Author) -> Rows:
    return [
        {
            "destination": message.destination,
            "patient_id": message.patient_id,
            "event_id": message.event_id,
            "payload": b64encode(message.payload).decode(),
            "request_id": author.request_id,
            "traceparent": author.traceparent,
        }
        for message in messages_of(change, author)
    ]
