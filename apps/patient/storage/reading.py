"""Reads the record. What is called `read_` gives out nothing before its audit entry is committed
(decision 0305).
"""

from collections.abc import Collection, Sequence
from typing import Any

from apps.kit.database import Connection
from apps.patient.search.index.hashing import first_number, last_number, resource_hash
from apps.patient.search.statements.sql import body_of
from apps.patient.storage.read_audit import ReadAudit, ReadEntry, entry_of
from apps.patient.storage.versions import Author, Stored, Version, version_of

_VERSION = "r.type, r.id, r.version_id, r.patient_id, r.last_updated, r.method, " + body_of("r")
_PAST = "h.type, h.id, h.version_id, h.patient_id, h.recorded_at, h.method, " + body_of("h")
_BY_ID = "WHERE reference_hash = $1 AND type = $2 AND id = $3"

_SELECT_CURRENT = f"SELECT {_VERSION} FROM resource r {_BY_ID}"
_STORED = (
    f"{_VERSION}, r.number, r.value_hashes, r.target_hashes, r.ranges_hash, r.mrn, r.index_version"
)
_SELECT_STORED = f"SELECT {_STORED} FROM resource r {_BY_ID}"
_SELECT_VERSION = f"""
    SELECT {_VERSION} FROM resource r {_BY_ID} AND version_id = $4
    UNION ALL SELECT {_PAST} FROM resource_history h WHERE type = $2 AND id = $3 AND version_id = $4
        LIMIT 1"""
_SELECT_LIST = """
    SELECT number, id, summary FROM resource
    WHERE number > $1 AND number < $2 AND method <> 'DELETE' ORDER BY number LIMIT $3"""


async def select_current(connection: Connection, resource_type: str, id: str) -> Version | None:
    """Returns the newest version, a deletion too. Not audited."""
    key = resource_hash(resource_type, id)
    row = await connection.fetchrow(_SELECT_CURRENT, key, resource_type, id)
    return version_of(row) if row else None


async def select_stored(connection: Connection, resource_type: str, id: str) -> Stored | None:
    """Returns the newest version, a deletion too, as a change needs it. Not audited:
    the change is.
    """
    key = resource_hash(resource_type, id)
    row = await connection.fetchrow(_SELECT_STORED, key, resource_type, id)
    return stored_of(row) if row else None


async def select_stored_each(
    connection: Connection, references: Sequence[tuple[str, str]]
) -> list[Stored]:
    """Returns those of `references` (type, id) that there are, as changes need
    them. Not audited.
    """
    rows = await connection.fetch(
        f"SELECT {_STORED} FROM resource r WHERE r.reference_hash = ANY ($1::bigint[])",
        [resource_hash(kind, id) for kind, id in references],
    )
    return [stored_of(row) for row in rows]


async def select_outdated(
    connection: Connection, after: int, window: int, index_version: int | None
) -> tuple[list[Stored], int | None]:
    """Returns what is to be indexed anew of the next `window` rows, locked, and the
    last row's number.

    Those whose index is older than `index_version`; None: all. No number: there are no rows
    behind `after`.
    """
    rows = await connection.fetch(
        f"""
        SELECT {_STORED} FROM resource r
        WHERE r.number > $1 ORDER BY r.number LIMIT $2 FOR NO KEY UPDATE""",
        after,
        window,
    )
    outdated = [
        row for row in rows if index_version is None or row["index_version"] < index_version
    ]
    return [stored_of(row) for row in outdated], rows[-1]["number"] if rows else None


async def select_oldest_index(
    connection: Connection, after: int, upto: int | None, window: int
) -> tuple[int | None, int | None]:
    """Returns the lowest index version of the next `window` rows and the last row's number.

    `upto`: the last number to look at, or None for all. No number: there are no rows left.
    """
    row = await connection.fetchrow(
        """
        SELECT min(index_version), max(number) FROM (SELECT index_version, number FROM resource
            WHERE number > $1 AND ($2::bigint IS NULL OR number <= $2)
            ORDER BY number LIMIT $3) AS r""",
        after,
        upto,
        window,
    )
    return row[0], row[1]


def stored_of(row: Any) -> Stored:
    return Stored(
        version=version_of(row),
        number=row["number"],
        value_hashes=tuple(row["value_hashes"]),
        target_hashes=frozenset(row["target_hashes"]),
        ranges_hash=row["ranges_hash"],
        mrn=row["mrn"],
        index_version=row["index_version"],
    )


async def select_version(
    connection: Connection, resource_type: str, id: str, version_id: int
) -> Version | None:
    """Returns one version. Not audited."""
    key = resource_hash(resource_type, id)
    row = await connection.fetchrow(_SELECT_VERSION, key, resource_type, id, version_id)
    return version_of(row) if row else None


