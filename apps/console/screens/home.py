"""The first page: a way in for whoever is not signed in, and each person's own work for the others."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.web.people import ScreenRoute
from apps.console.web.rendering import page
from apps.kit.web import PUBLIC, Operation


async def show(request: Request) -> Response:
    """Shows the page."""
    if request.state.person is None:
        return page(request, "welcome.html")
    return page(request, "home.html")


def routes() -> list[BaseRoute]:
    """Gives the screen's routes. Public: it shows nothing to whoever is not signed in."""
    return [ScreenRoute("/", Operation("GET", show, PUBLIC))]
