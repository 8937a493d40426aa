"""The SQL that reads the figures; the connection first, plain values back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.analytics.figures import Group
from apps.analytics.queries import MAX_POINTS, TIMEZONE, Period
from apps.kit.database import Connection
from apps.kit.errors import Unprocessable

# What `grouping` says of a row: a bit for each of gender, decade and postal prefix that it is not grouped by.
_ALL, _GENDER, _DECADE, _POSTAL_PREFIX = 0b111, 0b011, 0b101, 0b110


@dataclass(frozen=True, slots=True)
class Point:
    """How many in the interval that begins at `start`; an interval without any has no point."""

    start: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Condition:
    system: str
    code: str
    patients: int


@dataclass(frozen=True, slots=True)
class Demographics:
    total: int
    genders: tuple[Group, ...]
    age_groups: tuple[Group, ...]
    postal_prefixes: tuple[Group, ...]


async def select_registrations(connection: Connection, period: Period) -> list[Point]:
    """Raises Unprocessable for more than MAX_POINTS."""
    rows = await connection.fetch(
        """
        SELECT date_trunc($1, hour, $4) AS start, sum(count)::bigint AS count FROM registration
        WHERE hour >= coalesce($2, '-infinity'::timestamptz) AND hour < coalesce($3, 'infinity'::timestamptz)
        GROUP BY 1 ORDER BY 1 LIMIT $5
        """,
        period.interval,
        period.start,
        period.end,
        TIMEZONE,
        MAX_POINTS + 1,
    )
    return _points([Point(row["start"], row["count"]) for row in rows])


async def select_encounters(connection: Connection, period: Period) -> list[Point]:
    """Encounters by when they were; those without a time are not counted. Raises Unprocessable as above."""
    rows = await connection.fetch(
        """
        SELECT date_trunc($1, effective_at, $4) AS start, count(*) AS count FROM fact
        WHERE resource_type = 'Encounter' AND NOT deleted
            AND effective_at >= coalesce($2, '-infinity'::timestamptz)
            AND effective_at < coalesce($3, 'infinity'::timestamptz)
        GROUP BY 1 ORDER BY 1 LIMIT $5
        """,
        period.interval,
        period.start,
        period.end,
        TIMEZONE,
        MAX_POINTS + 1,
    )
    return _points([Point(row["start"], row["count"]) for row in rows])


async def select_encounter_classes(connection: Connection, period: Period) -> list[Group]:
    """Encounters of the period by class (HL7 v3 ActCode), `unknown` where there is none."""
    rows = await connection.fetch(
        """
        SELECT coalesce(nullif(category, ''), 'unknown') AS name, count(*) AS count FROM fact
        WHERE resource_type = 'Encounter' AND NOT deleted
            AND effective_at >= coalesce($1, '-infinity'::timestamptz)
            AND effective_at < coalesce($2, 'infinity'::timestamptz)
        GROUP BY 1
        """,
        period.start,
        period.end,
    )
    return [Group(row["name"], row["count"]) for row in rows]


async def select_top_conditions(
    connection: Connection, smallest: int, limit: int
) -> list[Condition]:
    """The codes that most patients have, each with at least `smallest` patients."""
    rows = await connection.fetch(
        """
        SELECT system, code, count(DISTINCT patient_id) AS patients FROM fact
        WHERE resource_type = 'Condition' AND NOT deleted AND code <> ''
            AND NOT EXISTS (SELECT FROM patient WHERE patient.patient_id = fact.patient_id AND patient.deleted)
        GROUP BY system, code HAVING count(DISTINCT patient_id) >= $1
        ORDER BY patients DESC, system, code LIMIT $2
        """,
        smallest,
        limit,
    )
    return [Condition(**row) for row in rows]


async def select_demographics(connection: Connection, year: int) -> Demographics:
    """The patients that are not deleted; ages in `year`, by decade."""
    rows = await connection.fetch(
        """
        WITH person AS (
            SELECT
                coalesce(nullif(gender, ''), 'unknown') AS gender,
                CASE WHEN birth_year BETWEEN 1 AND $1 THEN least(($1 - birth_year) / 10, 9) END AS decade,
                coalesce(nullif(postal_prefix, ''), 'unknown') AS postal_prefix
            FROM patient WHERE NOT deleted
        )
        SELECT gender, decade, postal_prefix, count(*) AS count, grouping(gender, decade, postal_prefix) AS without
        FROM person GROUP BY GROUPING SETS ((), (gender), (decade), (postal_prefix))
        """,
        year,
    )
    found: dict[int, list[Any]] = {_ALL: [], _GENDER: [], _DECADE: [], _POSTAL_PREFIX: []}
    for row in rows:
        found[row["without"]].append(row)
    return Demographics(
        found[_ALL][0]["count"],
        tuple(Group(row["gender"], row["count"]) for row in found[_GENDER]),
        tuple(Group(age_group(row["decade"]), row["count"]) for row in found[_DECADE]),
        tuple(Group(row["postal_prefix"], row["count"]) for row in found[_POSTAL_PREFIX]),
    )


def age_group(decade: int | None) -> str:
    """`0-9` to `80-89`, `90+`, or `unknown`."""
    if decade is None:
        return "unknown"
    return "90+" if decade >= 9 else f"{decade * 10}-{decade * 10 + 9}"


def _points(points: list[Point]) -> list[Point]:
    if len(points) > MAX_POINTS:
        raise Unprocessable(
            "too_many_points",
            f"over {MAX_POINTS}: ask for a shorter period or a longer interval",
            pointer="interval",
        )
    return points
