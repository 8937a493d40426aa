"""A patient's chart: the banner that every page of it carries, and the overview."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import FHIR, Api, Part
from apps.console.neighbours.calls import Answer
from apps.console.web.people import Person, ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.console.web.sessions import save_recent_patient
from apps.kit.errors import Unavailable
from apps.kit.texts import N_
from apps.kit.web import Operation, smart

READ = smart("r", "Patient")
SHOWN = 8
MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the chart. `date`: the search parameter that tells when; `filters`:
    further parameters.
    """

    key: str
    title: str
    resource_type: str
    date: str
    filters: tuple[tuple[str, str], ...] = ()
    kind: str = ""


# Key, title, type, the search parameter of its date, and which form adds one.
SECTIONS = tuple(
    Section(
        key=key,
        title=title,
        resource_type=resource_type,
        date=date,
        kind=kind,
        filters=(("category", "vital-signs"),) if key == "vitals" else (),
    )
    for key, title, resource_type, date, kind in (
        ("problems", N_("Problems"), "Condition", "recorded-date", "condition"),
        ("medications", N_("Medications"), "MedicationRequest", "authoredon", "medication"),
        ("allergies", N_("Allergies"), "AllergyIntolerance", "date", "allergy"),
        ("vitals", N_("Vital signs"), "Observation", "date", "vitals"),
        ("immunizations", N_("Immunizations"), "Immunization", "date", "immunization"),
        ("encounters", N_("Encounters"), "Encounter", "date", ""),
        ("procedures", N_("Procedures"), "Procedure", "date", "procedure"),
        ("reports", N_("Reports"), "DiagnosticReport", "date", ""),
        ("documents", N_("Notes and documents"), "DocumentReference", "date", "note"),
    )
)
ALLERGY_SECTION = next(each for each in SECTIONS if each.key == "allergies")
# Of the banner, beside the keys of sections.
PATIENT, ALLERGIES = "banner patient", "banner allergies"
TABS = (
    (N_("Overview"), ""),
    (N_("Timeline"), "/timeline"),
    (N_("Results"), "/results"),
    (N_("Money"), "/money"),
    (N_("Summary"), "/summary"),
    (N_("Applications"), "/applications"),
    (N_("Administrative data"), "/edit"),
)


def search_path(section: Section, patient_id: str, *, count: int = MOST, before: str = "") -> str:
    """Gives the search for a section's entries, newest first; those before an instant
    where it is given.
    """
    query = [("patient", patient_id), *section.filters, ("_count", str(count))]
    query.append(("_sort", f"-{section.date}"))
    if before:
        query.append((section.date, f"lt{before}"))
    return f"{section.resource_type}?{urlencode(query)}"


def sort_entries(part: Part[Answer]) -> Part[Any]:
    """Gives the resources of a search's part, newest first."""
    if part.value is None:
        return Part(error=part.error)
    return Part(value=sorted(fhir.entries(part.value.body), key=fhir.date_of, reverse=True))


async def find_entries(
    api: Api, section: Section, patient_id: str, *, count: int = MOST, before: str = ""
) -> list[dict[str, Any]]:
    """Gives a section's entries, newest first; those before an instant where it is given."""
    path = search_path(section, patient_id, count=count, before=before)
    bundle = (await api.get(f"{FHIR}/{path}")).body
    return sorted(fhir.entries(bundle), key=fhir.date_of, reverse=True)


def matters(allergy: dict[str, Any]) -> bool:
    """Tells whether an allergy matters: neither refuted, nor entered in error, nor resolved."""
    return fhir.code_of(allergy.get("verificationStatus"))[1] not in (
        "refuted",
        "entered-in-error",
    ) and fhir.code_of(allergy.get("clinicalStatus"))[1] in ("", "active")


def tabs_for(person: Person, patient_id: str, *, has_applications: bool) -> list[tuple[str, str]]:
    """Gives the pages of the chart that a person may see."""
    hidden = set() if has_applications and person.may("Patient", "s") else {"/applications"}
    if not person.may("Patient", "u"):
        hidden.add("/edit")
    if not person.has("billing.read"):
        hidden.add("/money")
    if not person.may("Observation", "s"):
        hidden |= {"/timeline", "/results", "/summary"}
    return [(label, f"/patients/{patient_id}{path}") for label, path in TABS if path not in hidden]


async def load_banner(request: Request) -> dict[str, Any]:
    """Loads what every page of the chart shows; raises where there is no such patient."""
    banner, _ = await load_chart(request, ())
    return banner


async def load_chart(
    request: Request, sections: Sequence[Section], *, count: int = MOST, before: str = ""
) -> tuple[dict[str, Any], dict[str, Part[Any]]]:
    """Loads in one call what every page of the chart shows, and the entries of these
    sections by key.

    Raises where there is no such patient.
    """
    person, patient_id = person_of(request), request.path_params["id"]
    reads = {PATIENT: f"Patient/{quote(patient_id, safe='')}"}
    if person.may("AllergyIntolerance", "s"):
        reads[ALLERGIES] = search_path(ALLERGY_SECTION, patient_id)
    for each in sections:
        reads[each.key] = search_path(each, patient_id, count=count, before=before)
    found = await person.api.batch(reads)
    patient = found.pop(PATIENT)
    if patient.value is None:
        assert patient.error is not None
        raise patient.error
    parts = {key: sort_entries(part) for key, part in found.items()}
    allergies = parts.pop(ALLERGIES, None)
    if allergies and allergies.value:
        allergies = Part(value=[each for each in allergies.value if matters(each)])
    try:
        async with request.state.database.connection() as connection:
            await save_recent_patient(connection, person.principal.subject, patient_id)
    except Unavailable:
        # A convenience: the chart is shown without it.
        pass
    banner = {
        "patient": patient.value.body,
        "allergies": allergies,
        "tabs": tabs_for(
            person, patient_id, has_applications=bool(request.state.settings.applications)
        ),
        "base": f"/patients/{patient_id}",
    }
    return banner, parts


async def show(request: Request) -> Response:
    """Shows the overview."""
    person = person_of(request)
    sections = [each for each in SECTIONS if person.may(each.resource_type, "s")]
    banner, parts = await load_chart(
        request, [each for each in sections if each is not ALLERGY_SECTION]
    )
    if ALLERGY_SECTION in sections:
        parts[ALLERGY_SECTION.key] = banner["allergies"]
    open_encounter = next(
        (
            each
            for each in parts.get("encounters", Part()).value or []
            if each.get("status") == "in-progress"
        ),
        None,
    )
    return page(
        request,
        "chart/overview.html",
        **banner,
        sections=sections,
        parts={key: arranged(key, part) for key, part in parts.items()},
        shown=SHOWN,
        open_encounter=open_encounter,
    )


def arranged(key: str, part: Part[Any]) -> Part[Any]:
    """Puts first what a reader needs first: active problems and medications, one value of
    each vital sign.
    """
    if not part.value:
        return part
    entries = [each for each in part.value if fhir.status_of(each) != "entered-in-error"]
    if key in ("problems", "medications"):
        entries.sort(
            key=lambda each: fhir.status_of(each) not in ("active", "recurrence", "relapse")
        )
    if key == "vitals":
        newest: dict[tuple[str, str], dict[str, Any]] = {}
        for each in entries:
            newest.setdefault(fhir.code_of(each.get("code")), each)
        entries = list(newest.values())
    return Part(value=entries)


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [ScreenRoute("/patients/{id}", Operation("GET", show, READ))]
