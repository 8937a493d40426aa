"""The cash desk: the day's cash, the open invoices by age, and the shortest way to
take a payment.
"""

import re
from datetime import date, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api, Part, load, load_all
from apps.console.neighbours.calls import ApiError
from apps.console.screens.money import calls
from apps.console.screens.money.account import READ, not_an_amount, read_amount
from apps.console.screens.patients import parse_query, search
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.kit.context import new_id
from apps.kit.texts import N_
from apps.kit.web import Operation, scopes

APPROVE = scopes("billing.approve")
DESK = "main"
INVOICE_NUMBER = re.compile(r"[0-9]{4}-[0-9]{6,9}")
# Everything that is open is due before then.
FAR_DAYS = 3650
AGES = (
    (None, 0, N_("Not yet due")),
    (0, 30, N_("Up to 30 days overdue")),
    (30, 60, N_("31 to 60 days overdue")),
    (60, 90, N_("61 to 90 days overdue")),
    (90, None, N_("More than 90 days overdue")),
)


async def find_patients(api: Api, items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Gives the patients of at most 100 of billing's items, by id."""
    ids = sorted({each["patientId"] for each in items if each["patientId"]})
    if not ids:
        return {}
    bundle = await api.search("Patient", {"_id": ",".join(ids), "_count": "100"})
    return {each["id"]: each for each in fhir.entries(bundle)}


async def find_patient_names(api: Api, items: list[dict[str, Any]]) -> dict[str, str]:
    """Gives the names of the patients, by id."""
    found = await find_patients(api, items)
    return {patient_id: fhir.name_of(each) for patient_id, each in found.items()}


async def find_open(api: Api, today: date) -> list[dict[str, Any]]:
    """Gives the open invoices of all patients with names and days overdue, the oldest first."""
    until = (today + timedelta(days=FAR_DAYS)).isoformat()
    invoices = await calls.find_open_invoices(api, until)
    names = await find_patient_names(api, invoices)
    for invoice in invoices:
        due = date.fromisoformat(invoice["dueOn"]) if invoice.get("dueOn") else today
        invoice["days"] = (today - due).days
        invoice["name"] = names.get(invoice["patientId"], "")
    return invoices


def by_age(invoices: list[dict[str, Any]]) -> list[tuple[str, int, dict[str, int]]]:
    """Counts the invoices of each age, and adds up what is open in each currency."""
    found = []
    for low, high, label in AGES:
        group = [
            each
            for each in invoices
            if (low is None or each["days"] > low) and (high is None or each["days"] <= high)
        ]
        sums: dict[str, int] = {}
        for each in group:
            currency = each["open"]["currency"]
            sums[currency] = sums.get(currency, 0) + int(each["open"]["minorUnits"])
        found.append((label, len(group), sums))
    return found


async def current_day(api: Api) -> dict[str, Any] | None:
    """Gives the cash day that is open, None where there is none."""
    try:
        found: dict[str, Any] = await api.billing(
            "GetCashDay", f"GET {calls.BASE}/cash-days/current", {"cashDayId": ""}
        )
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return found


async def desk_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows the desk; `values`: what was typed, and what was found."""
    person = person_of(request)
    loading: dict[str, Any] = {"invoices": find_open(person.api, person.texts.now().date())}
    if person.has("billing.approve"):
        loading["day"] = current_day(person.api)
        loading["waiting"] = calls.find_write_offs(person.api, "", calls.PAGE)
    parts = await load_all(**loading)
    common: dict[str, Any] = {
        "values": {},
        "errors": {},
        "unavailable": None,
        "found": None,
        "query": "",
        "key": new_id(),
    }
    invoices: Part[Any] = parts["invoices"]
    return page(
        request,
        "cash_desk/desk.html",
        status,
        **{**common, **values},
        day=parts.get("day"),
        waiting=parts.get("waiting"),
        invoices=invoices,
        ages=by_age(invoices.value or []),
        shown=calls.PAGE,
    )


async def show(request: Request) -> Response:
    """Shows the desk."""
    return await desk_page(request)


async def find(request: Request) -> Response:
    """Finds the patient who pays, by name or number, or by the number of an invoice."""
    person, text = person_of(request), request.state.form.get("q", "")
    if INVOICE_NUMBER.fullmatch(text):
        opened = await load(find_open(person.api, person.texts.now().date()))
        for each in (each for each in opened.value or [] if each["number"] == text):
            account = await load(calls.read_account(person.api, each["accountId"]))
            if account.value:
                invoice, patient = each["invoiceId"], account.value["patientId"]
                return go_to(f"/patients/{patient}/money?invoice={invoice}#pay")
    parameters = parse_query(text, person.texts)
    found = await load(search(person.api, [*parameters, ("_count", "10")])) if parameters else None
    return await desk_page(request, found=found, query=text)


async def change_day(request: Request) -> Response:
    """Opens, counts or closes the day."""
    person, form = person_of(request), request.state.form
    action, day = form.get("action", ""), form.get("day", "")
    currency = form.get("currency") or request.state.settings.currency
    fields: dict[str, Any] = {"cashDayId": day}
    if action in ("open", "count"):
        money = {"minorUnits": "0", "currency": currency}
        if form.get("cash", "0") not in ("0", "0.00", "0,00", ""):
            amount = read_amount(form["cash"], currency, person.texts)
            if amount is None:
                errors = {"cash": not_an_amount(person.texts, currency)}
                return await desk_page(request, 422, errors=errors, values=form)
            money = {**amount, "currency": currency}
        fields = (
            {"desk": DESK, "opening": money} if action == "open" else {**fields, "counted": money}
        )
    name, public, notice = {
        "open": ("OpenCashDay", "/cash-days", "opened"),
        "count": ("CountCashDay", f"/cash-days/{day}/count", "saved"),
        "close": ("CloseCashDay", f"/cash-days/{day}/close", "closed"),
    }.get(action, ("", "", ""))
    if not name:
        return await desk_page(request, 422, errors={"_": N_("Choose one of the list.")})
    try:
        await person.api.billing(
            name, f"POST {calls.BASE}{public}", fields, key=form.get("key", "")
        )
    except ApiError as error:
        if error.status in (401, 403):
            raise
        if error.is_unavailable:
            return await desk_page(request, error.status, unavailable=error, values=form)
        errors = {f"_{index}": text for index, text in enumerate(error.sentences)}
        return await desk_page(request, 422, errors=errors, values=form)
    return go_to(f"/cash-desk?notice={notice}")


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute("/cash-desk", Operation("GET", show, READ), Operation("POST", find, READ)),
        ScreenRoute("/cash-desk/day", Operation("POST", change_day, APPROVE)),
    ]
