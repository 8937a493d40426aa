"""Everything in a chart by time, with filters; older entries page by page."""

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Part
from apps.console.screens.chart import READ, SECTIONS, Section, load_chart
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.texts import N_
from apps.kit.web import Operation

PAGE_SIZE = 40
RECORDED = "_lastUpdated"
# Key, title, type, the search parameter of its date, and further parameters: what the record holds
# beside the sections of the chart. Of large types only what a line shows is read.
MORE = tuple(
    Section(key=key, title=title, resource_type=resource_type, date=date, filters=filters)
    for key, title, resource_type, date, filters in (
        ("laboratory", N_("Laboratory"), "Observation", "date", (("category", "laboratory"),)),
        ("questionnaires", N_("Questionnaires"), "Observation", "date", (("category", "survey"),)),
        (
            "observations",
            N_("Other observations"),
            "Observation",
            "date",
            (("category:not", "vital-signs,laboratory,survey"),),
        ),
        ("taken", N_("Medications taken"), "MedicationStatement", "effective", ()),
        ("given", N_("Medications given"), "MedicationAdministration", "effective-time", ()),
        ("orders", N_("Orders"), "ServiceRequest", "authored", ()),
        (
            "imaging",
            N_("Imaging"),
            "ImagingStudy",
            "started",
            (("_elements", "started,status,description,procedureCode"),),
        ),
        ("plans", N_("Care plans"), "CarePlan", "date", ()),
        ("teams", N_("Care teams"), "CareTeam", "date", ()),
        ("goals", N_("Goals"), "Goal", RECORDED, ()),
        ("devices", N_("Devices"), "Device", RECORDED, ()),
        ("supplies", N_("Supplies"), "SupplyDelivery", RECORDED, ()),
        ("appointments", N_("Appointments"), "Appointment", "date", ()),
        ("consents", N_("Consents"), "Consent", "date", ()),
        ("coverages", N_("Coverages"), "Coverage", RECORDED, ()),
        ("claims", N_("Claims"), "Claim", "created", (("_elements", "created,status,type"),)),
        (
            "benefits",
            N_("Benefits"),
            "ExplanationOfBenefit",
            "created",
            (("_elements", "created,status,type"),),
        ),
        ("provenance", N_("Provenance"), "Provenance", "recorded", (("_elements", "recorded"),)),
    )
)
TIMELINE = (*SECTIONS, *MORE)
# The elements by which the record is searched, where they are not those that tell when it happened.
SEARCHED = {
    "AllergyIntolerance": "recordedDate",
    "Appointment": "start",
    "Condition": "recordedDate",
    "Consent": "dateTime",
    "ServiceRequest": "authoredOn",
}
# What R4 cannot be searched for by a date of its own stands where it was recorded.
BY_RECORDING = {each.resource_type for each in MORE if each.date == RECORDED}


def moment_of(entry: dict[str, Any]) -> str:
    """Tells when an entry stands in the timeline: as the record is searched."""
    kind = str(entry.get("resourceType", ""))
    if kind in BY_RECORDING:
        return str(fhir.as_dict(entry.get("meta")).get("lastUpdated", ""))
    return str(entry.get(SEARCHED.get(kind, "")) or "") or fhir.date_of(entry)


def cut_page(entries: list[dict[str, Any]], read_to: str = "") -> tuple[list[dict[str, Any]], str]:
    """Gives a page of the newest entries, and the instant before which the next one begins.

    What happened at one instant stays on one page: nothing is skipped between two. `read_to`: at
    this instant and before it there may be more than `entries`.
    """
    entries = sorted(entries, key=moment_of, reverse=True)
    if len(entries) <= PAGE_SIZE and not read_to:
        return entries, ""
    known = [each for each in entries if not read_to or moment_of(each) > read_to] or entries
    last = moment_of(known[min(PAGE_SIZE, len(known)) - 1])
    shown = [each for each in known if moment_of(each) >= last]
    return shown, last if read_to or len(shown) < len(entries) else ""


def find_read_to(parts: Iterable[Part[Any]], count: int) -> str:
    """Gives the instant down to which every part was read; empty where each one is whole."""
    full = [part.value for part in parts if part.value and len(part.value) >= count]
    return max((min(moment_of(each) for each in entries) for entries in full), default="")


def by_day(entries: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Groups entries by their day."""
    days: dict[str, list[dict[str, Any]]] = {}
    for each in entries:
        days.setdefault(moment_of(each)[:10], []).append(each)
    return list(days.items())


async def show(request: Request) -> Response:
    """Shows a page of the timeline."""
    person = person_of(request)
    allowed = [each for each in TIMELINE if person.may(each.resource_type, "s")]
    chosen = set(request.query_params.getlist("kind"))
    wanted = [each for each in allowed if not chosen or each.key in chosen]
    before = request.query_params.get("before", "")
    banner, parts = await load_chart(request, wanted, count=PAGE_SIZE + 1, before=before)
    found = [each for part in parts.values() for each in part.value or []]
    entries, older = cut_page(found, find_read_to(parts.values(), PAGE_SIZE + 1))
    return page(
        request,
        "chart/timeline.html",
        **banner,
        sections=allowed,
        chosen=chosen,
        days=by_day(entries),
        older=older,
        failures=[part for part in parts.values() if part.error],
    )


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [ScreenRoute("/patients/{id}/timeline", Operation("GET", show, READ))]
