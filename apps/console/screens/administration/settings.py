"""The settings, to look at: they are changed where the platform is deployed."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import load_all
from apps.console.screens.administration.listing import ADMIN, BASE
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.texts import N_
from apps.kit.web import Operation


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
    """Gives the screen's route."""
    return [ScreenRoute(f"{BASE}/settings", Operation("GET", show_settings, ADMIN))]
