"""What an issued invoice no longer asks for: a credit note over a part of it, or a write-off."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.screens.chart import load_banner
from apps.console.screens.money.account import (
    BASE,
    WRITE,
    carry_out,
    check_reason,
    invalid,
    not_an_amount,
    read_amount,
    too_much,
    units_of,
)
from apps.console.screens.money.cash_desk import APPROVE
from apps.console.screens.money.invoices import read_own_invoice
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.console.web.texts import Texts
from apps.kit.context import new_id
from apps.kit.texts import N_
from apps.kit.web import Operation

INVOICE = f"{BASE}/invoices/{{invoice}}"


def left_of(invoice: Mapping[str, Any]) -> dict[int, int]:
    """Gives what was not credited yet, tax included, by line."""
    left = {int(line["line"]): units_of(line["total"]) for line in invoice["lines"]}
    for note in invoice["creditNotes"]:
        for line in note["lines"]:
            left[int(line["line"])] -= units_of(line["total"])
    return left


async def credit_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows the form of a credit note; `values`: what was typed, and what was wrong with it."""
    banner = await load_banner(request)
    invoice = await read_own_invoice(request)
    common: dict[str, Any] = {"values": {}, "errors": {}, "unavailable": None, "key": new_id()}
    return page(
        request,
        "money/credit.html",
        status,
        **{**common, **banner, **values},
        invoice=invoice,
        left=left_of(invoice),
        currency=invoice["total"]["currency"],
    )


async def show_credit(request: Request) -> Response:
    """Shows the form."""
    return await credit_page(request)


def read_credit(
    form: Mapping[str, str], invoice: Mapping[str, Any], texts: Texts
) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads an amount over all lines, or amounts by line; and the faults by field."""
    left, currency = left_of(invoice), invoice["total"]["currency"]
    wanted = {"amount": sum(left.values())} | {f"line-{line}": most for line, most in left.items()}
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, most in wanted.items():
        if not form.get(name):
            continue
        amount = read_amount(form[name], currency, texts)
        if amount is None:
            errors[name] = not_an_amount(texts, currency)
        elif units_of(amount) > most:
            errors[name] = too_much(texts, most, currency)
        else:
            found[name] = amount
    whole = found.pop("amount", None)
    lines = [
        {"line": int(name.removeprefix("line-")), "amount": each} for name, each in found.items()
    ]
    if not errors and bool(whole) == bool(lines):
        errors["amount"] = N_("Enter an amount over all lines, or amounts by line.")
    return ({"amount": whole} if whole else {"lines": lines}), errors


async def credit(request: Request) -> Response:
    """Writes the credit note; what was paid already stays as credit."""
    form, invoice = request.state.form, await read_own_invoice(request)
    fields, errors = read_credit(form, invoice, person_of(request).texts)
    reason = check_reason(form, errors)
    if errors:
        return await invalid(request, errors, credit_page)
    path = f"/invoices/{invoice['invoiceId']}"
    fields |= {"invoiceId": invoice["invoiceId"], "reason": reason}
    if re.fullmatch("[0-9]{1,18}", form.get("version", "")):
        fields["expectedVersion"] = form["version"]
    return await carry_out(
        request,
        "CreditInvoice",
        f"{path}/credit",
        fields,
        "invoice-credited",
        back=f"/patients/{request.path_params['id']}/money{path}",
        again=credit_page,
    )


async def write_off_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows the form of a write-off; `values`: what was typed, and what was wrong with it."""
    banner = await load_banner(request)
    invoice = await read_own_invoice(request)
    common: dict[str, Any] = {
        "values": {"amount": person_of(request).texts.typed_amount(invoice["open"])},
        "errors": {},
        "unavailable": None,
        "key": new_id(),
    }
    return page(
        request,
        "money/write_off.html",
        status,
        **{**common, **banner, **values},
        invoice=invoice,
        currency=invoice["total"]["currency"],
    )


async def show_write_off(request: Request) -> Response:
    """Shows the form."""
    return await write_off_page(request)


def write_off_notice(write_off: Mapping[str, Any]) -> str:
    """Gives the key of what the page says then."""
    is_posted = write_off["status"] == "WRITE_OFF_STATUS_POSTED"
    return "written-off" if is_posted else "write-off-waits"


async def write_off(request: Request) -> Response:
    """Writes off what will not be paid; above billing's limit it waits for a second person."""
    form, invoice = request.state.form, await read_own_invoice(request)
    texts, currency = person_of(request).texts, invoice["total"]["currency"]
    errors: dict[str, str] = {}
    amount = read_amount(form.get("amount", ""), currency, texts)
    if amount is None:
        errors["amount"] = not_an_amount(texts, currency)
    elif units_of(amount) > units_of(invoice["open"]):
        errors["amount"] = too_much(texts, units_of(invoice["open"]), currency)
    reason = check_reason(form, errors)
    if errors:
        return await invalid(request, errors, write_off_page)
    path = f"/invoices/{invoice['invoiceId']}"
    return await carry_out(
        request,
        "WriteOffInvoice",
        f"{path}/write-off",
        {"invoiceId": invoice["invoiceId"], "amount": amount, "reason": reason},
        write_off_notice,
        back=f"/patients/{request.path_params['id']}/money{path}",
        again=write_off_page,
    )


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute(
            f"{INVOICE}/credit",
            Operation("GET", show_credit, WRITE),
            Operation("POST", credit, WRITE),
        ),
        ScreenRoute(
            f"{INVOICE}/write-off",
            Operation("GET", show_write_off, APPROVE),
            Operation("POST", write_off, APPROVE),
        ),
    ]
