"""The SQL that reads figures of patients and their care; the connection first, plain values back.

Deleted resources, and those entered in error, count nowhere. Every function raises Unprocessable
for more than MAX_POINTS intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from apps.analytics.figures.suppression import Cell, Group
from apps.analytics.reports.parameters import MAX_POINTS, Code, Period
from apps.kit.database import Connection
from apps.kit.errors import Unprocessable

# Bits of `grouping`: which of gender, decade and postal prefix a row is not grouped by.
_ALL = 0b111
_GENDER = 0b011
_DECADE = 0b101
_POSTAL_PREFIX = 0b110

_COUNTED = "NOT fact.deleted AND fact.status <> 'entered-in-error'"
_IN_PERIOD = (
    "fact.effective_at >= coalesce($1, '-infinity'::timestamptz)"
    " AND fact.effective_at < coalesce($2, 'infinity'::timestamptz)"
)
# A fact without a time counts where no period is asked for.
_IN_OPEN_PERIOD = f"(($1::timestamptz IS NULL AND $2::timestamptz IS NULL) OR ({_IN_PERIOD}))"
_PATIENT_LIVES = (
    "NOT EXISTS (SELECT FROM patient WHERE patient.patient_id = fact.patient_id AND "
    "patient.deleted)"
)

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Point:
    """How many in the interval that begins at `start`; an interval without any has no point."""

    start: datetime
    count: int


@dataclass(frozen=True, slots=True)
class ActivePoint:
    """Patients with an encounter in the interval. `new`: for whom it was the first one ever."""

    start: datetime
    active: int
    new: int
    returning: int


@dataclass(frozen=True, slots=True)
class Stay:
    """Finished encounters of a class and how long they took, in hours."""

    name: str
    count: int
    mean_hours: float
    median_hours: float


@dataclass(frozen=True, slots=True)
class TopCode:
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
    rows = await connection.fetch(
        """
        SELECT date_trunc($3, hour, $4) AS start, sum(count)::bigint AS count FROM registration
        WHERE hour >= coalesce($1, '-infinity'::timestamptz)
            AND hour < coalesce($2, 'infinity'::timestamptz)
        GROUP BY 1 ORDER BY 1 LIMIT $5
        """,
        *_interval(period),
    )
    return bounded([Point(row["start"], row["count"]) for row in rows])


async def select_encounters(connection: Connection, period: Period) -> list[Point]:
    """Counts encounters by when they began; those without a time are not counted."""
    rows = await connection.fetch(
        f"""
        SELECT date_trunc($3, effective_at, $4) AS start, count(*) AS count FROM fact
        WHERE resource_type = 'Encounter' AND {_COUNTED} AND {_IN_PERIOD}
        GROUP BY 1 ORDER BY 1 LIMIT $5
        """,  # noqa: S608
        *_interval(period),
    )
    return bounded([Point(row["start"], row["count"]) for row in rows])


async def select_active_patients(connection: Connection, period: Period) -> list[ActivePoint]:
    rows = await connection.fetch(
        f"""
        WITH visit AS (
            SELECT DISTINCT date_trunc($3, effective_at, $4) AS start, patient_id FROM fact
            WHERE resource_type = 'Encounter' AND {_COUNTED} AND {_IN_PERIOD}
        ), first_visit AS (
            SELECT patient_id, date_trunc($3, min(effective_at), $4) AS start FROM fact
            WHERE resource_type = 'Encounter' AND {_COUNTED} GROUP BY patient_id
        )
        SELECT visit.start, count(*) AS active,
            count(*) FILTER (WHERE visit.start = first_visit.start) AS new
        FROM visit JOIN first_visit USING (patient_id)
        GROUP BY visit.start ORDER BY visit.start LIMIT $5
        """,  # noqa: S608
        *_interval(period),
    )
    return bounded(
        [
            ActivePoint(row["start"], row["active"], row["new"], row["active"] - row["new"])
            for row in rows
        ]
    )


async def select_encounter_groups(
    connection: Connection, period: Period, grouped_by: str
) -> list[Group]:
    """Counts the period's encounters by `class` (HL7 v3 ActCode) or `reason` (a code)."""
    column = {"class": "category", "reason": "reason_code"}[grouped_by]
    rows = await connection.fetch(
        f"""
        SELECT coalesce(nullif({column}, ''), 'unknown') AS name, count(*) AS count FROM fact
        WHERE resource_type = 'Encounter' AND {_COUNTED} AND {_IN_PERIOD}
        GROUP BY 1
        """,  # noqa: S608
        period.start,
        period.end,
    )
    return [Group(row["name"], row["count"]) for row in rows]


