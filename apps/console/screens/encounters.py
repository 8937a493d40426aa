"""Encounters: started and finished; what is written meanwhile belongs to the one in progress."""

import copy
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api, load
from apps.console.neighbours.calls import ApiError
from apps.console.screens.chart import load_banner
from apps.console.screens.clinical_resources import Context, Resource, Values, concept
from apps.console.screens.entries import read_own
from apps.console.screens.form_values import codes
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.kit.context import new_id
from apps.kit.texts import N_
from apps.kit.web import Operation, smart

CLASSES = {
    "AMB": N_("Outpatient visit"),
    "EMER": N_("Emergency"),
    "IMP": N_("Inpatient stay"),
    "HH": N_("Home visit"),
    "VR": N_("Video or telephone"),
}
CLASS_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CREATE = smart("c", "Encounter")
UPDATE = smart("u", "Encounter")


async def find_open_encounter(api: Api, patient_id: str) -> str:
    """Gives the id of the encounter in progress, empty where there is none."""
    query = {"patient": patient_id, "status": "in-progress", "_count": "1"}
    found = fhir.entries(await api.search("Encounter", query))
    return str(found[0]["id"]) if found else ""


async def context_of(request: Request) -> Context:
    """Gives what an entry says beside its form."""
    person, patient_id = person_of(request), request.path_params["id"]
    encounter = await load(find_open_encounter(person.api, patient_id))
    return Context(
        patient_id=patient_id,
        author=person.name,
        encounter_id=encounter.value or "",
        now=person.texts.now(),
        texts=person.texts,
    )


async def _encounter_page(request: Request, status: int = 200, **values: Any) -> Response:
    common: dict[str, Any] = {
        "errors": {},
        "values": {"class": "AMB"},
        "unavailable": None,
        "key": new_id(),
    }
    banner = await load_banner(request)
    return page(
        request,
        "chart/encounter.html",
        status,
        **{**common, **banner, **values},
        classes=CLASSES,
        codes=codes("condition"),
    )


async def show_encounter(request: Request) -> Response:
    """Shows the form that starts an encounter."""
    return await _encounter_page(request)


def build_encounter(values: Values, patient_id: str, *, author: str, now: datetime) -> Resource:
    """Makes the Encounter that begins now, with the code of a reason that the shipped list has."""
    encounter: Resource = {
        "resourceType": "Encounter",
        "status": "in-progress",
        "class": {"system": CLASS_SYSTEM, "code": values["class"]},
        "type": [{"text": CLASSES[values["class"]]}],
        "subject": {"reference": f"Patient/{patient_id}"},
        "participant": [{"individual": {"display": author}}],
        "period": {"start": now.isoformat(timespec="seconds")},
    }
    if reason := values.get("reason", "")[:300]:
        encounter["reasonCode"] = [concept("condition", reason)]
        encounter["type"] = [{"text": reason}]
    return encounter


async def start_encounter(request: Request) -> Response:
    """Starts an encounter now."""
    form, person = request.state.form, person_of(request)
    shown = {"values": form, "key": form.get("key") or new_id()}
    if form.get("class") not in CLASSES:
        errors = {"class": N_("Choose one of the list.")}
        return await _encounter_page(request, 422, errors=errors, **shown)
    patient_id = request.path_params["id"]
    encounter = build_encounter(form, patient_id, author=person.name, now=person.texts.now())
    try:
        await person.api.create(encounter, form.get("key", ""))
    except ApiError as error:
        if error.status in (401, 403):
            raise
        if error.is_unavailable:
            return await _encounter_page(request, error.status, unavailable=error, **shown)
        errors = {f"_{index}": text for index, text in enumerate(error.sentences)}
        return await _encounter_page(request, 422, errors=errors, **shown)
    return go_to(f"/patients/{request.path_params['id']}?notice=encounter-started")


async def finish_encounter(request: Request) -> Response:
    """Finishes an encounter now."""
    person = person_of(request)
    request.path_params["type"] = "Encounter"
    answer = await read_own(request)
    encounter = copy.deepcopy(answer.body)
    if encounter.get("status") != "finished":
        encounter["status"] = "finished"
        end = person.texts.now().isoformat(timespec="seconds")
        encounter["period"] = {**fhir.as_dict(encounter.get("period")), "end": end}
        encounter.pop("text", None)
        await person.api.update(encounter, answer.version)
    return go_to(f"/patients/{request.path_params['id']}?notice=encounter-finished")


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute(
            "/patients/{id}/encounters/new",
            Operation("GET", show_encounter, CREATE),
            Operation("POST", start_encounter, CREATE),
        ),
        ScreenRoute(
            "/patients/{id}/encounters/{entry}/finish",
            Operation("POST", finish_encounter, UPDATE),
        ),
    ]
