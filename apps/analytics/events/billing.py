"""Reads events of the topic `billing`. Amounts are integers in minor units of the
event's currency.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from google.protobuf.message import DecodeError

from apps.analytics.events.fields import (
    read_date,
    read_event_id,
    read_required,
    read_text,
    read_time,
)
from apps.kit.event_batch import UnreadableError
from protos.billing.v1 import events_pb2 as pb

CHARGE_TYPES = frozenset({"charge.added", "charge.voided"})
INVOICE_TYPES = frozenset(
    {"invoice.issued", "invoice.adjusted", "invoice.paid", "invoice.cancelled"}
)
PAYMENT_TYPES = frozenset({"payment.recorded", "payment.refunded"})

_CURRENCY = re.compile("[A-Z]{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingEvent:
    """What all events of the topic share. `effective_at`: the time that figures go by."""

    event_id: UUID
    event_type: str
    patient_id: str
    effective_at: datetime
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeEvent(BillingEvent):
    charge_item_id: str
    system: str
    code: str
    revenue_group: str
    net: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAmount:
    revenue_group: str
    net: int
    tax: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceEvent(BillingEvent):
    """`groups`: what was invoiced; of a cancellation or an adjustment, what the credit
    note takes back.
    """

    invoice_id: str
    version: int
    payer_id: str
    total: int
    open: int
    issued_on: date
    due_on: date | None
    groups: tuple[GroupAmount, ...]
    credit_note_number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentEvent(BillingEvent):
    """`refund_id` is empty for the payment itself."""

    payment_id: str
    refund_id: str
    payer_id: str
    method: str
    amount: int


MoneyEvent = ChargeEvent | InvoiceEvent | PaymentEvent


def parse_billing_event(value: bytes | None) -> MoneyEvent:
    """Returns the event in a record's value; raises UnreadableError."""
    if not value:
        raise UnreadableError("empty")
    message = pb.BillingEvent()
    try:
        message.ParseFromString(value)
    except DecodeError:
        raise UnreadableError("not_protobuf") from None
    if not message.HasField("effective_at"):
        raise UnreadableError("missing_effective_at")
    if not _CURRENCY.fullmatch(message.currency):
        raise UnreadableError("invalid_currency")

    common = BillingEvent(
        event_id=read_event_id(message.event_id),
        event_type=message.event_type,
        patient_id=read_required("patient_id", message.patient_id),
        effective_at=read_time("effective_at", message.effective_at),
        currency=message.currency,
    )
    if message.event_type in CHARGE_TYPES:
        return _charge(common, message.charge)
    if message.event_type in INVOICE_TYPES:
        return _invoice(common, message.invoice)
    if message.event_type in PAYMENT_TYPES:
        return _payment(common, message.payment)
    raise UnreadableError("unknown_event_type")


def _charge(common: BillingEvent, charge: pb.ChargeEvent) -> ChargeEvent:
    return ChargeEvent(
        event_id=common.event_id,
        event_type=common.event_type,
        patient_id=common.patient_id,
        effective_at=common.effective_at,
        currency=common.currency,
        charge_item_id=read_required("charge_item_id", charge.charge_item_id),
        system=read_text("system", charge.system),
        code=read_text("code", charge.code),
        revenue_group=read_text("revenue_group", charge.revenue_group),
        net=charge.net,
    )


def _invoice(common: BillingEvent, invoice: pb.InvoiceEvent) -> InvoiceEvent:
    if invoice.version < 1:
        raise UnreadableError("invalid_version")
    issued_on = read_date("issued_on", invoice.issued_on)
    if issued_on is None:
        raise UnreadableError("missing_issued_on")
    return InvoiceEvent(
        event_id=common.event_id,
        event_type=common.event_type,
        patient_id=common.patient_id,
        effective_at=common.effective_at,
        currency=common.currency,
        invoice_id=read_required("invoice_id", invoice.invoice_id),
        version=invoice.version,
        payer_id=read_text("payer_id", invoice.payer_id),
        total=invoice.total,
        open=invoice.open,
        issued_on=issued_on,
        due_on=read_date("due_on", invoice.due_on),
        groups=tuple(
            GroupAmount(
                revenue_group=read_text("revenue_group", group.revenue_group),
                net=group.net,
                tax=group.tax,
            )
            for group in invoice.groups
        ),
        credit_note_number=read_text("credit_note_number", invoice.credit_note_number),
    )


def _payment(common: BillingEvent, payment: pb.PaymentEvent) -> PaymentEvent:
    is_refund = common.event_type == "payment.refunded"
    return PaymentEvent(
        event_id=common.event_id,
        event_type=common.event_type,
        patient_id=common.patient_id,
        effective_at=common.effective_at,
        currency=common.currency,
        payment_id=read_required("payment_id", payment.payment_id),
        refund_id=read_required("refund_id", payment.refund_id) if is_refund else "",
        payer_id=read_text("payer_id", payment.payer_id),
        method=read_text("method", payment.method),
        amount=payment.amount,
    )
