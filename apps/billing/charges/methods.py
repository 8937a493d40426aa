"""The methods of charges that are made by hand."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from apps.billing.access import READ_OWN, WRITE, lock_account, read_account
from apps.billing.accounts.account import Account
from apps.billing.books import Books, Change, expect_version
from apps.billing.charges.charge import (
    STATUS_NAMES,
    Charge,
    charge_event,
    gross_of,
    net_of,
    render_charge,
)
from apps.billing.charges.recording import withdraw
from apps.billing.charges.storage import (
    insert_charges,
    select_charge,
    select_charges,
    with_price,
)
from apps.billing.money import MAX_MINOR_UNITS
from apps.billing.pages import read_id_token, read_page_size, write_token
from apps.billing.parsing import Fields, parse_id
from apps.billing.prices.storage import select_price
from apps.kit.context import new_id
from apps.kit.errors import BadRequest, NotFound, Unprocessable
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb


class ChargeMethods:
    def __init__(self, books: Books) -> None:
        self._books = books

    def table(self) -> tuple[RpcMethod, ...]:
        return (
            RpcMethod("AddChargeItem", WRITE, self.add_charge_item),
            RpcMethod("VoidChargeItem", WRITE, self.void_charge_item),
            RpcMethod("ListChargeItems", READ_OWN, self.list_charge_items),
        )

    async def add_charge_item(
        self, message: pb.AddChargeItemRequest, caller: Caller
    ) -> pb.ChargeItem:
        account_id = parse_id(message.account_id, "account_unknown")

        async def add(change: Change) -> pb.ChargeItem:
            account = await lock_account(change.connection, account_id)
            if account.status == "inactive":
                raise Unprocessable("account_inactive", "the account takes no more charges")
            charge = self._parse(message, account)
            if message.HasField("unit_price"):
                charge = _with_own_price(charge, message.unit_price.minor_units)
            else:
                price = await select_price(change.connection, charge.price_key)
                if price is None:
                    raise Unprocessable(
                        "price_unknown", "the price list has none for that day", pointer="code"
                    )
                charge = with_price(charge, price)
            assert charge.unit_price is not None
            if charge.discount_amount > gross_of(charge.quantity, charge.unit_price):
                raise Unprocessable(
                    "discount_too_large", "more than the charge", pointer="discount"
                )
            await insert_charges(change.connection, [charge])
            change.audit("charge.added", account_id, charge.charge_item_id)
            change.emit(charge_event("charge.added", charge, account.patient_id))
            return render_charge(charge)

        return await self._books.change(message, caller, pb.ChargeItem, add)

    def _parse(self, message: pb.AddChargeItemRequest, account: Account) -> Charge:
        """Reads what stands in the request; the price comes after. Raises BadRequest
        with every fault.
        """
        fields = Fields()
        discount = message.discount
        if discount.percent_basis_points and discount.amount.minor_units:
            fields.refuse("discount", "contradiction", "a discount is a percentage or an amount")
        discounted = bool(discount.percent_basis_points or discount.amount.minor_units)
        tax_category = message.tax_category or "exempt"
        if tax_category not in self._books.settings.tax_rates:
            known = ", ".join(self._books.settings.tax_rates)
            fields.refuse("tax_category", "unknown_tax_category", f"one of {known}")
        if message.HasField("unit_price"):
            fields.amount("unit_price", message.unit_price, account.currency, minimum=0)
        charge = Charge(
            charge_item_id=UUID(new_id()),
            account_id=account.account_id,
            currency=account.currency,
            status="billable",
            version=1,
            system=fields.text("system", message.system),
            code=fields.text("code", message.code, required=True, limit=64),
            description=fields.text("description", message.description),
            quantity=fields.quantity(message.quantity, message.quantity_decimal),
            unit_price=None,
            discount_basis_points=fields.basis_points(
                "discount/percent_basis_points", discount.percent_basis_points
            ),
            discount_amount=fields.amount(
                "discount/amount", discount.amount, account.currency, minimum=0
            ),
            discount_reason=fields.text("discount/reason", discount.reason, required=discounted),
            tax_category=tax_category,
            revenue_group=fields.text("revenue_group", message.revenue_group or "other", limit=64),
            net=None,
            encounter_id=fields.fhir_id("encounter_id", message.encounter_id),
            occurred_at=fields.moment("occurred_at", message.occurred_at) or datetime.now(UTC),
        )
        fields.check()
        return charge

    async def void_charge_item(
        self, message: pb.VoidChargeItemRequest, caller: Caller
    ) -> pb.ChargeItem:
        charge_item_id = parse_id(message.charge_item_id, "charge_item_unknown")
        fields = Fields()
        reason = fields.text("reason", message.reason, required=True)
        fields.check()

        async def void(change: Change) -> pb.ChargeItem:
            found = await select_charge(change.connection, charge_item_id)
            if found is None:
                raise NotFound("charge_item_unknown")
            account = await lock_account(change.connection, found.account_id)
            charge = await select_charge(change.connection, charge_item_id)
            assert charge is not None
            expect_version(charge.version, message.expected_version)
            if charge.status == "voided":
                raise Unprocessable("charge_item_voided", "it was voided before")
            if charge.status == "billed":
                raise Unprocessable("charge_item_billed", "credit or cancel its invoice instead")
            await withdraw(change, charge, account.patient_id, reason)
            voided = await select_charge(change.connection, charge_item_id)
            assert voided is not None
            return render_charge(voided)

        return await self._books.change(message, caller, pb.ChargeItem, void)

    async def list_charge_items(
        self, message: pb.ListChargeItemsRequest, caller: Caller
    ) -> pb.ListChargeItemsResponse:
        account_id = parse_id(message.account_id, "account_unknown")
        size = read_page_size(message.page_size)
        after = read_id_token(message.page_token)
        if message.status and message.status not in STATUS_NAMES:
            raise BadRequest("invalid_status", pointer="status")
        async with self._books.database.connection() as connection:
            await read_account(connection, account_id, caller)
            charges = await select_charges(
                connection,
                account_id,
                status=STATUS_NAMES.get(message.status, ""),
                after=after,
                limit=size + 1,
            )
        token = write_token(str(charges[size - 1].charge_item_id)) if len(charges) > size else ""
        return pb.ListChargeItemsResponse(
            charge_items=[render_charge(charge) for charge in charges[:size]], next_page_token=token
        )


def _with_own_price(charge: Charge, unit_price: int) -> Charge:
    net = net_of(charge.quantity, unit_price, charge.discount_basis_points, charge.discount_amount)
    if net > MAX_MINOR_UNITS:
        raise BadRequest("amount_too_large", pointer="unit_price")
    return replace(charge, unit_price=unit_price, net=net)
