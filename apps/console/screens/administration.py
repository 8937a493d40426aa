"""Administration: people and applications at the auth service, its audit, the price list, settings to look at."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api, Part, load, load_all
from apps.console.neighbours.calls import ApiError
from apps.console.screens import billing_calls as calls
from apps.console.web.people import Form, ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.console.web.texts import N_
from apps.kit.context import new_id
from apps.kit.errors import NotFound
from apps.kit.web import Operation, scopes

ADMIN = scopes("admin")
USERS, CLIENTS, AUDIT = "/auth/v1/users", "/auth/v1/clients", "/auth/v1/audit"
PAGE = 50
ROLES = {
    "admin": N_("Administrator"),
    "clinician": N_("Clinician"),
    "registrar": N_("Front desk"),
    "billing": N_("Billing"),
    "billing_manager": N_("Head of billing"),
    "analyst": N_("Analyst"),
    "patient": N_("Patient"),
}
GRANTS = {
    "client_credentials": N_("A program, in its own name"),
    "authorization_code": N_("An application that people sign in to"),
}
AUDIT_FILTERS = ("event", "outcome", "subject", "actor", "client", "since", "until")


def items_of(body: Any) -> list[dict[str, Any]]:
    """Gives the rows of a list, whichever member holds them."""
    body = fhir.as_dict(body)
    for value in body.values():
        if isinstance(value, list):
            return fhir.as_list(value)
    return []


def next_cursor(answer: Any) -> str:
    """Gives the cursor of the next page, from the body or the `Link` header."""
    body = fhir.as_dict(answer.body)
    for name in ("next", "nextCursor", "cursor"):
        if body.get(name):
            return str(body[name]).rpartition("cursor=")[2]
    link = str(answer.headers.get("link", ""))
    return link.partition("cursor=")[2].partition("&")[0].partition(">")[0] if link else ""


async def find_page(api: Api, path: str, query: dict[str, str]) -> tuple[list[Any], str]:
    """Gives a page of a list, and the cursor of the next."""
    answer = await api.get(path, {key: value for key, value in query.items() if value})
    rows = fhir.as_list(answer.body) if isinstance(answer.body, list) else items_of(answer.body)
    return rows, next_cursor(answer)


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
        return await _refused(request, people_page, error, **shown)
    link = str(answer.body.get("passwordLink", ""))
    if not link:
        return go_to("/administration?notice=invited")
    people = await load(find_page(api, USERS, {"limit": str(PAGE)}))
    return await people_page(request, link=link, people=people)


async def _refused(request: Request, render: Any, error: ApiError, **shown: Any) -> Response:
    if error.status in (401, 403, 404):
        raise error
    if error.is_unavailable:
        response: Response = await render(request, error.status, unavailable=error, **shown)
        return response
    errors = {f"_{index}": text for index, text in enumerate(error.sentences)}
    answered: Response = await render(request, 422, errors=errors, **shown)
    return answered


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
    """Changes a person: roles, name, lock, unlock, second factor off, link, sessions ended, deleted."""
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
        return await _refused(request, user_page, error)
    if action == "link":
        return await user_page(request, link=str(answer.body.get("passwordLink", "")))
    if action == "delete":
        return go_to("/administration?notice=user-changed")
    return go_to(f"/administration/people/{request.path_params['user']}?notice=user-changed")


async def clients_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows the applications."""
    api = person_of(request).api
    query = {"limit": str(PAGE), "cursor": request.query_params.get("cursor", "")}
    found = await load(find_page(api, CLIENTS, query))
    common: dict[str, Any] = {
        "values": {},
        "errors": {},
        "unavailable": None,
        "secret": "",
        "key": new_id(),
    }
    return page(
        request,
        "administration/clients.html",
        status,
        **{**common, **values},
        clients=found,
        grants=GRANTS,
    )


async def show_clients(request: Request) -> Response:
    return await clients_page(request)


async def add_client(request: Request) -> Response:
    """Registers an application; its secret is shown once."""
    api, form = person_of(request).api, request.state.form
    for_people = form.get("grant") == "authorization_code"
    is_public = bool(form.get("public"))
    body: dict[str, Any] = {
        "name": form.get("name", ""),
        "authMethod": "none" if is_public else "client_secret_basic",
        "grantTypes": ["authorization_code", "refresh_token"]
        if for_people
        else ["client_credentials"],
        "scopes": form.get("scopes", "").split(),
    }
    if for_people:
        body["redirectUris"] = form.get("redirect_uris", "").split()
    try:
        answer = await api.send("POST", CLIENTS, body, key=form.get("key", ""))
    except ApiError as error:
        return await _refused(
            request, clients_page, error, values=form, key=form.get("key") or new_id()
        )
    told = {"id": answer.body.get("id", ""), "secret": answer.body.get("secret", "")}
    return await clients_page(request, secret=told)


