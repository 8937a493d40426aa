"""Reads the record; each read writes its audit entry in the same statement, so that none is given out unrecorded."""

from collections.abc import Sequence
from typing import Any

import msgspec

from apps.kit.database import Connection
from apps.patient.changes import Author, Version

_SELECT_PATIENT = """
    SELECT v.type, v.id, v.version_id, v.patient_id, v.recorded_at, v.method, v.body
    FROM patient h JOIN resource_history v ON v.type = $1 AND v.id = h.id AND v.version_id = h.version_id
    WHERE h.id = $2"""
_SELECT_CLINICAL = """
    SELECT v.type, v.id, v.version_id, v.patient_id, v.recorded_at, v.method, v.body
    FROM clinical h JOIN resource_history v ON v.type = h.type AND v.id = h.id AND v.version_id = h.version_id
    WHERE h.type = $1 AND h.id = $2"""
_AUDIT_READ = """
    INSERT INTO audit_event (action, actor_id, client_id, request_id,
                             resource_type, resource_id, version_id, patient_id)
    SELECT $3, $4, $5, $6, type, id, version_id, patient_id FROM found WHERE body IS NOT NULL"""


class PatientView(msgspec.Struct, frozen=True, rename="camel"):
    """The simple resource."""

    id: str
    name: str | None
    address: str | None
    email: str | None
    date_of_birth: str | None


def _select_current(resource_type: str) -> str:
    return _SELECT_PATIENT if resource_type == "Patient" else _SELECT_CLINICAL


def _version(row: Any) -> Version:
    return Version(*row)


async def select_current(connection: Connection, resource_type: str, id: str) -> Version | None:
    """The newest version, a deletion too. Not audited: for a change, which is."""
    row = await connection.fetchrow(_select_current(resource_type), resource_type, id)
    return _version(row) if row else None


async def select_mrn(connection: Connection, patient_id: str) -> str:
    mrn: str = await connection.fetchval("SELECT mrn FROM patient WHERE id = $1", patient_id)
    return mrn


async def read_current(
    connection: Connection, resource_type: str, id: str, author: Author, own: str | None
) -> Version | None:
    """The newest version, audited. `own`: only where it belongs to that patient."""
    found = _select_current(resource_type)
    row = await connection.fetchrow(
        f"""
        WITH found AS ({found} AND ($7::text IS NULL OR v.patient_id = $7)), audit AS ({_AUDIT_READ})
        SELECT * FROM found""",  # noqa: S608 - constants
        resource_type,
        id,
        "read",
        author.actor_id,
        author.client_id,
        author.request_id,
        own,
    )
    return _version(row) if row else None


async def read_versions(
    connection: Connection,
    resource_type: str,
    id: str,
    author: Author,
    own: str | None,
    *,
    below: int | None = None,
    only: int | None = None,
    limit: int,
) -> list[Version]:
    """Versions from the newest on, audited: `below` a version, or `only` one."""
    rows = await connection.fetch(
        f"""
        WITH found AS (
            SELECT type, id, version_id, patient_id, recorded_at, method, body FROM resource_history
            WHERE type = $1 AND id = $2 AND ($7::text IS NULL OR patient_id = $7)
              AND ($8::bigint IS NULL OR version_id < $8) AND ($9::bigint IS NULL OR version_id = $9)
            ORDER BY version_id DESC LIMIT $10),
        audit AS ({_AUDIT_READ})
        SELECT * FROM found ORDER BY version_id DESC""",  # noqa: S608 - constants
        resource_type,
        id,
        "history" if only is None else "read",
        author.actor_id,
        author.client_id,
        author.request_id,
        own,
        below,
        only,
        limit,
    )
    return [_version(row) for row in rows]


async def select_versions(connection: Connection, references: Sequence[tuple[str, str, int]]) -> list[Version]:
    """These versions (type, id, version), in their order. Not audited: the answer to a write given again."""
    types, ids, versions = zip(*references, strict=True)
    rows = await connection.fetch(
        """
        SELECT type, id, version_id, patient_id, recorded_at, method, body
        FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS r (type, id, version_id, position)
        JOIN resource_history USING (type, id, version_id) ORDER BY position""",
        types,
        ids,
        versions,
    )
    return [_version(row) for row in rows]


async def read_patient_list(
    connection: Connection, author: Author, own: str | None, *, after: str, limit: int
) -> list[PatientView]:
    """`limit` of the simple resource by id, after `after`, and one more where there is a next page; audited."""
    rows = await connection.fetch(
        """
        WITH page AS (
            SELECT id, name, address, email, birth_date FROM patient
            WHERE id > $1 AND NOT deleted AND ($6::text IS NULL OR id = $6) ORDER BY id LIMIT $2 + 1),
        audit AS (
            INSERT INTO audit_event (action, actor_id, client_id, request_id, resource_type, returned_ids)
            VALUES ('search', $3, $4, $5, 'Patient', ARRAY(SELECT id FROM page ORDER BY id LIMIT $2)))
        SELECT * FROM page ORDER BY id""",
        after,
        limit,
        author.actor_id,
        author.client_id,
        author.request_id,
        own,
    )
    return [PatientView(*row) for row in rows]


async def read_patient_view(
    connection: Connection, id: str, author: Author, own: str | None
) -> tuple[PatientView, int, bool] | None:
    """The simple resource, its version and whether it was deleted; audited."""
    row = await connection.fetchrow(
        """
        WITH found AS (
            SELECT id, name, address, email, birth_date, version_id, deleted FROM patient
            WHERE id = $1 AND ($5::text IS NULL OR id = $5)),
        audit AS (
            INSERT INTO audit_event (action, actor_id, client_id, request_id,
                                     resource_type, resource_id, version_id, patient_id)
            SELECT 'read', $2, $3, $4, 'Patient', id, version_id, id FROM found WHERE NOT deleted)
        SELECT * FROM found""",
        id,
        author.actor_id,
        author.client_id,
        author.request_id,
        own,
    )
    return (PatientView(*row[:5]), row[5], row[6]) if row else None


async def select_living_patients(connection: Connection, ids: Sequence[str]) -> frozenset[str]:
    """Those of `ids` that are patients and not deleted; none of them can be until the transaction ends."""
    rows = await connection.fetch(
        "SELECT id FROM patient WHERE id = ANY($1::text[]) AND NOT deleted ORDER BY id FOR SHARE", list(set(ids))
    )
    return frozenset(row["id"] for row in rows)
