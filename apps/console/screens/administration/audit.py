"""The audit of identity: what happened to accounts and applications, with filters."""

from datetime import datetime, time, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import load
from apps.console.neighbours.names import find_names
from apps.console.screens.administration.listing import ADMIN, BASE, PAGE, find_page
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.texts import N_
from apps.kit.web import Operation

AUDIT = "/auth/v1/audit"
FILTERS = ("event", "outcome", "subject", "actor", "client")


async def show_audit(request: Request) -> Response:
    """Shows what happened to accounts and applications, newest first, with the names of
    those who did it.
    """
    person, query = person_of(request), request.query_params
    texts = person.texts
    values = {name: query.get(name, "") for name in (*FILTERS, "from", "to")}
    wanted = {name: values[name] for name in FILTERS}
    errors = {}
    for name, parameter, days in (("from", "since", 0), ("to", "until", 1)):
        moment = texts.parse_date(values[name]) if values[name] else None
        if moment:
            midnight = datetime.combine(moment + timedelta(days=days), time(), texts.time_zone)
            wanted[parameter] = midnight.isoformat()
        elif values[name]:
            errors[name] = N_("This is not a date.")
    cursor = {"limit": str(PAGE), "cursor": query.get("cursor", "")}
    found = await load(find_page(person.api, AUDIT, wanted | cursor))
    rows = found.value[0] if found.value else []
    ids = {str(each.get(name) or "") for each in rows for name in ("subject", "actor", "client")}
    return page(
        request,
        "administration/audit.html",
        found=found,
        values=values,
        errors=errors,
        environment=request.state.settings.environment,
        names=await find_names(person.api, ids) if rows else {},
    )


def routes() -> list[BaseRoute]:
    """Gives the screen's route."""
    return [ScreenRoute(f"{BASE}/audit", Operation("GET", show_audit, ADMIN))]
