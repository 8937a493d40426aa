"""Reads events of the topic `patient`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from google.protobuf.message import DecodeError

from apps.analytics.events.fields import read_event_id, read_required, read_text, read_time
from apps.kit.event_batch import UnreadableError
from protos.patient.v1 import events_pb2 as pb

PATIENT_TYPES = frozenset({"patient.created", "patient.updated", "patient.deleted"})
CLINICAL_TYPES = frozenset({"clinical.recorded", "clinical.amended", "clinical.deleted"})
# The resource types that figures are made of.
FACT_TYPES = frozenset({"Condition", "Encounter", "Immunization", "MedicationRequest", "Procedure"})


@dataclass(frozen=True, slots=True)
class PatientEvent:
    event_id: UUID
    event_type: str
    patient_id: str
    version_id: int
    occurred_at: datetime
    # 0 and empty where it is not known.
    birth_year: int
    gender: str
    postal_prefix: str


@dataclass(frozen=True, slots=True)
class ClinicalEvent:
    event_id: UUID
    event_type: str
    patient_id: str
    version_id: int
    occurred_at: datetime
    resource_type: str
    resource_id: str
    system: str
    code: str
    # Encounter.class, or the first category's code.
    category: str
    status: str
    effective_at: datetime | None
    ended_at: datetime | None
    reason_system: str
    reason_code: str


Event = PatientEvent | ClinicalEvent


def parse_event(value: bytes | None) -> Event | None:
    """Returns the event in a record's value, or None for a fact that no figure is made of; raises
    UnreadableError.
    """
    if not value:
        raise UnreadableError("empty")
    message = pb.PatientEvent()
    try:
        message.ParseFromString(value)
    except DecodeError:
        raise UnreadableError("not_protobuf") from None
    if message.event_type not in PATIENT_TYPES | CLINICAL_TYPES:
        raise UnreadableError("unknown_event_type")
    if not message.HasField("occurred_at"):
        raise UnreadableError("missing_occurred_at")
    if message.version_id < 1:
        raise UnreadableError("invalid_version_id")
    common = (
        read_event_id(message.event_id),
        message.event_type,
        read_required("patient_id", message.patient_id),
        message.version_id,
        read_time("occurred_at", message.occurred_at),
    )
    if message.event_type in PATIENT_TYPES:
        person = message.demographics
        return PatientEvent(
            *common,
            birth_year=person.birth_year,
            gender=read_text("gender", person.gender),
            postal_prefix=read_text("postal_prefix", person.postal_prefix),
        )
    fact = message.clinical
    resource_type = read_required("resource_type", fact.resource_type)
    if resource_type not in FACT_TYPES:
        return None
    return ClinicalEvent(
        *common,
        resource_type=resource_type,
        resource_id=read_required("resource_id", fact.resource_id),
        system=read_text("system", fact.code.system),
        code=read_text("code", fact.code.code),
        category=read_text("category", fact.category),
        status=read_text("status", fact.status),
        effective_at=read_time("effective_at", fact.effective_at)
        if fact.HasField("effective_at")
        else None,
        ended_at=read_time("ended_at", fact.ended_at) if fact.HasField("ended_at") else None,
        reason_system=read_text("reason", fact.reason.system),
        reason_code=read_text("reason", fact.reason.code),
    )