async def change_client(request: Request) -> Response:
    """Disables, enables or deletes an application, or gives it a new secret, which is shown once."""
    api, form = person_of(request).api, request.state.form
    client, action = request.path_params["client"], form.get("action", "")
    path = f"{CLIENTS}/{client}"
    try:
        if action == "secret":
            answer = await api.send("POST", f"{path}/secret", {})
            told = {"id": client, "secret": answer.body.get("secret", "")}
            return await clients_page(request, secret=told)
        if action not in ("disable", "enable", "delete"):
            raise NotFound("not_found")
        if action == "delete":
            await api.send("DELETE", path)
        else:
            await api.send("PATCH", path, {"disabled": action == "disable"})
    except ApiError as error:
        return await _refused(request, clients_page, error)
    return go_to("/administration/applications?notice=client-changed")


async def show_audit(request: Request) -> Response:
    """Shows what happened to accounts and applications."""
    query = request.query_params
    wanted = {name: query.get(name, "") for name in AUDIT_FILTERS}
    found = await load(
        find_page(
            person_of(request).api,
            AUDIT,
            {**wanted, "limit": str(PAGE), "cursor": query.get("cursor", "")},
        )
    )
    return page(request, "administration/audit.html", found=found, values=wanted)


async def prices_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows the price list of today."""
    person = person_of(request)
    today = person.texts.now().date().isoformat()
    prices = await load(calls.find_prices(person.api, today))
    common: dict[str, Any] = {
        "values": {},
        "errors": {},
        "unavailable": None,
        "result": None,
        "key": new_id(),
    }
    return page(
        request, "administration/prices.html", status, **{**common, **values}, prices=prices
    )


async def show_prices(request: Request) -> Response:
    return await prices_page(request)


async def set_prices(request: Request) -> Response:
    """Checks or adds versions of prices from CSV; each fault is named with its line."""
    api, form = person_of(request).api, request.state.form
    is_check = form.get("action") == "check"
    fields = {"csv": form.get("csv", ""), "dryRun": is_check}
    try:
        result = await api.billing(
            "SetPrices",
            f"POST {calls.BASE}/prices",
            fields,
            key="" if is_check else form.get("key", ""),
        )
    except ApiError as error:
        return await _refused(
            request, prices_page, error, values=form, key=form.get("key") or new_id()
        )
    return await prices_page(request, result=result, values=form if is_check else {})


async def show_settings(request: Request) -> Response:
    """Shows settings; they are changed where the platform is deployed."""
    parts = await load_all(
        openid=person_of(request).api.get("/.well-known/openid-configuration"),
    )
    settings = request.state.settings
    shown = [
        (N_("Environment"), settings.environment),
        (N_("Public address"), settings.public_url),
        (N_("Clinic"), settings.clinic_name or "-"),
        (N_("Time zone of the clinic"), str(settings.time_zone)),
        (N_("Minutes until an idle person is signed out"), str(settings.idle_minutes)),
    ]
    return page(request, "administration/settings.html", shown=shown, parts=parts)


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    base = "/administration"
    return [
        ScreenRoute(base, Operation("GET", show, ADMIN), Operation("POST", invite, ADMIN)),
        ScreenRoute(
            f"{base}/people/{{user}}",
            Operation("GET", show_user, ADMIN),
            Operation("POST", change_user, ADMIN),
        ),
        ScreenRoute(
            f"{base}/applications",
            Operation("GET", show_clients, ADMIN),
            Operation("POST", add_client, ADMIN),
        ),
        ScreenRoute(f"{base}/applications/{{client}}", Operation("POST", change_client, ADMIN)),
        ScreenRoute(f"{base}/audit", Operation("GET", show_audit, ADMIN)),
        ScreenRoute(
            f"{base}/prices",
            Operation("GET", show_prices, ADMIN),
            Operation("POST", set_prices, ADMIN),
        ),
        ScreenRoute(f"{base}/settings", Operation("GET", show_settings, ADMIN)),
    ]
