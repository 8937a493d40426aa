"""Finds entries of the audit by patient, agent, date, entity and kind, the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.kit.database import Connection
from apps.patient.search.index.hashing import resource_hash
from apps.patient.search.statements.sql import Sql
from apps.patient.storage.planner import with_bitmaps

_COLUMNS = (
    "a.id, a.recorded_at, a.action, a.actor_id, a.client_id, a.request_id, a.resource_type,"
    " a.resource_id, a.version_id, a.patient_id, a.query, a.returned_ids"
)


@dataclass(frozen=True, slots=True)
class AuditRow:
    id: int
    recorded_at: datetime
    action: str
    actor_id: str
    client_id: str
    request_id: str
    resource_type: str
    resource_id: str | None
    version_id: int | None
    patient_id: str | None
    query: str | None
    returned_ids: Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What entries must meet. `entities` and `owners` are (type, id): any of each group; `own` the
    caller's record.

    `not_actors`: whose entries are left out. `dates` are bounds of the time: (operator, time).
    """

    ids: Sequence[int] | None = None
    entities: Sequence[tuple[tuple[str, str], ...]] = ()
    actors: Sequence[tuple[str, ...]] = ()
    not_actors: Sequence[str] = ()
    actions: Sequence[tuple[str, ...]] = ()
    dates: Sequence[tuple[str, datetime]] = ()
    own: str | None = None


async def select_audit_rows(
    connection: Connection,
    criteria: AuditFilter,
    before: tuple[datetime, int] | None,
    limit: int,
) -> list[AuditRow]:
    """Returns up to `limit` entries before `before` (time and id), the newest first."""
    sql = Sql()
    source, where = _conditions(sql, criteria)
    if before is not None:
        moment = sql.argument(before[0], "timestamptz")
        where.append(f"(a.recorded_at, a.id) < ({moment}, {sql.argument(before[1], 'bigint')})")
    async with with_bitmaps(connection):
        rows: list[Any] = await connection.fetch(
            f"SELECT {_COLUMNS} FROM {source} WHERE {' AND '.join(where) or 'true'}"
            f" ORDER BY a.recorded_at DESC, a.id DESC LIMIT {sql.argument(limit, 'bigint')}",
            *sql.arguments,
        )
    return [AuditRow(*row) for row in rows]


async def count_audit_rows(connection: Connection, criteria: AuditFilter) -> int:
    sql = Sql()
    source, where = _conditions(sql, criteria)
    async with with_bitmaps(connection):
        total: int = await connection.fetchval(
            f"SELECT count(*) FROM {source} WHERE {' AND '.join(where) or 'true'}", *sql.arguments
        )
    return total


def _conditions(sql: Sql, criteria: AuditFilter) -> tuple[str, list[str]]:
    """Returns the FROM clause and the conditions. Entities lead: few entries have one, many
    have an actor.
    """
    groups = list(criteria.entities)
    if criteria.own is not None:
        groups.append((("Patient", criteria.own),))
    where = []
    source = "audit_event a"
    for position, group in enumerate(groups):
        condition = _entity_condition(sql, group)
        if position == 0:
            source = f"(SELECT * FROM audit_event a WHERE {condition} OFFSET 0) AS a"
        else:
            where.append(condition)
    for column, alternatives in (("actor_id", criteria.actors), ("action", criteria.actions)):
        for values in alternatives:
            where.append(f"a.{column} = ANY ({sql.argument(list(values), 'text[]')})")
    if criteria.not_actors:
        where.append(f"a.actor_id <> ALL ({sql.argument(list(criteria.not_actors), 'text[]')})")
    for operator, moment in criteria.dates:
        where.append(f"a.recorded_at {operator} {sql.argument(moment, 'timestamptz')}")
    if criteria.ids is not None:
        where.append(f"a.id = ANY ({sql.argument(list(criteria.ids), 'bigint[]')})")
    return source, where


def _entity_condition(sql: Sql, group: Sequence[tuple[str, str]]) -> str:
    hashes = sql.argument([resource_hash(kind, id) for kind, id in group], "bigint[]")
    patients = sql.argument([id for kind, id in group if kind == "Patient"], "text[]")
    ids = sql.argument([id for _, id in group], "text[]")
    # The second and third are entries of the previous release, which have no entities.
    return (
        f"(a.entities && {hashes} OR (a.entities IS NULL AND a.patient_id = ANY ({patients}))"
        f" OR (a.entities IS NULL AND a.resource_id = ANY ({ids})))"
    )