async def select_stays(connection: Connection, period: Period, smallest: int) -> list[Stay]:
    """Returns the length of finished encounters by class, of classes with at least `smallest`."""
    rows = await connection.fetch(
        f"""
        SELECT coalesce(nullif(category, ''), 'unknown') AS name, count(*) AS count,
            round(extract(epoch FROM avg(ended_at - effective_at)) / 3600, 2)::float8 AS mean_hours,
            round((extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (
                ORDER BY ended_at - effective_at)) / 3600)::numeric, 2)::float8 AS median_hours
        FROM fact
        WHERE resource_type = 'Encounter' AND {_COUNTED} AND {_IN_PERIOD}
            AND ended_at >= effective_at
        GROUP BY 1 HAVING count(*) >= $3 ORDER BY count DESC, name
        """,  # noqa: S608
        period.start,
        period.end,
        smallest,
    )
    return [Stay(**row) for row in rows]


async def select_top_codes(
    connection: Connection, resource_type: str, period: Period, smallest: int, limit: int
) -> list[TopCode]:
    """Returns the codes that most patients have, each with at least `smallest` patients."""
    rows = await connection.fetch(
        f"""
        SELECT system, code, count(DISTINCT patient_id) AS patients FROM fact
        WHERE resource_type = $3 AND code <> '' AND {_COUNTED} AND {_IN_OPEN_PERIOD}
            AND {_PATIENT_LIVES}
        GROUP BY system, code HAVING count(DISTINCT patient_id) >= $4
        ORDER BY patients DESC, system, code LIMIT $5
        """,  # noqa: S608
        period.start,
        period.end,
        resource_type,
        smallest,
        limit,
    )
    return [TopCode(**row) for row in rows]


async def select_prevalence(
    connection: Connection, resource_type: str, code: Code, period: Period, year: int
) -> list[Cell]:
    """Counts patients with a code, and all patients, by age group in `year` and gender."""
    rows = await connection.fetch(
        f"""
        WITH affected AS (
            SELECT DISTINCT patient_id FROM fact
            WHERE resource_type = $3 AND code = $4 AND ($5 = '' OR system = $5) AND {_COUNTED}
                AND {_IN_OPEN_PERIOD}
        )
        SELECT CASE WHEN birth_year BETWEEN 1 AND $6 THEN least(($6 - birth_year) / 10, 9) END
                AS decade,
            coalesce(nullif(gender, ''), 'unknown') AS gender,
            count(*) AS population, count(affected.patient_id) AS count
        FROM patient LEFT JOIN affected USING (patient_id)
        WHERE NOT patient.deleted GROUP BY 1, 2
        """,  # noqa: S608
        period.start,
        period.end,
        resource_type,
        code.code,
        code.system,
        year,
    )
    return [
        Cell(
            row=age_group(row["decade"]),
            column=row["gender"],
            count=row["count"],
            population=row["population"],
        )
        for row in rows
    ]


async def select_population(connection: Connection) -> int:
    """Counts the patients that are not deleted."""
    return int(await connection.fetchval("SELECT count(*) FROM patient WHERE NOT deleted"))


async def select_demographics(connection: Connection, year: int) -> Demographics:
    """Counts the patients that are not deleted by gender, age group in `year` and postal prefix."""
    rows = await connection.fetch(
        """
        WITH person AS (
            SELECT
                coalesce(nullif(gender, ''), 'unknown') AS gender,
                CASE WHEN birth_year BETWEEN 1 AND $1 THEN least(($1 - birth_year) / 10, 9) END
                    AS decade,
                coalesce(nullif(postal_prefix, ''), 'unknown') AS postal_prefix
            FROM patient WHERE NOT deleted
        )
        SELECT gender, decade, postal_prefix, count(*) AS count,
            grouping(gender, decade, postal_prefix) AS without
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
    """Returns `0-9` to `80-89`, `90+`, or `unknown`."""
    if decade is None:
        return "unknown"
    return "90+" if decade >= 9 else f"{decade * 10}-{decade * 10 + 9}"


def bounded(points: list[P]) -> list[P]:
    """Returns the points; raises Unprocessable for more than MAX_POINTS."""
    if len(points) > MAX_POINTS:
        raise Unprocessable(
            "too_many_points",
            f"over {MAX_POINTS}: ask for a shorter period or a longer interval",
            pointer="interval",
        )
    return points


def _interval(period: Period) -> Sequence[object]:
    return (period.start, period.end, period.interval, period.timezone, MAX_POINTS + 1)
