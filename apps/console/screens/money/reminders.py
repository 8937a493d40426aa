"""Overdue invoices of all patients, for whoever reminds the debtors: how late, and how to
reach them.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import load
from apps.console.screens.money import calls
from apps.console.screens.money.account import READ
from apps.console.screens.money.cash_desk import find_patients
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.texts import N_
from apps.kit.web import Operation

# Billing's levels, by the days from which they begin.
LEVELS = {
    1: N_("First reminder: from 1 day overdue"),
    31: N_("Second reminder: from 31 days overdue"),
    61: N_("Third reminder: from 61 days overdue"),
}
SHORT = {1: N_("First"), 2: N_("Second"), 3: N_("Third")}


async def show(request: Request) -> Response:
    """Shows a page of the list."""
    person, query = person_of(request), request.query_params
    days = {str(each): each for each in LEVELS}.get(query.get("days", ""), 1)
    found = await load(calls.find_reminders(person.api, days, query.get("page", "")))
    reminders, older = found.value or ([], "")
    patients = await load(find_patients(person.api, reminders))
    return page(
        request,
        "money/reminders.html",
        found=found,
        reminders=reminders,
        patients=patients.value or {},
        failed=patients,
        older=older,
        days=days,
        levels=LEVELS,
        short=SHORT,
    )


def routes() -> list[BaseRoute]:
    """Gives the screen's route."""
    return [ScreenRoute("/reminders", Operation("GET", show, READ))]
