"""Write into the chart: entries of each kind, vital signs, amendments, errors; encounters begin and end."""

import copy
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import FHIR, Api, load
from apps.console.neighbours.calls import ApiError
from apps.console.screens.chart import load_banner
from apps.console.screens.clinical_forms import (
    ALLERGY_VERIFICATION,
    KIND_OF_TYPE,
    KINDS,
    VERIFICATION,
    VITAL_SIGNS,
    Context,
    Resource,
    build_vitals,
    check,
    check_vitals,
    codes,
    coding,
)
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.console.web.texts import N_
from apps.kit.context import new_id
from apps.kit.errors import Forbidden, NotFound
from apps.kit.web import AUTHENTICATED, Operation, smart

CLASSES = {
    "AMB": N_("Outpatient visit"),
    "EMER": N_("Emergency"),
    "IMP": N_("Inpatient stay"),
    "HH": N_("Home visit"),
    "VR": N_("Video or telephone"),
}
CLASS_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
# `entered-in-error` of a type that says it in its status.
ERROR_BY_STATUS = (
    "MedicationRequest",
    "Immunization",
    "Procedure",
    "Observation",
    "DocumentReference",
)


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


def kind_for(request: Request, interaction: str) -> str:
    """Gives the kind that the path names; raises where there is none, or the person may not."""
    name = request.path_params.get("kind") or KIND_OF_TYPE.get(request.path_params["type"], "")
    if name not in KINDS:
        raise NotFound("not_found")
    if not person_of(request).may(KINDS[name].resource_type, interaction):
        raise Forbidden()
    return name


async def _form_page(request: Request, name: str, status: int = 200, **values: Any) -> Response:
    common: dict[str, Any] = {
        "errors": {},
        "values": {},
        "unavailable": None,
        "conflict": None,
        "version": "",
        "key": new_id(),
        "amended": None,
    }
    banner = await load_banner(request)
    return page(
        request,
        "chart/write.html",
        status,
        **{**common, **banner, **values},
        kind=KINDS[name],
        kind_name=name,
        codes=codes(name),
    )


async def show_new(request: Request) -> Response:
    """Shows an empty form."""
    return await _form_page(request, kind_for(request, "c"))


async def create(request: Request) -> Response:
    """Adds an entry."""
    name, form = kind_for(request, "c"), request.state.form
    kind, person = KINDS[name], person_of(request)
    shown = {"values": form, "key": form.get("key") or new_id()}
    errors = check(kind, form, person.texts)
    if errors:
        return await _form_page(request, name, 422, errors=errors, **shown)
    resource = kind.build({"resourceType": kind.resource_type}, form, await context_of(request))
    try:
        await person.api.create(resource, form.get("key", ""))
    except ApiError as error:
        return await _refused(request, name, error, **shown)
    return go_to(f"/patients/{request.path_params['id']}?notice=added")


async def _refused(request: Request, name: str, error: ApiError, **shown: Any) -> Response:
    """Shows the form again with all that was typed: the service is down, or refused a field."""
    if error.status in (401, 403, 404, 410):
        raise error
    if error.is_unavailable:
        return await _form_page(request, name, error.status, unavailable=error, **shown)
    errors = {f"_{index}": text for index, text in enumerate(error.sentences)}
    return await _form_page(request, name, 422, errors=errors, **shown)


async def read_own(request: Request) -> Any:
    """Reads the entry of the path; raises where it is another patient's."""
    answer = await person_of(request).api.read(
        request.path_params["type"], request.path_params["entry"]
    )
    subject = answer.body.get("subject") or answer.body.get("patient")
    if fhir.id_of(subject, "Patient") != request.path_params["id"]:
        raise NotFound("not_found")
    return answer


async def show_amend(request: Request) -> Response:
    """Shows the form with an entry as it is."""
    name = kind_for(request, "u")
    answer = await read_own(request)
    return await _form_page(
        request,
        name,
        values=KINDS[name].read(answer.body, person_of(request).texts),
        version=answer.version,
        amended=answer.body,
    )


async def amend(request: Request) -> Response:
    """Saves an amended entry; where somebody else was first, shows what they wrote beside it."""
    name, form = kind_for(request, "u"), request.state.form
    kind, person = KINDS[name], person_of(request)
    answer = await read_own(request)
    shown = {"values": form, "version": form.get("version", ""), "amended": answer.body}
    errors = check(kind, form, person.texts)
    if errors:
        return await _form_page(request, name, 422, errors=errors, **shown)
    resource = kind.build(copy.deepcopy(answer.body), form, await context_of(request))
    try:
        if form.get("version") != answer.version:
            raise ApiError(412, "changed_meanwhile", "patient")
        await person.api.update(resource, answer.version)
    except ApiError as error:
        if error.status != 412:
            return await _refused(request, name, error, **shown)
        newest = await read_own(request)
        theirs = kind.read(newest.body, person.texts)
        conflict = [
            (each.name, each.label, theirs.get(each.name, ""), form.get(each.name, ""))
            for each in kind.inputs
            if theirs.get(each.name, "") != form.get(each.name, "")
        ]
        shown["version"] = newest.version
        return await _form_page(request, name, 412, conflict=conflict, **shown)
    return go_to(_entry_path(request, "amended"))


