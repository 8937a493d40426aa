"""Charges of a patient: added at the price of the list or another one, voided with a reason."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.screens.form_values import read_number
from apps.console.screens.money.account import (
    BASE,
    WRITE,
    carry_out,
    invalid,
    not_an_amount,
    own_account,
    read_amount,
)
from apps.console.web.people import ScreenRoute, person_of
from apps.kit.texts import N_
from apps.kit.web import Operation

NOT_A_QUANTITY = N_("This is not a number. Write it without separators of thousands.")


async def add_charge(request: Request) -> Response:
    """Adds a charge, at the price of the list or at one of its own."""
    form = request.state.form
    account = await own_account(request)
    texts, currency = person_of(request).texts, account["currency"]
    quantity = read_number(form.get("quantity") or "1")
    if not form.get("code"):
        return await invalid(request, {"code": N_("Choose a service of the price list.")})
    # Where `1,500` may be thousands, it is not read as one and a half.
    if quantity is None or quantity <= 0 or texts.may_be_grouped(form.get("quantity", "")):
        return await invalid(request, {"quantity": NOT_A_QUANTITY})
    fields: dict[str, Any] = {
        "accountId": account["accountId"],
        "quantityDecimal": str(quantity),
    }
    system, _, rest = form["code"].rpartition("|")
    code, _, description = rest.partition(" · ")
    fields |= {"system": system, "code": code.strip(), "description": description}
    if form.get("price"):
        price = read_amount(form["price"], currency, texts)
        if price is None:
            return await invalid(request, {"price": not_an_amount(texts, currency)})
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


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute(f"{BASE}/charges", Operation("POST", add_charge, WRITE)),
        ScreenRoute(f"{BASE}/charges/{{charge}}/void", Operation("POST", void_charge, WRITE)),
    ]
