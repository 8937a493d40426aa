"""Invoices of a patient: from the preview to the draft, the issue, the document and
the credit note.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.calls import ApiError
from apps.console.screens.chart import load_banner
from apps.console.screens.money import calls
from apps.console.screens.money.account import (
    BASE,
    READ,
    STATUSES,
    WRITE,
    carry_out,
    file_response,
    own_account,
    recipient,
    refused,
)
from apps.console.web.people import Form, ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.context import new_id
from apps.kit.errors import NotFound
from apps.kit.web import Operation


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
        notice="issued",
        back=back,
    )


async def cancel_invoice(request: Request) -> Response:
    """Drops a draft, or cancels an issued invoice by a credit note."""
    invoice, form = request.path_params["invoice"], request.state.form
    fields = {"invoiceId": invoice, "reason": form.get("reason", "")}
    return await carry_out(
        request, "CancelInvoice", f"/invoices/{invoice}/cancel", fields, "invoice-cancelled"
    )


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


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    invoice = f"{BASE}/invoices/{{invoice}}"
    return [
        ScreenRoute(f"{BASE}/invoices", Operation("POST", draft_invoice, WRITE)),
        ScreenRoute(invoice, Operation("GET", show_invoice, READ)),
        ScreenRoute(f"{invoice}/issue", Operation("POST", issue_invoice, WRITE)),
        ScreenRoute(f"{invoice}/cancel", Operation("POST", cancel_invoice, WRITE)),
        ScreenRoute(f"{invoice}/document.{{kind}}", Operation("GET", send_invoice, READ)),
    ]
