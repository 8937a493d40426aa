"""Write-offs of all patients that wait for a second person, who approves or refuses them."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import Api, load
from apps.console.neighbours.names import find_names
from apps.console.screens.money import calls
from apps.console.screens.money.account import carry_out, check_reason, invalid
from apps.console.screens.money.cash_desk import APPROVE, find_patient_names
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.context import new_id
from apps.kit.web import Operation

PATH = "/write-offs"


async def find_waiting(api: Api, token: str) -> tuple[list[dict[str, Any]], str]:
    """Gives a page of the write-offs that wait, with the names of patients and of who asked for
    them; and the next page's token.
    """
    shown, older = await calls.find_write_offs(api, token, calls.PAGE_SHOWN)
    patients = await find_patient_names(api, shown)
    people = await find_names(api, (each["requestedBy"] for each in shown))
    for each in shown:
        each["name"] = patients.get(each["patientId"], "")
        each["asker"] = people.get(each["requestedBy"], "")
    return shown, older


async def write_offs_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows a page of the list; `values`: why a decision could not be carried out."""
    person, token = person_of(request), request.query_params.get("page", "")
    waiting = await load(find_waiting(person.api, token))
    write_offs, older = waiting.value or ([], "")
    common: dict[str, Any] = {"values": {}, "errors": {}, "unavailable": None, "key": new_id()}
    return page(
        request,
        "money/write_offs.html",
        status,
        **{**common, **values},
        waiting=waiting,
        write_offs=write_offs,
        page_token=token,
        older=older,
        own_id=person.principal.subject,
    )


async def show(request: Request) -> Response:
    """Shows the list."""
    return await write_offs_page(request)


async def approve(request: Request) -> Response:
    """Approves another person's write-off: it is posted."""
    one = request.path_params["write_off"]
    return await carry_out(
        request,
        "ApproveWriteOff",
        f"{PATH}/{one}/approve",
        {"writeOffId": one},
        "written-off",
        back=PATH,
        again=write_offs_page,
    )


async def refuse(request: Request) -> Response:
    """Refuses a write-off, or takes back one's own; with a reason."""
    one = request.path_params["write_off"]
    errors: dict[str, str] = {}
    reason = check_reason(request.state.form, errors)
    if errors:
        return await invalid(request, {f"reason-{one}": errors["reason"]}, write_offs_page)
    return await carry_out(
        request,
        "RefuseWriteOff",
        f"{PATH}/{one}/refuse",
        {"writeOffId": one, "reason": reason},
        "write-off-refused",
        back=PATH,
        again=write_offs_page,
    )


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute(PATH, Operation("GET", show, APPROVE)),
        ScreenRoute(f"{PATH}/{{write_off}}/approve", Operation("POST", approve, APPROVE)),
        ScreenRoute(f"{PATH}/{{write_off}}/refuse", Operation("POST", refuse, APPROVE)),
    ]
