"""Applications at the auth service: registered, given a new secret, disabled, deleted."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import load
from apps.console.neighbours.calls import ApiError
from apps.console.screens.administration.listing import ADMIN, BASE, PAGE, find_page, show_refused
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.kit.context import new_id
from apps.kit.errors import NotFound
from apps.kit.texts import N_
from apps.kit.web import Operation

CLIENTS = "/auth/v1/clients"
GRANTS = {
    "client_credentials": N_("A program, in its own name"),
    "authorization_code": N_("An application that people sign in to"),
}


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
        return await show_refused(
            request, clients_page, error, values=form, key=form.get("key") or new_id()
        )
    told = {"id": answer.body.get("id", ""), "secret": answer.body.get("secret", "")}
    return await clients_page(request, secret=told)


async def change_client(request: Request) -> Response:
    """Disables, enables or deletes an application, or gives it a new secret, which
    is shown once.
    """
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
        return await show_refused(request, clients_page, error)
    return go_to("/administration/applications?notice=client-changed")


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute(
            f"{BASE}/applications",
            Operation("GET", show_clients, ADMIN),
            Operation("POST", add_client, ADMIN),
        ),
        ScreenRoute(f"{BASE}/applications/{{client}}", Operation("POST", change_client, ADMIN)),
    ]
