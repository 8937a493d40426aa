"""The statement of a patient's account, of a period: as a page and as PDF."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import load
from apps.console.screens.chart import load_banner
from apps.console.screens.form_values import day
from apps.console.screens.money import calls
from apps.console.screens.money.account import (
    BASE,
    KINDS,
    READ,
    file_response,
    own_account,
    recipient,
)
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.web import Operation


async def show_statement(request: Request) -> Response:
    """Shows the statement of a period."""
    person = person_of(request)
    banner = await load_banner(request)
    query = request.query_params
    start, end = (day(query.get(name, ""), person.texts) for name in ("from", "to"))
    account = await own_account(request)
    statement = await load(calls.find_statement(person.api, account["accountId"], start, end))
    return page(
        request,
        "money/statement.html",
        **banner,
        statement=statement,
        values={"from": query.get("from", ""), "to": query.get("to", "")},
        start=start,
        end=end,
        kinds=KINDS,
    )


async def send_statement(request: Request) -> Response:
    """Answers the statement of a period as PDF."""
    person, query = person_of(request), request.query_params
    account = await own_account(request)
    fields = {
        "accountId": account["accountId"],
        "from": day(query.get("from", ""), person.texts),
        "to": day(query.get("to", ""), person.texts),
        "recipientName": await recipient(request),
    }
    public = f"/accounts/{account['accountId']}/statement/document"
    return file_response(*await calls.read_document(person.api, public, "pdf", fields))


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute(f"{BASE}/statement", Operation("GET", show_statement, READ)),
        ScreenRoute(f"{BASE}/statement.pdf", Operation("GET", send_statement, READ)),
    ]