def _entry_path(request: Request, notice: str) -> str:
    parts = request.path_params
    return f"/patients/{parts['id']}/entries/{parts['type']}/{parts['entry']}?notice={notice}"


def as_error(resource: Resource) -> Resource:
    """Marks an entry as entered in error, in the way of its type."""
    resource_type = resource["resourceType"]
    if resource_type in ERROR_BY_STATUS:
        resource["status"] = "entered-in-error"
    else:
        is_condition = resource_type == "Condition"
        system = VERIFICATION if is_condition else ALLERGY_VERIFICATION
        resource["verificationStatus"] = coding(system, "entered-in-error")
        # con-5 and ait-2: an entry in error has no clinical status.
        resource.pop("clinicalStatus", None)
    resource.pop("text", None)
    return resource


async def mark_error(request: Request) -> Response:
    """Marks an entry as entered in error; it stays in the history."""
    resource_type = request.path_params["type"]
    if resource_type not in (*ERROR_BY_STATUS, *KIND_OF_TYPE):
        raise NotFound("not_found")
    person = person_of(request)
    if not person.may(resource_type, "u"):
        raise Forbidden()
    answer = await read_own(request)
    version = request.state.form.get("version", "")
    await person.api.update(as_error(copy.deepcopy(answer.body)), version or answer.version)
    return go_to(_entry_path(request, "error"))


async def _vitals_page(request: Request, status: int = 200, **values: Any) -> Response:
    common: dict[str, Any] = {"errors": {}, "values": {}, "unavailable": None, "key": new_id()}
    banner = await load_banner(request)
    return page(
        request, "chart/vitals.html", status, **{**common, **banner, **values}, signs=VITAL_SIGNS
    )


async def show_vitals(request: Request) -> Response:
    """Shows the form of all vital signs."""
    return await _vitals_page(request)


async def create_vitals(request: Request) -> Response:
    """Records the vital signs that were entered, all of them or none."""
    form, person = request.state.form, person_of(request)
    shown = {"values": form, "key": form.get("key") or new_id()}
    errors = check_vitals(form)
    if errors:
        return await _vitals_page(request, 422, errors=errors, **shown)
    observations = build_vitals(form, await context_of(request))
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": each, "request": {"method": "POST", "url": "Observation"}}
            for each in observations
        ],
    }
    try:
        await person.api.send("POST", FHIR, bundle, key=form.get("key", ""))
    except ApiError as error:
        if error.status in (401, 403):
            raise
        if error.is_unavailable:
            return await _vitals_page(request, error.status, unavailable=error, **shown)
        errors = {f"_{index}": text for index, text in enumerate(error.sentences)}
        return await _vitals_page(request, 422, errors=errors, **shown)
    return go_to(f"/patients/{request.path_params['id']}?notice=added")


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


async def start_encounter(request: Request) -> Response:
    """Starts an encounter now."""
    form, person = request.state.form, person_of(request)
    shown = {"values": form, "key": form.get("key") or new_id()}
    if form.get("class") not in CLASSES:
        errors = {"class": N_("Choose one of the list.")}
        return await _encounter_page(request, 422, errors=errors, **shown)
    encounter: Resource = {
        "resourceType": "Encounter",
        "status": "in-progress",
        "class": {"system": CLASS_SYSTEM, "code": form["class"]},
        "type": [{"text": CLASSES[form["class"]]}],
        "subject": {"reference": f"Patient/{request.path_params['id']}"},
        "participant": [{"individual": {"display": person.name}}],
        "period": {"start": person.texts.now().isoformat(timespec="seconds")},
    }
    if form.get("reason"):
        encounter["reasonCode"] = [{"text": form["reason"][:300]}]
        encounter["type"] = [{"text": form["reason"][:300]}]
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
    """Gives the screen's routes. The rights that depend on the kind are checked by `kind_for`."""
    chart, entry = "/patients/{id}", "/patients/{id}/entries/{type}/{entry}"
    add_observation, add_encounter = smart("c", "Observation"), smart("c", "Encounter")
    return [
        ScreenRoute(
            f"{chart}/write/vitals",
            Operation("GET", show_vitals, add_observation),
            Operation("POST", create_vitals, add_observation),
        ),
        ScreenRoute(
            f"{chart}/write/{{kind}}",
            Operation("GET", show_new, AUTHENTICATED),
            Operation("POST", create, AUTHENTICATED),
        ),
        ScreenRoute(
            f"{entry}/amend",
            Operation("GET", show_amend, AUTHENTICATED),
            Operation("POST", amend, AUTHENTICATED),
        ),
        ScreenRoute(f"{entry}/error", Operation("POST", mark_error, AUTHENTICATED)),
        ScreenRoute(
            f"{chart}/encounters/new",
            Operation("GET", show_encounter, add_encounter),
            Operation("POST", start_encounter, add_encounter),
        ),
        ScreenRoute(
            f"{chart}/encounters/{{entry}}/finish",
            Operation("POST", finish_encounter, smart("u", "Encounter")),
        ),
    ]
