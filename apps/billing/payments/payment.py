"""Payments: rows, messages and events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.billing.money import render_money
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1 import events_pb2

METHODS = {
    "cash": pb.PAYMENT_METHOD_CASH,
    "card": pb.PAYMENT_METHOD_CARD,
    "transfer": pb.PAYMENT_METHOD_TRANSFER,
}
METHOD_NAMES = {value: name for name, value in METHODS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    payment_id: UUID
    account_id: UUID
    currency: str
    # Empty for the patient.
    payer_id: str
    # cash | card | transfer
    method: str
    amount: int
    refunded: int
    allocated: int
    version: int
    reference: str
    receipt_number: str
    received_at: datetime
    cash_day_id: UUID | None

    @property
    def unallocated(self) -> int:
        """Returns what is left of it as credit."""
        return self.amount - self.refunded - self.allocated


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    refund_id: UUID
    payment_id: UUID
    amount: int
    reason: str
    cash_day_id: UUID | None
    refunded_at: datetime


def render_payment(
    payment: Payment, allocations: Sequence[tuple[UUID, int]] = (), refunds: Sequence[Refund] = ()
) -> pb.Payment:
    message = pb.Payment(
        payment_id=str(payment.payment_id),
        invoice_id=str(allocations[0][0]) if len(allocations) == 1 else "",
        amount=render_money(payment.amount, payment.currency),
        refunded=render_money(payment.refunded, payment.currency),
        account_id=str(payment.account_id),
        payer_id=payment.payer_id,
        method=METHODS[payment.method],
        allocations=[
            render_allocation(invoice_id, amount, payment.currency)
            for invoice_id, amount in allocations
        ],
        unallocated=render_money(payment.unallocated, payment.currency),
        reference=payment.reference,
        version=payment.version,
        receipt_number=payment.receipt_number,
    )
    message.received_at.FromDatetime(payment.received_at)
    for refund in refunds:
        added = message.refunds.add(
            refund_id=str(refund.refund_id),
            amount=render_money(refund.amount, payment.currency),
            reason=refund.reason,
        )
        added.refunded_at.FromDatetime(refund.refunded_at)
    return message


def render_allocation(invoice_id: UUID, amount: int, currency: str) -> pb.Allocation:
    return pb.Allocation(invoice_id=str(invoice_id), amount=render_money(amount, currency))


def payment_event(
    event_type: str,
    payment: Payment,
    patient_id: str,
    *,
    amount: int,
    effective_at: datetime,
    refund_id: str = "",
) -> events_pb2.BillingEvent:
    event = events_pb2.BillingEvent(
        patient_id=patient_id,
        account_id=str(payment.account_id),
        event_type=event_type,
        currency=payment.currency,
        payment=events_pb2.PaymentEvent(
            payment_id=str(payment.payment_id),
            payer_id=payment.payer_id,
            method=payment.method,
            amount=amount,
            refund_id=refund_id,
        ),
    )
    event.occurred_at.GetCurrentTime()
    event.effective_at.FromDatetime(effective_at)
    return event
