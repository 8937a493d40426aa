"""Register a patient and change the administrative data: what the form says goes into the record,
all else stays.
"""

import copy
import unicodedata
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api, load
from apps.console.neighbours.calls import ApiError
from apps.console.screens.patient_form import (
    FIELDS,
    GENDERS,
    MARITAL_STATUSES,
    RELATIONSHIPS,
    apply_form,
    check_form,
    values_of,
)
from apps.console.screens.patients import match
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.console.web.texts import Texts
from apps.kit.context import new_id
from apps.kit.texts import N_
from apps.kit.web import Operation, smart

CREATE = smart("c", "Patient")
UPDATE = smart("u", "Patient")
READ = smart("r", "Patient")
MOST_SIMILAR = 5


async def find_similar(api: Api, patient: dict[str, Any]) -> list[dict[str, Any]]:
    """Finds who may be the same person, with the reasons; by `$match`, else by name
    and birth date.
    """
    name = fhir.name_record(patient)
    if not name.get("family") and not patient.get("birthDate"):
        return []
    found = await match(api, patient, MOST_SIMILAR)
    if not found and name.get("family") and patient.get("birthDate"):
        query = {"name": name["family"], "birthdate": patient["birthDate"], "_count": "5"}
        bundle = await api.search("Patient", query, private=True)
        found = [{"patient": each, "grade": "", "score": 0} for each in fhir.entries(bundle)]
    for each in found:
        each["reasons"] = reasons_of(patient, each["patient"])
    own = patient.get("id")
    return [each for each in found if each["reasons"] and each["patient"].get("id") != own]


def reasons_of(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Says what two records have in common."""
    found = []
    if fold(fhir.name_of(one)) == fold(fhir.name_of(other)):
        found.append(N_("Same name"))
    elif fold(fhir.name_record(one).get("family")) == fold(fhir.name_record(other).get("family")):
        found.append(N_("Same family name"))
    if one.get("birthDate") and one["birthDate"] == other.get("birthDate"):
        found.append(N_("Same birth date"))
    for system, text in (("phone", N_("Same telephone")), ("email", N_("Same e-mail address"))):
        if fhir.telecom(one, system) and _digits(one, system) == _digits(other, system):
            found.append(text)
    if fold(fhir.address_of(one)) and fold(fhir.address_of(one)) == fold(fhir.address_of(other)):
        found.append(N_("Same address"))
    return found


def _digits(patient: dict[str, Any], system: str) -> str:
    text = fhir.telecom(patient, system).lower()
    return "".join(each for each in text if each.isalnum() or each == "@")


def fold(text: Any) -> str:
    """Gives a text without accents, capitals and extra blanks, for comparing."""
    plain = unicodedata.normalize("NFKD", str(text or ""))
    return " ".join(
        "".join(each for each in plain if not unicodedata.combining(each)).lower().split()
    )


def _shown(texts: Texts) -> dict[str, Any]:
    return {
        "genders": GENDERS,
        "marital_statuses": MARITAL_STATUSES,
        "relationships": RELATIONSHIPS,
        "fields": FIELDS,
        "date_hint": texts.date_hint,
    }


def _form_page(request: Request, status: int = 200, **values: Any) -> Response:
    common: dict[str, Any] = {
        "patient": None,
        "version": "",
        "errors": {},
        "similar": [],
        "conflict": None,
        "confirm": False,
        "key": new_id(),
        "unavailable": None,
    }
    shown = _shown(person_of(request).texts)
    return page(request, "patients/form.html", status, **{**common, **shown, **values})


async def show_new(request: Request) -> Response:
    """Shows the empty form."""
    return _form_page(request, values={"active": "on"})


async def create(request: Request) -> Response:
    """Registers; a likely duplicate is asked about once, a service that is down loses nothing."""
    person, form = person_of(request), request.state.form
    errors = check_form(form, person.texts)
    shown = {"values": form, "key": form.get("key") or new_id()}
    if errors:
        return _form_page(request, 422, errors=errors, **shown)
    patient = apply_form({"resourceType": "Patient"}, form, person.texts)
    if not form.get("confirmed"):
        similar = await load(find_similar(person.api, patient))
        if similar.error and similar.error.is_unavailable:
            return _form_page(request, similar.error.status, unavailable=similar.error, **shown)
        if similar.value:
            return _form_page(request, 409, similar=similar.value, confirm=True, **shown)
    try:
        answer = await person.api.create(patient, form.get("key", ""))
    except ApiError as error:
        return _refused(request, error, **shown)
    patient_id = answer.created_id
    return go_to(f"/patients/{patient_id}?notice=registered" if patient_id else "/patients")


def _refused(request: Request, error: ApiError, **shown: Any) -> Response:
    if error.status in (401, 403):
        raise error
    if error.is_unavailable:
        return _form_page(request, error.status, unavailable=error, **shown)
    errors = {f"_{index}": text for index, text in enumerate(error.sentences)}
    return _form_page(request, 422, errors=errors, **shown)


async def show_similar(request: Request) -> Response:
    """Shows, while typing, who may be the same person."""
    person, form = person_of(request), request.state.form
    draft: dict[str, Any] = {"resourceType": "Patient"}
    if form.get("id"):
        draft["id"] = form["id"]
    patient = apply_form(draft, form, person.texts)
    similar = await load(find_similar(person.api, patient))
    return page(request, "patients/similar.html", similar=similar.value or [], confirm=False)


async def show_edit(request: Request) -> Response:
    """Shows the form with the record as it is."""
    answer = await person_of(request).api.read("Patient", request.path_params["id"])
    texts = person_of(request).texts
    return _form_page(
        request,
        patient=answer.body,
        version=answer.version,
        values=values_of(answer.body, texts),
    )


async def update(request: Request) -> Response:
    """Saves a change; where somebody else was first, shows both versions (412)."""
    person, form = person_of(request), request.state.form
    api = person.api
    try:
        current = await api.read("Patient", request.path_params["id"])
    except ApiError as error:
        if not error.is_unavailable:
            raise
        return _form_page(
            request,
            error.status,
            unavailable=error,
            patient={"id": request.path_params["id"]},
            version=form.get("version", ""),
            values=form,
        )
    shown = {"patient": current.body, "version": form.get("version", ""), "values": form}
    errors = check_form(form, person.texts)
    if errors:
        return _form_page(request, 422, errors=errors, **shown)
    changed = apply_form(copy.deepcopy(current.body), form, person.texts)
    try:
        if form.get("version") != current.version:
            raise ApiError(412, "changed_meanwhile", "patient")
        await api.update(changed, current.version)
    except ApiError as error:
        if error.status == 412:
            newest = await api.read("Patient", request.path_params["id"])
            theirs, mine = values_of(newest.body, person.texts), dict(form)
            conflict = [
                (name, label, theirs.get(name, ""), mine.get(name, ""))
                for name, label in FIELDS.items()
                if theirs.get(name, "") != mine.get(name, "")
            ]
            # What is sent next replaces the version that is shown now.
            shown["version"] = newest.version
            return _form_page(request, 412, conflict=conflict, **shown)
        return _refused(request, error, **shown)
    return go_to(f"/patients/{request.path_params['id']}?notice=saved")


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute(
            "/patients/new", Operation("GET", show_new, CREATE), Operation("POST", create, CREATE)
        ),
        ScreenRoute("/patients/similar", Operation("POST", show_similar, CREATE)),
        ScreenRoute(
            "/patients/{id}/edit",
            Operation("GET", show_edit, UPDATE),
            Operation("POST", update, UPDATE),
        ),
    ]
