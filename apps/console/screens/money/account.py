"""The account of a patient: balance, charges, invoices, payments; and what its forms share."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from babel.numbers import get_currency_precision
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api, Part, load, load_all
from apps.console.neighbours.calls import ApiError
from apps.console.screens.chart import load_banner
from apps.console.screens.money import calls
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import go_to, page, protect
from apps.console.web.texts import SENTENCES, Texts, minor_units
from apps.kit.context import new_id
from apps.kit.texts import N_
from apps.kit.web import Operation, scopes

READ = scopes("billing.read")
WRITE = scopes("billing.write")
BASE = "/patients/{id}/money"
METHODS = {
    "PAYMENT_METHOD_CARD": N_("Card"),
    "PAYMENT_METHOD_CASH": N_("Cash"),
    "PAYMENT_METHOD_TRANSFER": N_("Transfer"),
}
STATUSES = {
    "INVOICE_STATUS_DRAFT": N_("Draft"),
    "INVOICE_STATUS_ISSUED": N_("Open"),
    "INVOICE_STATUS_BALANCED": N_("Paid"),
    "INVOICE_STATUS_CANCELLED": N_("Cancelled"),
    "CHARGE_ITEM_STATUS_BILLABLE": N_("To be invoiced"),
    "CHARGE_ITEM_STATUS_BILLED": N_("Invoiced"),
    "CHARGE_ITEM_STATUS_VOIDED": N_("Voided"),
    "CHARGE_ITEM_STATUS_UNPRICED": N_("Without a price"),
}
KINDS = {
    "invoice": N_("Invoice"),
    "credit_note": N_("Credit note"),
    "payment": N_("Payment"),
    "refund": N_("Refund"),
    "write_off": N_("Write-off"),
    "credit_applied": N_("Credit used"),
}
MAX_REASON = 256
MAX_AMOUNT_DIGITS = 12


def read_amount(text: str, currency: str, texts: Texts) -> dict[str, Any] | None:
    """Reads an amount above zero, with a decimal point or comma before at most the currency's own
    decimals; None for anything else, as a separator of thousands.
    """
    digits = get_currency_precision(currency)
    decimals = rf"([.,][0-9]{{1,{digits}}})?" if digits else ""
    if not re.fullmatch(rf"[0-9]{{1,{MAX_AMOUNT_DIGITS}}}{decimals}", text):
        return None
    if texts.may_be_grouped(text):
        return None
    units = minor_units(Decimal(text.replace(",", ".")), currency)
    return {"minorUnits": str(units), "currency": currency} if units else None


def not_an_amount(texts: Texts, currency: str) -> str:
    """Says how an amount is written."""
    example = texts.typed_amount({"minorUnits": 125_050, "currency": currency})
    sentence = N_("This is not an amount. Write it without separators of thousands, as {example}.")
    return texts.gettext(sentence, example=example)


class FormPage(Protocol):
    """A page with a form; `values`: what was typed, and what was wrong with it."""

    async def __call__(self, request: Request, status: int = 200, **values: Any) -> Response: ...


def check_reason(form: Mapping[str, str], errors: dict[str, str]) -> str:
    """Gives the form's reason; notes an error where there is none."""
    reason = form.get("reason", "")
    if not reason:
        errors["reason"] = N_("Say why.")
    elif len(reason) > MAX_REASON:
        errors["reason"] = N_("This is too long.")
    return reason


def units_of(money: Any) -> int:
    """Gives an amount's minor units; 0 where there is none."""
    return int(fhir.as_dict(money).get("minorUnits", 0))


def too_much(texts: Texts, left: int, currency: str) -> str:
    """Says how much there is at most."""
    money = texts.money({"minorUnits": left, "currency": currency})
    return texts.gettext(N_("At most {amount}."), amount=money)


async def load_money(api: Api, account_id: str, **more: Awaitable[Any]) -> dict[str, Part[Any]]:
    """Loads the parts of an account, and what else is given, beside each other."""
    return await load_all(
        balance=calls.find_balance(api, account_id),
        charges=calls.find_charges(api, account_id),
        invoices=calls.find_invoices(api, account_id),
        payments=calls.find_payments(api, account_id),
        **more,
    )


