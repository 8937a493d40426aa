"""A summary to print: the International Patient Summary (`$summary`), section by section."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import FHIR, Api, load
from apps.console.neighbours.calls import ApiError
from apps.console.screens.chart import READ, SECTIONS, arranged, find_entries, load_banner
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.texts import N_
from apps.kit.web import Operation

IN_SUMMARY = ("problems", "allergies", "medications", "immunizations", "procedures", "vitals")
MOST_ENTRIES = 30
# The sections' titles, as `$summary` of the record has them.
TITLES = (
    N_("Problems"),
    N_("Allergies and intolerances"),
    N_("Medication"),
    N_("Immunizations"),
    N_("Procedures"),
    N_("Results"),
    N_("Vital signs"),
)


async def find_sections(api: Api, patient_id: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """Gives title and entries of each section."""
    try:
        document = (await api.get(f"{FHIR}/Patient/{patient_id}/$summary")).body
    except ApiError as error:
        if error.status not in (404, 405, 501):
            raise
        return await _compose(api, patient_id)
    by_url: dict[str, dict[str, Any]] = {}
    composition: dict[str, Any] = {}
    for entry in fhir.as_list(fhir.as_dict(document).get("entry")):
        resource = fhir.as_dict(entry.get("resource"))
        by_url[str(entry.get("fullUrl", ""))] = resource
        by_url[f"{resource.get('resourceType')}/{resource.get('id')}"] = resource
        if resource.get("resourceType") == "Composition":
            composition = resource
    found = []
    for section in fhir.as_list(composition.get("section")):
        entries = [
            by_url[str(each.get("reference"))]
            for each in fhir.as_list(section.get("entry"))
            if str(each.get("reference")) in by_url
        ]
        entries.sort(key=fhir.date_of, reverse=True)
        found.append((str(section.get("title", "")), entries[:MOST_ENTRIES]))
    return found


async def _compose(api: Api, patient_id: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """Makes the sections from searches, where the operation is not offered."""
    found = []
    for section in SECTIONS:
        if section.key in IN_SUMMARY:
            part = arranged(section.key, await load(find_entries(api, section, patient_id)))
            if part.error:
                raise part.error
            found.append((section.title, (part.value or [])[:MOST_ENTRIES]))
    return found


async def show(request: Request) -> Response:
    """Shows the summary."""
    found = find_sections(person_of(request).api, request.path_params["id"])
    banner, sections = await asyncio.gather(load_banner(request), load(found))
    return page(request, "chart/summary.html", **banner, sections=sections)


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [ScreenRoute("/patients/{id}/summary", Operation("GET", show, READ))]
