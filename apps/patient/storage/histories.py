"""Reads the versions of one resource, or of all of some types, from the newest on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from apps.kit.database import Connection
from apps.patient.search.index.hashing import resource_hash, type_bits
from apps.patient.search.statements.sql import Sql, body_of
from apps.patient.storage.versions import Version, version_of

_CURRENT = (
    "r.type, r.id, r.version_id, r.patient_id, r.last_updated AS recorded_at, r.method, "
    + body_of("r")
)
_PAST = "h.type, h.id, h.version_id, h.patient_id, h.recorded_at, h.method, " + body_of("h")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRange:
    """`since`: versions from then on. `at`: versions that were current at some time of the span."""

    since: datetime | None = None
    at: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended."""

    recorded_at: datetime
    resource_type: str
    id: str
    version_id: int

    @classmethod
    def of(cls, version: Version) -> "Place":
        return cls(version.recorded_at, version.resource_type, version.id, version.version_id)


async def select_instance_history(
    connection: Connection,
    resource_type: str,
    id: str,
    bounds: HistoryRange,
    place: Place | None,
    limit: int,
) -> list[Version]:
    sql = Sql()
    kind, key = sql.argument(resource_type, "text"), sql.argument(id, "text")
    hashed = sql.argument(resource_hash(resource_type, id), "bigint")
    current = [f"r.reference_hash = {hashed}", f"r.type = {kind}", f"r.id = {key}"]
    past = [f"h.type = {kind}", f"h.id = {key}"]
    if place is not None:
        below = sql.argument(place.version_id, "bigint")
        current.append(f"r.version_id < {below}")
        past.append(f"h.version_id < {below}")
    current += _bounds(sql, bounds, "r", "last_updated")
    past += _bounds(sql, bounds, "h", "recorded_at")
    count = sql.argument(limit, "bigint")
    statement, arguments = sql.used(
        f"SELECT * FROM (SELECT {_CURRENT} FROM resource r WHERE {' AND '.join(current)}"
        f" UNION ALL (SELECT {_PAST} FROM resource_history h WHERE {' AND '.join(past)}"
        f" ORDER BY h.version_id DESC LIMIT {count} + 1)) AS v"
        f" ORDER BY version_id DESC LIMIT {count} + 1",
    )
    rows = await connection.fetch(statement, *arguments)
    return _distinct([version_of(row) for row in rows])[:limit]


def _distinct(versions: Sequence[Version]) -> list[Version]:
    """Drops a version that is there twice: the release before kept the current one here too."""
    return list({version.reference: version for version in versions}.values())


def _bounds(sql: Sql, bounds: HistoryRange, table: str, column: str) -> list[str]:
    found = []
    if bounds.since is not None:
        found.append(f"{table}.{column} >= {sql.argument(bounds.since, 'timestamptz')}")
    if bounds.at is not None:
        start = sql.argument(bounds.at[0], "timestamptz")
        found.append(f"{table}.{column} < {sql.argument(bounds.at[1], 'timestamptz')}")
        if table == "h":
            found.append(
                "NOT EXISTS (SELECT FROM resource_history l WHERE l.type = h.type AND l.id = h.id"
                f" AND l.version_id = h.version_id + 1 AND l.recorded_at <= {start})"
                " AND NOT EXISTS (SELECT FROM resource c WHERE c.type = h.type AND c.id = h.id"
                " AND c.version_id = h.version_id + 1 AND c.last_updated >= h.recorded_at"
                f" AND c.last_updated <= {start})"
            )
    return found


async def select_type_history(
    connection: Connection,
    types: Sequence[str],
    bounds: HistoryRange,
    place: Place | None,
    limit: int,
) -> list[Version]:
    """Returns up to `limit` versions of these types, the newest first. Each type's indexes
    give their first.
    """
    sql = Sql()
    names = sql.argument(list(types), "text[]")
    bits = sql.argument([type_bits(name) for name in types], "bigint[]")
    current, past = ["(r.number >> 48) = t.bits"], ["h.type = t.name"]
    if place is not None:
        moment = sql.argument(place.recorded_at, "timestamptz")
        rest = ", ".join(
            (
                sql.argument(place.resource_type, "text"),
                sql.argument(place.id, "text"),
                sql.argument(place.version_id, "bigint"),
            )
        )
        for table, column, where in (("r", "last_updated", current), ("h", "recorded_at", past)):
            where.append(f"{table}.{column} <= {moment}")
            where.append(
                f"({table}.{column}, {table}.type, {table}.id, {table}.version_id)"
                f" < ({moment}, {rest})"
            )
    current += _bounds(sql, bounds, "r", "last_updated")
    past += _bounds(sql, bounds, "h", "recorded_at")
    count = sql.argument(limit, "bigint")
    statement, arguments = sql.used(
        f"SELECT v.* FROM unnest({names}, {bits}) AS t (name, bits) CROSS JOIN LATERAL ("
        f"(SELECT {_CURRENT} FROM resource r WHERE {' AND '.join(current)}"
        f" ORDER BY r.last_updated DESC, r.type DESC, r.id DESC, r.version_id DESC LIMIT {count})"
        f" UNION ALL (SELECT {_PAST} FROM resource_history h WHERE {' AND '.join(past)}"
        f" ORDER BY h.recorded_at DESC, h.type DESC, h.id DESC, h.version_id DESC LIMIT {count})"
        ") AS v ORDER BY recorded_at DESC, type DESC, id DESC, version_id DESC"
        f" LIMIT {count}",
    )
    rows = await connection.fetch(statement, *arguments)
    return _distinct([version_of(row) for row in rows])
