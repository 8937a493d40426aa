"""What analytics answers over HTTP. Every operation needs `analytics.read`."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.analytics.figures import Breakdown, Group, break_down
from apps.analytics.lag import measure_lag
from apps.analytics.queries import TIMEZONE, Period, parse_nothing, parse_period, parse_top
from apps.analytics.reports import (
    Point,
    select_demographics,
    select_encounter_classes,
    select_encounters,
    select_registrations,
    select_top_conditions,
)
from apps.kit.web import JSONResponse, Operation, PolicedRoute, scopes

READ = scopes("analytics.read")


async def registrations(request: Request) -> Response:
    period = parse_period(request.query_params)
    async with request.state.database.connection() as connection:
        points = await select_registrations(connection, period)
    return JSONResponse(render_points(period, points))


async def encounters(request: Request) -> Response:
    period = parse_period(request.query_params)
    async with request.state.database.connection() as connection:
        points = await select_encounters(connection, period)
        classes = await select_encounter_classes(connection, period)
    classes_shown = render_breakdown(
        "class", break_down(classes, request.state.settings.smallest_group)
    )
    return JSONResponse({**render_points(period, points), "classes": classes_shown})


async def top_conditions(request: Request) -> Response:
    limit, smallest = parse_top(request.query_params), request.state.settings.smallest_group
    async with request.state.database.connection() as connection:
        conditions = await select_top_conditions(connection, smallest, limit)
    return JSONResponse({"smallestGroup": smallest, "conditions": conditions})


async def demographics(request: Request) -> Response:
    parse_nothing(request.query_params)
    smallest, year = request.state.settings.smallest_group, datetime.now(UTC).year
    async with request.state.database.connection() as connection:
        found = await select_demographics(connection, year)

    def shown(name: str, groups: Iterable[Group]) -> dict[str, Any]:
        return render_breakdown(name, break_down(groups, smallest))

    return JSONResponse(
        {
            "total": found.total,
            "smallestGroup": smallest,
            "genders": shown("gender", found.genders),
            "ageGroups": shown("ageGroup", found.age_groups),
            "postalPrefixes": shown("postalPrefix", found.postal_prefixes),
        }
    )


async def lag(request: Request) -> Response:
    parse_nothing(request.query_params)
    state = request.state
    measured = await measure_lag(state.database, state.consumer, state.settings.topic)
    partitions = [
        {
            "partition": each.partition,
            "nextOffset": each.next_offset,
            "endOffset": each.end_offset,
            "lag": each.lag,
        }
        for each in measured.partitions
    ]
    return JSONResponse(
        {"lag": measured.total, "deadLetters": measured.dead_letters, "partitions": partitions}
    )


def render_points(period: Period, points: list[Point]) -> dict[str, Any]:
    """`from` and `to` as asked for, to the hour; without them, the first point's start and null."""
    start = period.start or (points[0].start if points else None)
    return {
        "interval": period.interval,
        "timezone": TIMEZONE,
        "from": start,
        "to": period.end,
        "total": sum(point.count for point in points),
        "points": points,
    }


def render_breakdown(name: str, breakdown: Breakdown) -> dict[str, Any]:
    groups = [{name: group.name, "count": group.count} for group in breakdown.groups]
    return {"groups": groups, "suppressed": breakdown.suppressed}


def analytics_routes() -> list[BaseRoute]:
    return [
        PolicedRoute("/analytics/v1/registrations", Operation("GET", registrations, READ)),
        PolicedRoute("/analytics/v1/demographics", Operation("GET", demographics, READ)),
        PolicedRoute("/analytics/v1/conditions/top", Operation("GET", top_conditions, READ)),
        PolicedRoute("/analytics/v1/encounters", Operation("GET", encounters, READ)),
        PolicedRoute("/analytics/v1/lag", Operation("GET", lag, READ)),
    ]
