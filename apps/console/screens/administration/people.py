"""People who sign in: invited, given roles, locked, unlocked, their sessions ended, deleted."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import Part, load
from apps.console.neighbours.calls import ApiError
from apps.console.screens.administration.listing import ADMIN, BASE, PAGE, find_page, show_refused
from apps.console.web.people import Form, ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.kit.context import new_id
from apps.kit.errors import NotFound
from apps.kit.texts import N_
from apps.kit.web import Operation

USERS = "/auth/v1/users"
ROLES = {
    "admin": N_("Administrator"),
    "clinician": N_("Clinician"),
    "registrar": N_("Front desk"),
    "billing": N_("Billing"),
    "billing_manager": N_("Head of billing"),
    "analyst": N_("Analyst"),
    "patient": N_("Patient"),
}


async def show(request: Request) -> Response:
    """Shows the people."""
    person, query = person_of(request), request.query_params
    people = await load(
        find_page(
            person.api,
            USERS,
            {"limit": str(PAGE), "cursor": query.get("cursor", ""), "q": query.get("q", "")},
        )
    )
    if people.error and people.error.status in (400, 422) and query.get("q"):
        people = await load(find_page(person.api, USERS, {"limit": "100"}))
        wanted = query["q"].lower()
        rows, following = people.value or ([], "")
        rows = [each for each in rows if wanted in f"{each['email']} {each['name']}".lower()]
        people = Part(value=(rows, following), error=people.error)
    return await people_page(request, people=people)


async def people_page(request: Request, status: int = 200, **values: Any) -> Response:
    common: dict[str, Any] = {
        "people": Part(value=([], "")),
        "values": {},
        "errors": {},
        "unavailable": None,
        "link": "",
        "key": new_id(),
        "query": request.query_params.get("q", ""),
        "chosen": [],
    }
    return page(request, "administration/people.html", status, **{**common, **values}, roles=ROLES)


async def invite(request: Request) -> Response:
    """Adds a person; the link where they set a password is shown once."""
    api, form = person_of(request).api, request.state.form
    assert isinstance(form, Form)
    body: dict[str, Any] = {
        "email": form.get("email", ""),
        "name": form.get("name", ""),
        "roles": form.lists("roles"),
    }
    if form.get("patient_id"):
        body["patientId"] = form["patient_id"]
    shown = {
        "values": form,
        "chosen": form.lists("roles"),
        "key": form.get("key") or new_id(),
        "people": await load(find_page(api, USERS, {"limit": str(PAGE)})),
    }
    try:
        answer = await api.send("POST", USERS, body, key=form.get("key", ""))
    except ApiError as error:
        return await show_refused(request, people_page, error, **shown)
    link = str(answer.body.get("passwordLink", ""))
    if not link:
        return go_to("/administration?notice=invited")
    people = await load(find_page(api, USERS, {"limit": str(PAGE)}))
    return await people_page(request, link=link, people=people)


async def user_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows a person: account, roles, sessions."""
    api, user_id = person_of(request).api, request.path_params["user"]
    answer = await api.get(f"{USERS}/{user_id}")
    sessions = await load(find_page(api, f"{USERS}/{user_id}/sessions", {}))
    common: dict[str, Any] = {
        "errors": {},
        "unavailable": None,
        "link": "",
        "key": new_id(),
    }
    return page(
        request,
        "administration/user.html",
        status,
        **{**common, **values},
        user=answer.body,
        version=answer.version,
        sessions=sessions,
        roles=ROLES,
    )


async def show_user(request: Request) -> Response:
    return await user_page(request)


async def change_user(request: Request) -> Response:
    """Changes a person: roles, name, lock, unlock, second factor off, link, sessions
    ended, deleted.
    """
    api, form = person_of(request).api, request.state.form
    assert isinstance(form, Form)
    path = f"{USERS}/{request.path_params['user']}"
    if_match = f'W/"{form.get("version", "")}"' if form.get("version") else ""
    action = form.get("action", "")
    calls_of: dict[str, tuple[str, str, Any]] = {
        "save": (
            "PATCH",
            path,
            {
                "name": form.get("name", ""),
                "roles": form.lists("roles"),
                "patientId": form.get("patient_id") or None,
            },
        ),
        "disable": ("PATCH", path, {"disabled": True}),
        "enable": ("PATCH", path, {"disabled": False}),
        "unlock": ("POST", f"{path}/unlock", {}),
        "second-factor": ("DELETE", f"{path}/second-factor", None),
        "end-sessions": ("DELETE", f"{path}/sessions", None),
        "link": ("POST", f"{path}/password-link", {}),
        "delete": ("DELETE", path, None),
    }
    if action not in calls_of:
        raise NotFound("not_found")
    method, target, body = calls_of[action]
    try:
        answer = await api.send(
            method, target, body, if_match=if_match if method == "PATCH" else ""
        )
    except ApiError as error:
        return await show_refused(request, user_page, error)
    if action == "link":
        return await user_page(request, link=str(answer.body.get("passwordLink", "")))
    if action == "delete":
        return go_to("/administration?notice=user-changed")
    return go_to(f"/administration/people/{request.path_params['user']}?notice=user-changed")


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute(BASE, Operation("GET", show, ADMIN), Operation("POST", invite, ADMIN)),
        ScreenRoute(
            f"{BASE}/people/{{user}}",
            Operation("GET", show_user, ADMIN),
            Operation("POST", change_user, ADMIN),
        ),
    ]
