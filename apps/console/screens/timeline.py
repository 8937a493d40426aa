"""Everything in a chart by time, with filters; older entries page by page."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.screens.chart import READ, SECTIONS, load_chart
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.web import Operation

PAGE_SIZE = 40


def cut_page(entries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """Gives a page of the newest entries, and the instant before which the next one begins.

    What happened at one instant stays on one page: nothing is skipped between two.
    """
    entries = sorted(entries, key=fhir.date_of, reverse=True)
    if len(entries) <= PAGE_SIZE:
        return entries, ""
    last = fhir.date_of(entries[PAGE_SIZE - 1])
    shown = [each for each in entries if fhir.date_of(each) >= last]
    return shown, last if len(shown) < len(entries) else ""


def by_day(entries: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Groups entries by their day."""
    days: dict[str, list[dict[str, Any]]] = {}
    for each in entries:
        days.setdefault(fhir.date_of(each)[:10], []).append(each)
    return list(days.items())


async def show(request: Request) -> Response:
    """Shows a page of the timeline."""
    person = person_of(request)
    allowed = [each for each in SECTIONS if person.may(each.resource_type, "s")]
    chosen = set(request.query_params.getlist("kind"))
    wanted = [each for each in allowed if not chosen or each.key in chosen]
    before = request.query_params.get("before", "")
    banner, parts = await load_chart(request, wanted, count=PAGE_SIZE + 1, before=before)
    found = [each for part in parts.values() for each in part.value or []]
    entries, older = cut_page(found)
    return page(
        request,
        "chart/timeline.html",
        **banner,
        sections=allowed,
        chosen=chosen,
        days=by_day(entries),
        older=older,
        failures=[part for part in parts.values() if part.error],
    )


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [ScreenRoute("/patients/{id}/timeline", Operation("GET", show, READ))]