async def money_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows the account; `values`: what was typed, where a form could not be carried out."""
    person, patient_id = person_of(request), request.path_params["id"]
    banner, account = await asyncio.gather(
        load_banner(request), load(calls.find_account(person.api, patient_id))
    )
    parts: dict[str, Part[Any]] = {}
    prices: Part[Any] = Part(value=[])
    if account.value:
        today = person.texts.now().date().isoformat()
        is_writer = person.has("billing.write")
        parts = await load_money(
            person.api,
            account.value["accountId"],
            **({"prices": calls.find_prices(person.api, today)} if is_writer else {}),
        )
        prices = parts.pop("prices", prices)
    common: dict[str, Any] = {
        "values": payment_of(
            (parts["invoices"].value if parts else None) or [],
            request.query_params.get("invoice", ""),
            person.texts,
        ),
        "errors": {},
        "unavailable": None,
        "key": new_id(),
    }
    return page(
        request,
        "money/account.html",
        status,
        **{**common, **banner, **values},
        account=account,
        parts=parts,
        prices=prices.value or [],
        methods=METHODS,
        labels=STATUSES,
        currency=account.value["currency"] if account.value else "",
    )


async def show(request: Request) -> Response:
    """Shows the account."""
    return await money_page(request)


def payment_of(invoices: list[dict[str, Any]], invoice_id: str, texts: Texts) -> dict[str, str]:
    """Gives the payment form's values for what is open of an invoice; none where it is not open."""
    for each in invoices:
        if each["invoiceId"] == invoice_id and units_of(each.get("open")):
            return {"invoice": invoice_id, "amount": texts.typed_amount(each["open"])}
    return {}


async def carry_out(
    request: Request,
    name: str,
    public: str,
    fields: dict[str, Any],
    notice: str | Callable[[dict[str, Any]], str],
    back: str = "",
    again: FormPage = money_page,
    method: str = "POST",
) -> Response:
    """Makes a change; where billing refuses it or is down, the page of the form says so and keeps
    what was typed.

    `notice`: what the page says then, which may depend on the answer.
    """
    person, form = person_of(request), request.state.form
    try:
        answer = await person.api.billing(
            name, f"{method} {calls.BASE}{public}", fields, key=form.get("key", "")
        )
    except ApiError as error:
        return await refused(request, error, again)
    path = back or f"/patients/{request.path_params['id']}/money"
    return go_to(f"{path}?notice={notice if isinstance(notice, str) else notice(answer)}")


async def refused(request: Request, error: ApiError, again: FormPage = money_page) -> Response:
    """Shows the page of the form again, with what was typed and why it was not carried out."""
    if error.status in (401, 403, 404):
        raise error
    form = request.state.form
    shown: dict[str, Any] = {"values": form, "key": form.get("key") or new_id()}
    if error.is_unavailable:
        return await again(request, error.status, unavailable=error, **shown)
    if error.status == 412:
        return await again(request, 412, errors={"_": SENTENCES[412]}, **shown)
    errors = {f"_{index}": text for index, text in enumerate(error.sentences)}
    return await again(request, 422, errors=errors, **shown)


async def invalid(
    request: Request, errors: Mapping[str, str], again: FormPage = money_page
) -> Response:
    """Shows the page of the form again with the fields that are wrong."""
    form = request.state.form
    key = form.get("key") or new_id()
    return await again(request, 422, errors=errors, values=form, key=key)


async def own_account(request: Request) -> dict[str, Any]:
    """Gives the account of the path's patient."""
    return await calls.find_account(person_of(request).api, request.path_params["id"])


def file_response(media_type: str, name: str, content: bytes) -> Response:
    """Answers a document for download; its name says nothing about the patient."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", name)
    response = Response(content, media_type=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{safe}"'
    protect(response)
    return response


async def recipient(request: Request) -> str:
    """Gives the name that a document is addressed to: billing keeps none."""
    answer = await person_of(request).api.read("Patient", request.path_params["id"])
    return fhir.name_of(answer.body)


def routes() -> list[BaseRoute]:
    """Gives the screen's route."""
    return [ScreenRoute(BASE, Operation("GET", show, READ))]
