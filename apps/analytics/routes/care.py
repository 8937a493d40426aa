"""Figures of patients and their care over HTTP."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from apps.analytics.figures.suppression import (
    Breakdown,
    Group,
    break_down,
    round_count,
    suppress_cells,
)
from apps.analytics.reports.care import (
    select_active_patients,
    select_demographics,
    select_encounter_groups,
    select_encounters,
    select_population,
    select_prevalence,
    select_registrations,
    select_stays,
    select_top_codes,
)
from apps.analytics.reports.parameters import (
    Period,
    is_whole_months,
    parse_choice,
    parse_code,
    parse_months,
    parse_period,
    parse_top,
    single_values,
)
from apps.analytics.routes.rendering import (
    render_breakdown,
    render_cells,
    render_period,
    respond,
)
from apps.kit.database import Connection

Endpoint = Callable[[Request], Awaitable[Response]]

PREVALENCE_TYPES = ("Condition", "MedicationRequest", "Procedure", "Immunization")


async def registrations(request: Request) -> Response:
    period = parse_period(request.query_params)
    async with request.state.database.connection() as connection:
        points = await select_registrations(connection, period)
    document = {
        **render_period(period, points),
        "total": sum(point.count for point in points),
        "points": points,
    }
    return respond(request, document, points)


async def active_patients(request: Request) -> Response:
    """Patients with an encounter in each interval: new ones, and those who came before."""
    period = parse_period(request.query_params)
    async with request.state.database.connection() as connection:
        points = await select_active_patients(connection, period)
    return respond(request, {**render_period(period, points), "points": points}, points)


async def encounters(request: Request) -> Response:
    """Encounters by interval and, of a period of whole months, by class and reason."""
    period = parse_period(request.query_params)
    smallest = request.state.settings.smallest_group
    async with request.state.database.connection() as connection:
        points = await select_encounters(connection, period)
        breakdowns: dict[str, Any] = dict.fromkeys(("classes", "reasons", "lengthOfStay"))
        if is_whole_months(period):
            breakdowns = await break_encounters_down(connection, period, smallest)
    document = {
        **render_period(period, points),
        "total": sum(point.count for point in points),
        "points": points,
        **breakdowns,
    }
    return respond(request, document, points)


async def break_encounters_down(
    connection: Connection, period: Period, smallest: int
) -> dict[str, Any]:
    """Returns the encounters by class and reason, and how long they took."""

    def rounded(groups: Sequence[Group]) -> Breakdown:
        found = break_down(groups, smallest)
        shown = [replace(each, count=round_count(each.count, smallest)) for each in found.groups]
        return replace(found, groups=tuple(shown))

    classes = rounded(await select_encounter_groups(connection, period, "class"))
    reasons = rounded(await select_encounter_groups(connection, period, "reason"))
    return {
        "classes": render_breakdown("class", classes),
        "reasons": render_breakdown("reason", reasons),
        "lengthOfStay": [
            {
                "class": stay.name,
                "count": round_count(stay.count, smallest),
                "meanHours": stay.mean_hours,
                "medianHours": stay.median_hours,
            }
            for stay in await select_stays(connection, period, smallest)
        ],
    }


def top_codes(resource_type: str, name: str) -> Endpoint:
    """Returns the endpoint that lists the codes that most patients have, under `name`."""

    async def top(request: Request) -> Response:
        period = parse_months(request.query_params, "limit")
        limit = parse_top(request.query_params)
        smallest = request.state.settings.smallest_group
        async with request.state.database.connection() as connection:
            found = await select_top_codes(connection, resource_type, period, smallest, limit)
        codes = [replace(code, patients=round_count(code.patients, smallest)) for code in found]
        codes.sort(key=lambda code: (-code.patients, code.system, code.code))
        return respond(request, {"smallestGroup": smallest, name: codes}, codes)

    return top


async def prevalence(request: Request) -> Response:
    """Patients with a code by age group and gender, beside all patients of the same group."""
    query = request.query_params
    period = parse_months(query, "type", "system", "code")
    resource_type = parse_choice(query, "type", PREVALENCE_TYPES)
    return await _prevalence(request, resource_type, period)


async def immunization_coverage(request: Request) -> Response:
    """Patients with an immunization by a vaccine code, by age group and gender."""
    period = parse_months(request.query_params, "system", "code")
    return await _prevalence(request, "Immunization", period)


async def _prevalence(request: Request, resource_type: str, period: Any) -> Response:
    code = parse_code(request.query_params)
    smallest = request.state.settings.smallest_group
    year = datetime.now(UTC).year
    async with request.state.database.connection() as connection:
        cells = await select_prevalence(connection, resource_type, code, period, year)
    shown, suppressed = suppress_cells(cells, smallest)
    groups = render_cells(
        [
            replace(cell, count=min(round_count(cell.count, smallest), cell.population))
            for cell in shown
        ]
    )
    total = sum(cell.count for cell in cells)
    document = {
        "type": resource_type,
        "system": code.system,
        "code": code.code,
        "smallestGroup": smallest,
        "patients": round_count(total, smallest) if total >= smallest else None,
        "population": sum(cell.population for cell in cells),
        "groups": groups,
        "suppressed": suppressed,
    }
    return respond(request, document, groups)


async def demographics(request: Request) -> Response:
    single_values(request.query_params, ())
    smallest = request.state.settings.smallest_group
    async with request.state.database.connection() as connection:
        found = await select_demographics(connection, datetime.now(UTC).year)

    def shown(name: str, groups: Iterable[Group]) -> dict[str, Any]:
        return render_breakdown(name, break_down(groups, smallest))

    document = {
        "total": found.total,
        "smallestGroup": smallest,
        "genders": shown("gender", found.genders),
        "ageGroups": shown("ageGroup", found.age_groups),
        "postalPrefixes": shown("postalPrefix", found.postal_prefixes),
    }
    rows = [
        {"breakdown": name, "group": group.name, "count": group.count}
        for name, groups in (
            ("gender", found.genders),
            ("ageGroup", found.age_groups),
            ("postalPrefix", found.postal_prefixes),
        )
        for group in break_down(groups, smallest).groups
    ]
    return respond(request, document, rows)


async def population(request: Request) -> Response:
    single_values(request.query_params, ())
    async with request.state.database.connection() as connection:
        patients = await select_population(connection)
    return respond(request, {"patients": patients}, [{"patients": patients}])
