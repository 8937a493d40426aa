"""What was charged: a code, a quantity, a price and a discount, and what they come to."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from apps.billing.money import render_money
from apps.billing.prices.price import PriceKey
from apps.billing.rounding import round_half_up, share_of
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1 import events_pb2

QUANTITY_SCALE = 1_000

STATUSES = {
    "billable": pb.CHARGE_ITEM_STATUS_BILLABLE,
    "billed": pb.CHARGE_ITEM_STATUS_BILLED,
    "voided": pb.CHARGE_ITEM_STATUS_VOIDED,
    "unpriced": pb.CHARGE_ITEM_STATUS_UNPRICED,
}
STATUS_NAMES = {value: name for name, value in STATUSES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    charge_item_id: UUID
    account_id: UUID
    currency: str
    # billable | billed | voided | unpriced
    status: str
    version: int
    system: str
    code: str
    description: str
    quantity: Decimal
    # Minor units; None while the price list has no price for it.
    unit_price: int | None
    discount_basis_points: int
    discount_amount: int
    discount_reason: str
    tax_category: str
    revenue_group: str
    # Quantity times price less discount, without tax.
    net: int | None
    encounter_id: str
    occurred_at: datetime
    source_type: str = ""
    source_id: str = ""
    source_version: int = 0
    needs_credit: bool = False
    void_reason: str = ""
    # The draft that it is in or, once billed, the invoice of its group.
    invoice_id: UUID | None = None
    # The account of the patient that it was recorded for, where that one is merged into this
    # account's patient.
    origin_account_id: UUID | None = None

    @property
    def service_on(self) -> date:
        return self.occurred_at.astimezone(UTC).date()

    @property
    def price_key(self) -> PriceKey:
        return PriceKey(self.system, self.code, self.currency, self.service_on)

    @property
    def discount(self) -> int:
        assert self.unit_price is not None
        whole = gross_of(self.quantity, self.unit_price)
        return discount_of(whole, self.discount_basis_points, self.discount_amount)


def gross_of(quantity: Decimal, unit_price: int) -> int:
    """Multiplies, and rounds half up to the minor unit."""
    return round_half_up(int(quantity * QUANTITY_SCALE) * unit_price, QUANTITY_SCALE)


def discount_of(gross: int, basis_points: int, amount: int) -> int:
    """Gives the discount, at most all of it."""
    return min(gross, share_of(gross, basis_points) + amount)


def net_of(quantity: Decimal, unit_price: int, basis_points: int, amount: int) -> int:
    gross = gross_of(quantity, unit_price)
    return gross - discount_of(gross, basis_points, amount)


def format_quantity(quantity: Decimal) -> str:
    """Writes 1.500 as 1.5 and 2.000 as 2."""
    text = f"{quantity:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def render_charge(charge: Charge) -> pb.ChargeItem:
    whole = charge.quantity == charge.quantity.to_integral_value()
    message = pb.ChargeItem(
        charge_item_id=str(charge.charge_item_id),
        account_id=str(charge.account_id),
        status=STATUSES[charge.status],
        code=charge.code,
        description=charge.description,
        quantity=int(charge.quantity) if whole else 0,
        encounter_id=charge.encounter_id,
        system=charge.system,
        quantity_decimal=format_quantity(charge.quantity),
        tax_category=charge.tax_category,
        revenue_group=charge.revenue_group,
        version=charge.version,
        source_type=charge.source_type,
        source_id=charge.source_id,
        needs_credit=charge.needs_credit,
        invoice_id=str(charge.invoice_id or ""),
        void_reason=charge.void_reason,
    )
    message.occurred_at.FromDatetime(charge.occurred_at)
    if charge.unit_price is not None and charge.net is not None:
        message.unit_price.CopyFrom(render_money(charge.unit_price, charge.currency))
        message.net.CopyFrom(render_money(charge.net, charge.currency))
    if charge.discount_basis_points or charge.discount_amount:
        message.discount.percent_basis_points = charge.discount_basis_points
        message.discount.reason = charge.discount_reason
        if charge.discount_amount:
            message.discount.amount.CopyFrom(render_money(charge.discount_amount, charge.currency))
    return message


def charge_event(event_type: str, charge: Charge, patient_id: str) -> events_pb2.BillingEvent:
    """Tells of a charge that has a price: `charge.added` or `charge.voided`."""
    event = events_pb2.BillingEvent(
        patient_id=patient_id,
        account_id=str(charge.account_id),
        event_type=event_type,
        currency=charge.currency,
        charge=events_pb2.ChargeEvent(
            charge_item_id=str(charge.charge_item_id),
            system=charge.system,
            code=charge.code,
            revenue_group=charge.revenue_group,
            net=charge.net or 0,
            source_type=charge.source_type,
        ),
    )
    event.occurred_at.GetCurrentTime()
    event.effective_at.FromDatetime(charge.occurred_at)
    return event
