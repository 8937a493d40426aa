"""Payments of a patient: taken, given back, with their receipts; credit for open invoices."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.screens.money import calls
from apps.console.screens.money.account import (
    BASE,
    METHODS,
    READ,
    WRITE,
    carry_out,
    file_response,
    invalid,
    not_an_amount,
    own_account,
    read_amount,
    recipient,
)
from apps.console.web.people import ScreenRoute, person_of
from apps.kit.texts import N_
from apps.kit.web import Operation


async def pay(request: Request) -> Response:
    """Records a payment: for one invoice, or for the oldest open ones; the rest stays as credit."""
    form = request.state.form
    account = await own_account(request)
    texts, currency = person_of(request).texts, account["currency"]
    amount = read_amount(form.get("amount", ""), currency, texts)
    if amount is None:
        return await invalid(request, {"amount": not_an_amount(texts, currency)})
    if form.get("method") not in METHODS:
        return await invalid(request, {"method": N_("Choose one of the list.")})
    fields: dict[str, Any] = {
        "accountId": account["accountId"],
        "amount": amount,
        "method": form["method"],
        "reference": form.get("reference", ""),
    }
    if form.get("invoice"):
        fields["invoiceId"] = form["invoice"]
    public = f"/accounts/{account['accountId']}/payments"
    return await carry_out(request, "RecordPayment", public, fields, "paid")


async def refund(request: Request) -> Response:
    """Gives back a part or all of a payment, with a reason."""
    form, payment = request.state.form, request.path_params["payment"]
    account = await own_account(request)
    texts, currency = person_of(request).texts, account["currency"]
    amount = read_amount(form.get("refund_amount", ""), currency, texts)
    if amount is None:
        return await invalid(request, {"refund_amount": not_an_amount(texts, currency)})
    fields = {"paymentId": payment, "amount": amount, "reason": form.get("reason", "")}
    return await carry_out(
        request, "RefundPayment", f"/payments/{payment}/refund", fields, "refunded"
    )


async def use_credit(request: Request) -> Response:
    """Pays open invoices from credit."""
    account = await own_account(request)
    public = f"/accounts/{account['accountId']}/apply-credit"
    fields = {"accountId": account["accountId"]}
    return await carry_out(request, "ApplyCredit", public, fields, "credited")


async def send_receipt(request: Request) -> Response:
    """Answers a payment's receipt as PDF."""
    payment = request.path_params["payment"]
    fields = {"paymentId": payment, "recipientName": await recipient(request)}
    return file_response(
        *await calls.read_document(
            person_of(request).api, f"/payments/{payment}/document", "pdf", fields
        )
    )


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    payment = f"{BASE}/payments/{{payment}}"
    return [
        ScreenRoute(f"{BASE}/payments", Operation("POST", pay, WRITE)),
        ScreenRoute(f"{payment}/refund", Operation("POST", refund, WRITE)),
        ScreenRoute(f"{payment}/receipt.pdf", Operation("GET", send_receipt, READ)),
        ScreenRoute(f"{BASE}/credit", Operation("POST", use_credit, WRITE)),
    ]
