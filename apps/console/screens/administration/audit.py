"""The audit of identity: what happened to accounts and applications, with filters."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import load
from apps.console.screens.administration.listing import ADMIN, BASE, PAGE, find_page
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.web import Operation

AUDIT = "/auth/v1/audit"
FILTERS = ("event", "outcome", "subject", "actor", "client", "since", "until")


async def show_audit(request: Request) -> Response:
    """Shows what happened to accounts and applications."""
    query = request.query_params
    wanted = {name: query.get(name, "") for name in FILTERS}
    found = await load(
        find_page(
            person_of(request).api,
            AUDIT,
            {**wanted, "limit": str(PAGE), "cursor": query.get("cursor", "")},
        )
    )
    return page(request, "administration/audit.html", found=found, values=wanted)


def routes() -> list[BaseRoute]:
    """Gives the screen's route."""
    return [ScreenRoute(f"{BASE}/audit", Operation("GET", show_audit, ADMIN))]
