"""The price list: what is valid today, and new prices from CSV."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import load
from apps.console.neighbours.calls import ApiError
from apps.console.screens.administration.listing import ADMIN, BASE, show_refused
from apps.console.screens.money import calls
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.context import new_id
from apps.kit.web import Operation


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
        return await show_refused(
            request, prices_page, error, values=form, key=form.get("key") or new_id()
        )
    return await prices_page(request, result=result, values=form if is_check else {})


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute(
            f"{BASE}/prices",
            Operation("GET", show_prices, ADMIN),
            Operation("POST", set_prices, ADMIN),
        )
    ]
