"""The money of a patient: account, charges, invoices from draft to credit note, payments, refunds, statement."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api, Part, load, load_all
from apps.console.neighbours.calls import ApiError
from apps.console.screens import billing_calls as calls
from apps.console.screens.chart import load_banner
from apps.console.screens.clinical_forms import day, read_number
from apps.console.web.people import Form, ScreenRoute, person_of
from apps.console.web.rendering import go_to, page, protect
from apps.console.web.texts import N_, minor_units
from apps.kit.context import new_id
from apps.kit.errors import NotFound
from apps.kit.web import Operation, scopes

READ = scopes("billing.read")
WRITE = scopes("billing.write")
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
_AMOUNT = re.compile(r"[0-9]+([.,][0-9]{1,3})?")


def read_amount(text: str, currency: str) -> dict[str, Any] | None:
    """Reads an amount with a decimal point or comma; None for anything else, or too many decimals."""
    number = read_number(text) if _AMOUNT.fullmatch(text) else None
    units = minor_units(number, currency) if number is not None else None
    return {"minorUnits": str(units), "currency": currency} if units else None


async def load_money(api: Api, account_id: str) -> dict[str, Part[Any]]:
    """Loads the parts of an account beside each other."""
    return await load_all(
        balance=calls.find_balance(api, account_id),
        charges=calls.find_charges(api, account_id),
        invoices=calls.find_invoices(api, account_id),
        payments=calls.find_payments(api, account_id),
    )


async def money_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows the account; `values`: what was typed, where a form could not be carried out."""
    person, patient_id = person_of(request), request.path_params["id"]
    banner = await load_banner(request)
    account = await load(calls.find_account(person.api, patient_id))
    parts: dict[str, Part[Any]] = {}
    prices: Part[Any] = Part(value=[])
    if account.value:
        parts = await load_money(person.api, account.value["accountId"])
        if person.has("billing.write"):
            prices = await load(
                calls.find_prices(person.api, person.texts.now().date().isoformat())
            )
    common: dict[str, Any] = {
        "values": {},
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


async def carry_out(
    request: Request, name: str, public: str, fields: dict[str, Any], notice: str, back: str = ""
) -> Response:
    """Makes a change; where billing refuses it or is down, the page says so and keeps what was typed."""
    person, form = person_of(request), request.state.form
    try:
        await person.api.billing(
            name, f"POST {calls.BASE}{public}", fields, key=form.get("key", "")
        )
    except ApiError as error:
        return await refused(request, error)
    path = back or f"/patients/{request.path_params['id']}/money"
    return go_to(f"{path}?notice={notice}")


async def refused(request: Request, error: ApiError) -> Response:
    """Shows the account again, with what was typed and why it was not carried out."""
    if error.status in (401, 403, 404):
        raise error
    form = request.state.form
    shown: dict[str, Any] = {"values": form, "key": form.get("key") or new_id()}
    if error.is_unavailable:
        return await money_page(request, error.status, unavailable=error, **shown)
    errors = {f"_{index}": text for index, text in enumerate(error.sentences)}
    return await money_page(request, 422, errors=errors, **shown)


async def invalid(request: Request, **errors: str) -> Response:
    """Shows the account again with the fields that are wrong."""
    form = request.state.form
    key = form.get("key") or new_id()
    return await money_page(request, 422, errors=errors, values=form, key=key)


async def own_account(request: Request) -> dict[str, Any]:
    """Gives the account of the path's patient."""
    return await calls.find_account(person_of(request).api, request.path_params["id"])


async def add_charge(request: Request) -> Response:
    """Adds a charge, at the price of the list or at one of its own."""
    form = request.state.form
    account = await own_account(request)
    quantity = read_number(form.get("quantity") or "1")
    if not form.get("code"):
        return await invalid(request, code=N_("Choose a service of the price list."))
    if quantity is None or quantity <= 0:
        return await invalid(request, quantity=N_("This is not a number."))
    fields: dict[str, Any] = {
        "accountId": account["accountId"],
        "quantityDecimal": str(quantity),
    }
    system, _, rest = form["code"].rpartition("|")
    code, _, description = rest.partition(" · ")
    fields |= {"system": system, "code": code.strip(), "description": description}
    if form.get("price"):
        price = read_amount(form["price"], account["currency"])
        if price is None:
            return await invalid(request, price=N_("This is not an amount."))
        fields["unitPrice"] = price
    public = f"/accounts/{account['accountId']}/charge-items"
    return await carry_out(request, "AddChargeItem", public, fields, "charged")


async def void_charge(request: Request) -> Response:
    """Voids a charge, with a reason."""
    form, charge = request.state.form, request.path_params["charge"]
    fields = {"chargeItemId": charge, "reason": form.get("reason", "")}
    return await carry_out(
        request, "VoidChargeItem", f"/charge-items/{charge}/void", fields, "voided"
    )


async def draft_invoice(request: Request) -> Response:
    """Shows what the invoice would be, or keeps it as a draft."""
    person, form = person_of(request), request.state.form
    assert isinstance(form, Form)
    account = await own_account(request)
    fields: dict[str, Any] = {
        "accountId": account["accountId"],
        "chargeItemIds": form.lists("charge"),
    }
    public = f"/accounts/{account['accountId']}/invoices"
    if form.get("action") != "preview":
        return await carry_out(request, "CreateInvoice", public, fields, "drafted")
    try:
        invoice = await person.api.billing(
            "CreateInvoice", f"POST {calls.BASE}{public}", {**fields, "dryRun": True}
        )
    except ApiError as error:
        return await refused(request, error)
    return await _invoice_page(request, invoice, preview=True)


async def _invoice_page(
    request: Request, invoice: dict[str, Any], *, preview: bool, **values: Any
) -> Response:
    banner = await load_banner(request)
    common = {"errors": {}, "key": new_id()}
    return page(
        request,
        "money/invoice.html",
        **{**common, **banner, **values},
        invoice=invoice,
        preview=preview,
        labels=STATUSES,
        charges=request.state.form.lists("charge") if preview else [],
    )


async def read_own_invoice(request: Request) -> dict[str, Any]:
    """Reads the invoice of the path; raises where it is another patient's."""
    account = await own_account(request)
    invoice = await calls.read_invoice(person_of(request).api, request.path_params["invoice"])
    if invoice["accountId"] != account["accountId"]:
        raise NotFound("not_found")
    return invoice


async def show_invoice(request: Request) -> Response:
    """Shows an invoice."""
    return await _invoice_page(request, await read_own_invoice(request), preview=False)


async def issue_invoice(request: Request) -> Response:
    """Issues a draft: it gets its number, and never changes again."""
    invoice = request.path_params["invoice"]
    back = f"/patients/{request.path_params['id']}/money/invoices/{invoice}"
    return await carry_out(
        request,
        "IssueInvoice",
        f"/invoices/{invoice}/issue",
        {"invoiceId": invoice},
        "issued",
        back,
    )


async def cancel_invoice(request: Request) -> Response:
    """Drops a draft, or cancels an issued invoice by a credit note."""
    invoice, form = request.path_params["invoice"], request.state.form
    fields = {"invoiceId": invoice, "reason": form.get("reason", "")}
    return await carry_out(
        request, "CancelInvoice", f"/invoices/{invoice}/cancel", fields, "invoice-cancelled"
    )


async def pay(request: Request) -> Response:
    """Records a payment: for one invoice, or for the oldest open ones; the rest stays as credit."""
    form = request.state.form
    account = await own_account(request)
    amount = read_amount(form.get("amount", ""), account["currency"])
    if amount is None:
        return await invalid(request, amount=N_("This is not an amount."))
    if form.get("method") not in METHODS:
        return await invalid(request, method=N_("Choose one of the list."))
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
    amount = read_amount(form.get("refund_amount", ""), account["currency"])
    if amount is None:
        return await invalid(request, refund_amount=N_("This is not an amount."))
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


async def send_invoice(request: Request) -> Response:
    """Answers an invoice as PDF, or its structured data."""
    await read_own_invoice(request)
    invoice, kind = request.path_params["invoice"], request.path_params["kind"]
    fields = {"invoiceId": invoice, "recipientName": await recipient(request)}
    return file_response(
        *await calls.read_document(
            person_of(request).api, f"/invoices/{invoice}/document", kind, fields
        )
    )


async def send_receipt(request: Request) -> Response:
    """Answers a payment's receipt as PDF."""
    payment = request.path_params["payment"]
    fields = {"paymentId": payment, "recipientName": await recipient(request)}
    return file_response(
        *await calls.read_document(
            person_of(request).api, f"/payments/{payment}/document", "pdf", fields
        )
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
    base = "/patients/{id}/money"
    invoice = f"{base}/invoices/{{invoice}}"
    return [
        ScreenRoute(base, Operation("GET", show, READ)),
        ScreenRoute(f"{base}/charges", Operation("POST", add_charge, WRITE)),
        ScreenRoute(f"{base}/charges/{{charge}}/void", Operation("POST", void_charge, WRITE)),
        ScreenRoute(f"{base}/invoices", Operation("POST", draft_invoice, WRITE)),
        ScreenRoute(invoice, Operation("GET", show_invoice, READ)),
        ScreenRoute(f"{invoice}/issue", Operation("POST", issue_invoice, WRITE)),
        ScreenRoute(f"{invoice}/cancel", Operation("POST", cancel_invoice, WRITE)),
        ScreenRoute(f"{invoice}/document.{{kind}}", Operation("GET", send_invoice, READ)),
        ScreenRoute(f"{base}/payments", Operation("POST", pay, WRITE)),
        ScreenRoute(f"{base}/payments/{{payment}}/refund", Operation("POST", refund, WRITE)),
        ScreenRoute(
            f"{base}/payments/{{payment}}/receipt.pdf", Operation("GET", send_receipt, READ)
        ),
        ScreenRoute(f"{base}/credit", Operation("POST", use_credit, WRITE)),
        ScreenRoute(f"{base}/statement", Operation("GET", show_statement, READ)),
        ScreenRoute(f"{base}/statement.pdf", Operation("GET", send_statement, READ)),
    ]
