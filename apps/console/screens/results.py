"""Results: the newest value of each code, and for each code a plot and a table over time."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api, Part, load
from apps.console.neighbours.observations import number_of, reference_range
from apps.console.screens.chart import MOST, Section, find_entries, load_banner
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.plots import plot_line
from apps.console.web.rendering import page
from apps.console.web.texts import Texts
from apps.kit.errors import NotFound
from apps.kit.texts import N_
from apps.kit.web import Operation, smart

SEARCH = smart("s", "Observation")
CATEGORIES = {
    "laboratory": N_("Laboratory"),
    "vital-signs": N_("Vital signs"),
    "survey": N_("Questionnaires"),
    "": N_("All"),
}
PAGES = 5


async def find_observations(api: Api, patient_id: str, category: str) -> list[dict[str, Any]]:
    """Gives the observations of a category, newest first: up to 500."""
    section = Section(
        key="",
        title="",
        resource_type="Observation",
        date="date",
        filters=(("category", category),) if category else (),
    )
    found: list[dict[str, Any]] = []
    before = ""
    for _ in range(PAGES):
        more = await find_entries(api, section, patient_id, before=before)
        oldest = fhir.date_of(more[-1]) if more else ""
        if len(more) < MOST or not oldest:
            found += more
            break
        # Of the oldest instant some may be missing: the next page has all of them.
        whole = [each for each in more if fhir.date_of(each) != oldest] or more
        found += whole
        before = fhir.date_of(whole[-1])
    return [each for each in found if fhir.status_of(each) != "entered-in-error"]


def group_by_code(observations: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Groups by code, each group newest first, the groups by title."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in observations:
        code = fhir.code_of(each.get("code"))
        groups.setdefault(code if code[1] else ("", fhir.title_of(each)), []).append(each)
    return sorted(groups.values(), key=lambda group: fhir.title_of(group[0]).lower())


def series_of(observations: list[dict[str, Any]], texts: Texts) -> list[tuple[str, str, Any]]:
    """Gives what can be plotted: title, unit and plot, of the value itself or of each component."""
    oldest_first = list(reversed(observations))
    series: dict[str, list[tuple[float, float, str]]] = {}
    units: dict[str, str] = {}
    bands: dict[str, tuple[float | None, float | None]] = {}
    for each in oldest_first:
        moment = texts.moment(fhir.date_of(each)).timestamp()
        for part in [each, *fhir.as_list(each.get("component"))]:
            number = number_of(part)
            if number is None:
                continue
            title = fhir.text_of(part.get("code"))
            written = texts.date(fhir.date_of(each))
            series.setdefault(title, []).append((moment, number, written))
            units[title] = str(fhir.as_dict(part.get("valueQuantity")).get("unit", ""))
            bands[title] = reference_range(part)
    plots = [
        (title, units[title], plot_line(points, bands[title])) for title, points in series.items()
    ]
    return [each for each in plots if each[2] is not None]


async def show(request: Request) -> Response:
    """Shows the newest value of each code."""
    category = request.query_params.get("category", "laboratory")
    if category not in CATEGORIES:
        raise NotFound("not_found")
    found = find_observations(person_of(request).api, request.path_params["id"], category)
    banner, part = await asyncio.gather(load_banner(request), load(found))
    groups = Part(value=group_by_code(part.value or []), error=part.error)
    return page(
        request,
        "chart/results.html",
        **banner,
        groups=groups,
        categories=CATEGORIES,
        category=category,
    )


async def show_code(request: Request) -> Response:
    """Shows all values of the code of one observation: plot and table."""
    person, patient_id = person_of(request), request.path_params["id"]
    read = person.api.read("Observation", request.path_params["observation"])
    banner, answer = await asyncio.gather(load_banner(request), read)
    example = answer.body
    if fhir.id_of(example.get("subject"), "Patient") != patient_id:
        raise NotFound("not_found")
    system, code = fhir.code_of(example.get("code"))
    section = Section(
        key="",
        title="",
        resource_type="Observation",
        date="date",
        filters=(("code", f"{system}|{code}" if system else code),),
    )
    found = await load(find_entries(person.api, section, patient_id))
    observations = [
        each for each in found.value or [example] if fhir.status_of(each) != "entered-in-error"
    ]
    return page(
        request,
        "chart/result.html",
        **banner,
        example=example,
        found=found,
        observations=observations,
        series=series_of(observations, person.texts),
    )


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute("/patients/{id}/results", Operation("GET", show, SEARCH)),
        ScreenRoute("/patients/{id}/results/{observation}", Operation("GET", show_code, SEARCH)),
    ]
