"""One payment over several invoices of a patient or payer: how much each of them gets."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import Api
from apps.console.screens.chart import load_banner
from apps.console.screens.money import calls
from apps.console.screens.money.account import (
    BASE,
    METHODS,
    WRITE,
    carry_out,
    invalid,
    not_an_amount,
    own_account,
    read_amount,
    too_much,
    units_of,
)
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.console.web.texts import Texts
from apps.kit.context import new_id
from apps.kit.texts import N_
from apps.kit.web import Operation

# As many as a payment may name.
MOST = 100


async def find_open(api: Api, account_id: str) -> list[dict[str, Any]]:
    """Gives the account's invoices of which something is open, the oldest first."""
    found = await calls.find_open_of_account(api, account_id)
    return [each for each in found if units_of(each.get("open"))]


def payers_of(account: Mapping[str, Any], invoices: list[dict[str, Any]]) -> dict[str, str]:
    """Gives who may pay, by id: the patient, whose id is empty here, and the payers with an open
    invoice.
    """
    names = {each["payerId"]: each.get("payerName") for each in account.get("coverages", [])}
    ids = dict.fromkeys(each["payerId"] for each in invoices if each.get("payerId"))
    return {"": N_("The patient"), **{each: names.get(each) or each for each in ids}}


async def show(request: Request) -> Response:
    """Shows the form."""
    return await allocation_page(request)


async def allocation_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows the form; `values`: what was typed, and what was wrong with it."""
    api = person_of(request).api
    banner = await load_banner(request)
    account = await own_account(request)
    invoices = await find_open(api, account["accountId"])
    payers = payers_of(account, invoices)
    typed = values.get("values") or request.query_params
    payer = typed.get("payer", "")
    common: dict[str, Any] = {"values": {}, "errors": {}, "unavailable": None, "key": new_id()}
    return page(
        request,
        "money/allocation.html",
        status,
        **{**common, **banner, **values},
        invoices=[each for each in invoices if each.get("payerId", "") == payer][:MOST],
        payers=payers,
        payer=payer,
        methods=METHODS,
        currency=account["currency"],
    )


def read_allocations(
    form: Mapping[str, str], invoices: list[dict[str, Any]], currency: str, texts: Texts
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Reads what each invoice gets; and the faults by field."""
    allocations: list[dict[str, Any]] = []
    errors: dict[str, str] = {}
    for each in invoices:
        name = f"part-{each['invoiceId']}"
        if not form.get(name):
            continue
        part = read_amount(form[name], currency, texts)
        if part is None:
            errors[name] = not_an_amount(texts, currency)
        elif units_of(part) > units_of(each["open"]):
            errors[name] = too_much(texts, units_of(each["open"]), currency)
        else:
            allocations.append({"invoiceId": each["invoiceId"], "amount": part})
    return allocations, errors


async def allocate(request: Request) -> Response:
    """Records the payment: each chosen invoice gets its part, the rest stays as credit."""
    person, form = person_of(request), request.state.form
    account = await own_account(request)
    currency, payer = account["currency"], form.get("payer", "")
    errors: dict[str, str] = {}
    amount = read_amount(form.get("amount", ""), currency, person.texts)
    if amount is None:
        errors["amount"] = not_an_amount(person.texts, currency)
    if form.get("method") not in METHODS:
        errors["method"] = N_("Choose one of the list.")
    invoices = [
        each
        for each in await find_open(person.api, account["accountId"])
        if each.get("payerId", "") == payer
    ]
    allocations, wrong = read_allocations(form, invoices[:MOST], currency, person.texts)
    errors |= wrong
    if not allocations and not wrong:
        errors["_"] = N_("Say what at least one invoice gets.")
    if amount and sum(units_of(each["amount"]) for each in allocations) > units_of(amount):
        errors["amount"] = N_("The invoices get more than this together.")
    if errors:
        return await invalid(request, errors, allocation_page)
    fields = {
        "accountId": account["accountId"],
        "amount": amount,
        "method": form["method"],
        "reference": form.get("reference", ""),
        "payerId": payer,
        "allocations": allocations,
    }
    public = f"/accounts/{account['accountId']}/payments"
    return await carry_out(request, "RecordPayment", public, fields, "paid", again=allocation_page)


def routes() -> list[BaseRoute]:
    """Gives the screen's route."""
    return [
        ScreenRoute(
            f"{BASE}/allocate", Operation("GET", show, WRITE), Operation("POST", allocate, WRITE)
        )
    ]
