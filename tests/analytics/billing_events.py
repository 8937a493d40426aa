"""Makes events of the topic `billing`."""

from datetime import UTC, datetime
from typing import Any

from apps.kit.context import new_id
from protos.billing.v1 import events_pb2 as pb


def billing_event(event_type: str, day: str, **fields: Any) -> pb.BillingEvent:
    """`day`: when it counts, a date or a date-time of UTC."""
    event = pb.BillingEvent(
        event_id=new_id(),
        patient_id=fields.pop("patient_id", "patient-1"),
        event_type=event_type,
        currency=fields.pop("currency", "USD"),
        **fields,
    )
    event.effective_at.FromDatetime(datetime.fromisoformat(day).replace(tzinfo=UTC))
    return event


def charge(event_type: str, day: str, item: str, net: int, **fields: Any) -> pb.BillingEvent:
    payload = pb.ChargeEvent(charge_item_id=item, revenue_group="visits", net=net)
    return billing_event(event_type, day, charge=payload, **fields)


def invoice(
    event_type: str,
    day: str,
    invoice_id: str,
    version: int,
    *,
    open: int,
    total: int = 10_000,
    issued_on: str = "2026-03-01",
    due_on: str = "2026-03-31",
    groups: dict[str, tuple[int, int]] | None = None,
    credit_note: str = "",
    payer_id: str = "",
    **fields: Any,
) -> pb.BillingEvent:
    """`groups`: net and tax by revenue group."""
    payload = pb.InvoiceEvent(
        invoice_id=invoice_id,
        version=version,
        payer_id=payer_id,
        total=total,
        open=open,
        issued_on=issued_on,
        due_on=due_on,
        groups=[
            pb.GroupAmount(revenue_group=name, net=net, tax=tax)
            for name, (net, tax) in (groups or {}).items()
        ],
        credit_note_number=credit_note,
    )
    return billing_event(event_type, day, invoice=payload, **fields)


def payment(day: str, payment_id: str, amount: int, refund: str = "") -> pb.BillingEvent:
    payload = pb.PaymentEvent(payment_id=payment_id, refund_id=refund, method="card", amount=amount)
    return billing_event("payment.refunded" if refund else "payment.recorded", day, payment=payload)
