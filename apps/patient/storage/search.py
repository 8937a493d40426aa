"""Runs a search: a page of the newest versions, given out once its audit entry is committed (decision 0305)."""

from typing import Any

from apps.kit.database import Connection
from apps.patient.search.search_parameters import Criteria, Sql
from apps.patient.storage.read_audit import ReadAudit, ReadEntry
from apps.patient.storage.versions import Author, Version

MAX_QUERY_CHARS = 2000


def _where(
    resource_type: str, criteria: Criteria, restrict_to_patient_id: str | None
) -> tuple[Sql, str, str]:
    """The head's table and the conditions, numbered on from the criteria's own arguments."""
    sql = Sql(list(criteria.sql.conditions), list(criteria.sql.arguments))
    sql.conditions.append("NOT h.deleted")
    is_patient = resource_type == "Patient"
    if not is_patient:
        sql.conditions.append(f"h.type = {sql.argument(resource_type)}")
    if restrict_to_patient_id is not None:
        sql.conditions.append(
            f"h.{'id' if is_patient else 'patient_id'} = {sql.argument(restrict_to_patient_id)}"
        )
    return sql, "patient" if is_patient else "clinical", " AND ".join(sql.conditions)


async def search(
    read_audit: ReadAudit,
    resource_type: str,
    criteria: Criteria,
    query: str,
    author: Author,
    restrict_to_patient_id: str | None,
) -> tuple[list[Version], bool]:
    """A page by id, and whether there is another; audited with `query` and the ids given out."""
    sql, head, where = _where(resource_type, criteria, restrict_to_patient_id)
    kind, after, limit = (
        sql.argument(value) for value in (resource_type, criteria.after, criteria.count)
    )
    async with read_audit.database.connection() as connection:
        rows: list[Any] = await connection.fetch(
            f"""
            WITH page AS (
                SELECT h.id, h.version_id FROM {head} h
                WHERE {where} AND h.id > {after} ORDER BY h.id LIMIT {limit} + 1)
            SELECT v.type, v.id, v.version_id, v.patient_id, v.recorded_at, v.method, v.body
            FROM page JOIN resource_history v ON v.type = {kind} AND v.id = page.id AND v.version_id = page.version_id
            ORDER BY v.id""",  # noqa: S608 - numbered placeholders and names of ours
            *sql.arguments,
        )
    page = [Version(*row) for row in rows[: criteria.count]]
    ids = [version.id for version in page]
    await read_audit.record(
        ReadEntry("search", author, resource_type, query=query[:MAX_QUERY_CHARS], returned_ids=ids)
    )
    return page, len(rows) > criteria.count


async def count_matches(
    connection: Connection,
    resource_type: str,
    criteria: Criteria,
    restrict_to_patient_id: str | None,
) -> int:
    sql, head, where = _where(resource_type, criteria, restrict_to_patient_id)
    total: int = await connection.fetchval(
        f"SELECT count(*) FROM {head} h WHERE {where}",  # noqa: S608 - numbered placeholders and names of ours
        *sql.arguments,
    )
    return total


async def select_matches(
    connection: Connection, resource_type: str, criteria: Criteria
) -> list[Version]:
    """At most two that match: for a condition, which wants to know whether it is none, one or more. Not audited."""
    sql, head, where = _where(resource_type, criteria, None)
    kind = sql.argument(resource_type)
    rows = await connection.fetch(
        f"""
        SELECT v.type, v.id, v.version_id, v.patient_id, v.recorded_at, v.method, v.body
        FROM {head} h JOIN resource_history v ON v.type = {kind} AND v.id = h.id AND v.version_id = h.version_id
        WHERE {where} ORDER BY h.id LIMIT 2""",  # noqa: S608 - numbered placeholders and names of ours
        *sql.arguments,
    )
    return [Version(*row) for row in rows]
