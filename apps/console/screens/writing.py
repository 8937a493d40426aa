"""Write into the chart: entries of each kind are added, amended, and marked as entered in error."""

import copy
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.calls import ApiError
from apps.console.screens.chart import load_banner
from apps.console.screens.clinical_forms import KIND_OF_TYPE, KINDS, check
from apps.console.screens.clinical_resources import (
    ALLERGY_VERIFICATION,
    VERIFICATION,
    Resource,
    coding,
)
from apps.console.screens.encounters import context_of
from apps.console.screens.entries import read_own
from apps.console.screens.form_values import codes
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.kit.context import new_id
from apps.kit.errors import Forbidden, NotFound
from apps.kit.web import AUTHENTICATED, Operation

# `entered-in-error` of a type that says it in its status.
ERROR_BY_STATUS = (
    "MedicationRequest",
    "Immunization",
    "Procedure",
    "Observation",
    "DocumentReference",
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


def routes() -> list[BaseRoute]:
    """Gives the screen's routes. The rights, which depend on the kind, are checked
    by `kind_for`.
    """
    entry = "/patients/{id}/entries/{type}/{entry}"
    return [
        ScreenRoute(
            "/patients/{id}/write/{kind}",
            Operation("GET", show_new, AUTHENTICATED),
            Operation("POST", create, AUTHENTICATED),
        ),
        ScreenRoute(
            f"{entry}/amend",
            Operation("GET", show_amend, AUTHENTICATED),
            Operation("POST", amend, AUTHENTICATED),
        ),
        ScreenRoute(f"{entry}/error", Operation("POST", mark_error, AUTHENTICATED)),
    ]
