"""Reads the record. What is called `read_` gives out nothing before its audit entry is committed (decision 0305)."""

from collections.abc import Sequence
from typing import Any

import msgspec

from apps.kit.database import Connection
from apps.patient.storage.read_audit import ReadAudit, ReadEntry, entry_of
from apps.patient.storage.versions import Author, Version

_SELECT_PATIENT = """
    SELECT v.type, v.id, v.version_id, v.patient_id, v.recorded_at, v.method, v.body
    FROM patient h JOIN resource_history v ON v.type = $1 AND v.id = h.id AND v.version_id = h.version_id
    WHERE h.id = $2"""
_SELECT_CLINICAL = """
    SELECT v.type, v.id, v.version_id, v.patient_id, v.recorded_at, v.method, v.body
    FROM clinical h JOIN resource_history v ON v.type = h.type AND v.id = h.id AND v.version_id = h.version_id
    WHERE h.type = $1 AND h.id = $2"""

# Two statements: one for both would keep PostgreSQL from the plan of either.
_SELECT_LIST = """
    SELECT id, name, address, email, birth_date FROM patient
    WHERE id > $1 AND NOT deleted ORDER BY id LIMIT $2 + 1"""
_SELECT_RESTRICTED_LIST = """
    SELECT id, name, address, email, birth_date FROM patient
    WHERE id > $1 AND NOT deleted AND id = $3 ORDER BY id LIMIT $2 + 1"""


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
    read_audit: ReadAudit,
    resource_type: str,
    id: str,
    author: Author,
    restrict_to_patient_id: str | None,
) -> Version | None:
    """Returns the newest version, or None if there is none or it belongs to another patient."""
    async with read_audit.database.connection() as connection:
        version = await select_current(connection, resource_type, id)
    if version is None or (
        restrict_to_patient_id is not None and version.patient_id != restrict_to_patient_id
    ):
        return None
    if version.body is not None:
        await read_audit.record(entry_of("read", author, version))
    return version


async def read_versions(
    read_audit: ReadAudit,
    resource_type: str,
    id: str,
    author: Author,
    restrict_to_patient_id: str | None,
    *,
    below: int | None = None,
    only: int | None = None,
    limit: int,
) -> tuple[list[Version], bool]:
    """Versions from the newest on, `below` a version, or `only` one, and whether there are more."""
    async with read_audit.database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT type, id, version_id, patient_id, recorded_at, method, body FROM resource_history
            WHERE type = $1 AND id = $2 AND ($3::text IS NULL OR patient_id = $3)
              AND ($4::bigint IS NULL OR version_id < $4) AND ($5::bigint IS NULL OR version_id = $5)
            ORDER BY version_id DESC LIMIT $6 + 1""",
            resource_type,
            id,
            restrict_to_patient_id,
            below,
            only,
            limit,
        )
    versions = [_version(row) for row in rows[:limit]]
    action = "history" if only is None else "read"
    await read_audit.record(
        *(entry_of(action, author, version) for version in versions if version.body is not None)
    )
    return versions, len(rows) > limit


async def select_versions(
    connection: Connection, references: Sequence[tuple[str, str, int]]
) -> list[Version]:
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
    read_audit: ReadAudit,
    author: Author,
    restrict_to_patient_id: str | None,
    *,
    after: str,
    limit: int,
) -> tuple[list[PatientView], bool]:
    """`limit` of the simple resource by id, after `after`, and whether there is a next page."""
    async with read_audit.database.connection() as connection:
        rows = await connection.fetch(
            _SELECT_LIST if restrict_to_patient_id is None else _SELECT_RESTRICTED_LIST,
            after,
            limit,
            *(() if restrict_to_patient_id is None else (restrict_to_patient_id,)),
        )
    page = [PatientView(*row) for row in rows[:limit]]
    await read_audit.record(
        ReadEntry("search", author, "Patient", returned_ids=[view.id for view in page])
    )
    return page, len(rows) > limit


async def read_patient_view(
    read_audit: ReadAudit, id: str, author: Author, restrict_to_patient_id: str | None
) -> tuple[PatientView, int, bool] | None:
    """The simple resource, its version and whether it was deleted."""
    if restrict_to_patient_id is not None and restrict_to_patient_id != id:
        return None
    async with read_audit.database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT id, name, address, email, birth_date, version_id, deleted FROM patient WHERE id = $1",
            id,
        )
    if row is None:
        return None
    version_id, deleted = row[5], row[6]
    if not deleted:
        await read_audit.record(ReadEntry("read", author, "Patient", id, version_id, id))
    return PatientView(*row[:5]), version_id, deleted


async def select_living_patients(connection: Connection, ids: Sequence[str]) -> frozenset[str]:
    """Those of `ids` that are patients and not deleted; none of them can be until the transaction ends."""
    rows = await connection.fetch(
        "SELECT id FROM patient WHERE id = ANY($1::text[]) AND NOT deleted ORDER BY id FOR SHARE",
        list(set(ids)),
    )
    return frozenset(row["id"] for row in rows)
