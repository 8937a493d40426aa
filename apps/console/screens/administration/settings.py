"""The settings of the services, to look at: they are changed where the platform is deployed."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import Api, load_all
from apps.console.screens.administration.listing import ADMIN, BASE
from apps.console.screens.money import calls
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.texts import N_
from apps.kit.web import Operation

# Each service that tells its settings by HTTP, and where. The gateway cannot be asked from here.
PATHS = {
    "auth": "/auth/v1/settings",
    "patient": "/api/settings",
    "analytics": "/analytics/v1/settings",
}
LABELS = {
    "console": N_("Console"),
    "auth": N_("Sign-in"),
    "patient": N_("Record"),
    "billing": N_("Billing"),
    "analytics": N_("Figures"),
}


async def find_settings(api: Api, service: str) -> Any:
    """Gives a service's settings; of secrets only whether they are set."""
    if service == "billing":
        found = await api.billing("GetSettings", f"GET {calls.BASE}/settings", {})
    else:
        found = (await api.get(PATHS[service])).body
    return found["settings"]


async def show_settings(request: Request) -> Response:
    """Shows settings; they are changed where the platform is deployed."""
    api = person_of(request).api
    parts = await load_all(
        **{name: find_settings(api, name) for name in LABELS if name != "console"},
        openid=api.get("/.well-known/openid-configuration"),
    )
    own = [
        {"name": each.name, "value": each.value, "isSecret": each.is_secret, "isSet": each.is_set}
        for each in request.state.settings.shown
    ]
    return page(request, "administration/settings.html", own=own, parts=parts, labels=LABELS)


def routes() -> list[BaseRoute]:
    """Gives the screen's route."""
    return [ScreenRoute(f"{BASE}/settings", Operation("GET", show_settings, ADMIN))]