async def select_versions(
    connection: Connection, references: Sequence[tuple[str, str, int]]
) -> list[Version]:
    """Returns these versions (type, id, version), in their order. Not audited: an answer that
    is given again.
    """
    if not references:
        return []
    types, ids, versions = zip(*references, strict=True)
    hashes = [resource_hash(kind, id) for kind, id, _ in references]
    rows = await connection.fetch(
        f"""
        SELECT v.* FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
            WITH ORDINALITY AS n (type, id, version_id, reference_hash, position)
        CROSS JOIN LATERAL (
            SELECT {_VERSION} FROM resource r WHERE r.reference_hash = n.reference_hash
                AND r.type = n.type AND r.id = n.id AND r.version_id = n.version_id
            UNION ALL SELECT {_PAST} FROM resource_history h
            WHERE h.type = n.type AND h.id = n.id AND h.version_id = n.version_id LIMIT 1) AS v
        ORDER BY n.position""",
        types,
        ids,
        versions,
        hashes,
    )
    return [version_of(row) for row in rows]


# Whether all of `living_arguments` are there; the Patients cannot be deleted meanwhile.
ALL_LIVING = (
    "SELECT (SELECT count(*) FROM (SELECT FROM resource WHERE reference_hash = ANY ($1::bigint[])"
    " AND method <> 'DELETE' ORDER BY number FOR SHARE) AS p)"
    " + (SELECT count(*) FROM resource WHERE reference_hash = ANY ($2::bigint[])"
    " AND method <> 'DELETE') = cardinality($1::bigint[]) + cardinality($2::bigint[]) AS is_met"
)


def living_arguments(references: Collection[tuple[str, str]]) -> tuple[list[int], list[int]]:
    """Returns the hashes of the Patients among `references` (type, id), and of the others."""
    patients = {resource_hash(kind, id) for kind, id in references if kind == "Patient"}
    others = {resource_hash(kind, id) for kind, id in references if kind != "Patient"}
    return sorted(patients), sorted(others)


async def select_living(
    connection: Connection, references: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Returns those of `references` (type, id) that are there and not deleted.

    A Patient among them cannot be deleted before the transaction ends. Nothing else is locked:
    every resource of a hospital refers to the hospital.
    """
    living: set[tuple[str, str]] = set()
    for hashes, lock in zip(living_arguments(references), (" FOR SHARE", ""), strict=True):
        if not hashes:
            continue
        rows = await connection.fetch(
            "SELECT type, id FROM resource WHERE reference_hash = ANY ($1::bigint[])"
            f" AND method <> 'DELETE' ORDER BY number{lock}",
            hashes,
        )
        living.update((row["type"], row["id"]) for row in rows)
    return living


async def select_of_types(
    connection: Connection, hashes: Sequence[int], types: Sequence[str]
) -> list[Version]:
    """Returns the current versions of those of `hashes` that are of these types. Not audited."""
    rows = await connection.fetch(
        f"SELECT {_VERSION} FROM resource r"
        " WHERE r.reference_hash = ANY ($1::bigint[]) AND r.type = ANY ($2::text[])",
        hashes,
        types,
    )
    return [version_of(row) for row in rows]


async def read_patient_list(
    read_audit: ReadAudit, author: Author, *, after: int, limit: int
) -> tuple[list[tuple[int, str]], bool]:
    """Returns `limit` patients of /api/patients as (number, JSON), and whether there
    is a next page.
    """
    async with read_audit.database.connection() as connection:
        rows = await connection.fetch(
            _SELECT_LIST,
            max(after, first_number("Patient")),
            last_number("Patient"),
            limit + 1,
        )
    page = rows[:limit]
    ids = [row["id"] for row in page]
    entry = ReadEntry("search", author, "Patient", returned_ids=ids, patient_ids=ids)
    await read_audit.record(entry)
    return [(row["number"], row["summary"]) for row in page], len(rows) > limit


async def read_patient_view(
    read_audit: ReadAudit, id: str, author: Author
) -> tuple[str | None, int] | None:
    """Returns the JSON of /api/patients/{id} (None for a deleted patient) and its version."""
    async with read_audit.database.connection() as connection:
        row = await connection.fetchrow(
            f"SELECT summary, version_id FROM resource {_BY_ID}",
            resource_hash("Patient", id),
            "Patient",
            id,
        )
    if row is None:
        return None
    if row["summary"] is not None:
        entry = ReadEntry(
            "read", author, "Patient", id, version_id=row["version_id"], patient_id=id
        )
        await read_audit.record(entry)
    return row["summary"], row["version_id"]


async def read_one(
    read_audit: ReadAudit, version: Version, author: Author, action: str = "read"
) -> None:
    """Records that a version is given out; a deletion has nothing to give."""
    if version.body is not None:
        await read_audit.record(entry_of(action, author, version))
