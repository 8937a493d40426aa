"""What the record tells of a patient, and billing that follows it."""

from datetime import UTC, datetime
from typing import Any

from apps.billing.charges.consumer import apply_to
from apps.billing.charges.patient_events import read_event
from apps.billing.settings import Settings
from apps.kit.context import new_id
from protos.billing.v1 import billing_pb2 as pb
from protos.patient.v1 import events_pb2 as events
from tests.billing.conftest import ENVIRONMENT, Client

SNOMED = "http://snomed.info/sct"
DAY = datetime(2026, 3, 1, 9, tzinfo=UTC)


def patient_event(patient_id: str, event_type: str, **demographics: Any) -> events.PatientEvent:
    event = events.PatientEvent(
        event_id=new_id(),
        patient_id=patient_id,
        event_type=event_type,
        version_id=1,
        actor_id="user-9",
        correlation_id="request-9",
        demographics=events.Demographics(**demographics),
    )
    event.occurred_at.FromDatetime(DAY)
    return event


def fact(
    patient_id: str,
    resource_id: str,
    version: int = 1,
    *,
    kind: str = "Procedure",
    status: str = "completed",
    code: str = "430193006",
    event_type: str = "clinical.recorded",
    day: datetime = DAY,
    actor_id: str = "user-9",
    correlation_id: str = "request-9",
) -> events.PatientEvent:
    event = events.PatientEvent(
        event_id=new_id(),
        patient_id=patient_id,
        event_type=event_type,
        version_id=version,
        actor_id=actor_id,
        correlation_id=correlation_id,
        clinical=events.ClinicalFact(
            resource_type=kind,
            resource_id=resource_id,
            code=events.Coding(system=SNOMED, code=code),
            status=status,
            encounter_id="encounter-1",
        ),
    )
    event.occurred_at.FromDatetime(day)
    event.clinical.effective_at.FromDatetime(day)
    return event


async def follow(billing: Client, *given: events.PatientEvent) -> None:
    apply = apply_to(Settings.from_environment(ENVIRONMENT))
    steps = [read_event(event.SerializeToString()) for event in given]
    async with billing.database.transaction() as connection:
        await apply(connection, [step for step in steps if step is not None])


async def price(billing: Client, code: str, amount: int, valid_from: str = "2000-01-01") -> Any:
    return await billing.do(
        "SetPrices",
        prices=[
            {
                "system": SNOMED,
                "code": code,
                "description": f"Service {code}",
                "unit_price": {"minor_units": amount},
                "revenue_group": "procedures",
                "valid_from": valid_from,
            }
        ],
    )


async def charges_of(billing: Client, patient_id: str) -> list[pb.ChargeItem]:
    account = await billing.do("GetAccountByPatient", patient_id=patient_id)
    answer = await billing.do("ListChargeItems", account_id=account.account_id)
    return list(answer.charge_items)
