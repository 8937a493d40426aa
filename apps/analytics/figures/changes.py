"""What a batch of events changes in the figures. Pure: the SQL is in `storage`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from apps.analytics.events.billing import ChargeEvent, InvoiceEvent, MoneyEvent, PaymentEvent
from apps.analytics.events.patient import ClinicalEvent, PatientEvent

# Days begin at a quarter of an hour of UTC in every time zone.
QUARTER_MINUTES = 15

Event = PatientEvent | ClinicalEvent | MoneyEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """`registrations`: how many, by quarter of an hour. `patients`, `facts`: the newest
    event of each.
    """

    registrations: Sequence[tuple[datetime, int]]
    patients: Sequence[PatientEvent]
    facts: Sequence[ClinicalEvent]
    charges: Sequence[ChargeEvent]
    invoices: Sequence[InvoiceEvent]
    payments: Sequence[PaymentEvent]


def changes_of(events: Iterable[Event]) -> Changes:
    """Returns what the events, each given once, change.

    Everything is sorted by key, so that transactions at once take their locks in one order.
    """
    registrations: Counter[datetime] = Counter()
    patients: dict[str, PatientEvent] = {}
    facts: dict[tuple[str, str], ClinicalEvent] = {}
    charges: dict[str, ChargeEvent] = {}
    invoices: dict[tuple[str, int], InvoiceEvent] = {}
    payments: dict[tuple[str, str], PaymentEvent] = {}

    for event in events:
        match event:
            case PatientEvent():
                if event.event_type == "patient.created":
                    registrations[quarter_of(event.occurred_at)] += 1
                known = patients.get(event.patient_id)
                if known is None or known.version_id < event.version_id:
                    patients[event.patient_id] = event
            case ClinicalEvent():
                key = (event.resource_type, event.resource_id)
                earlier = facts.get(key)
                if earlier is None or earlier.version_id < event.version_id:
                    facts[key] = event
            case ChargeEvent():
                # Voided for good, whichever of its two events comes first.
                if event.event_type == "charge.voided" or event.charge_item_id not in charges:
                    charges[event.charge_item_id] = event
            case InvoiceEvent():
                invoices[event.invoice_id, event.version] = event
            case PaymentEvent():
                payments[event.payment_id, event.refund_id] = event

    return Changes(
        registrations=sorted(registrations.items()),
        patients=[patients[key] for key in sorted(patients)],
        facts=[facts[key] for key in sorted(facts)],
        charges=[charges[key] for key in sorted(charges)],
        invoices=[invoices[key] for key in sorted(invoices)],
        payments=[payments[key] for key in sorted(payments)],
    )


def quarter_of(time: datetime) -> datetime:
    """Returns the beginning of the quarter of an hour that `time` lies in."""
    minute = time.minute - time.minute % QUARTER_MINUTES
    return time.replace(minute=minute, second=0, microsecond=0)
