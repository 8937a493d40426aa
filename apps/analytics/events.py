"""What comes over the topic `patient`, read once: an event that the figures can go by, or the reason why not."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from protos.patient.v1 import events_pb2 as pb

MAX_TEXT_CHARACTERS = 256

PATIENT_TYPES = frozenset({"patient.created", "patient.updated", "patient.deleted"})
CLINICAL_TYPES = frozenset({"clinical.recorded", "clinical.amended", "clinical.deleted"})


class Unreadable(Exception):
    """Nothing can be made of the event; `reason` is short, stable and free of its content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
    category: str
    effective_at: datetime | None


Event = PatientEvent | ClinicalEvent


def parse_event(value: bytes | None) -> Event:
    """Raises Unreadable."""
    if not value:
        raise Unreadable("empty")
    message = pb.PatientEvent()
    try:
        message.ParseFromString(value)
    except DecodeError:
        raise Unreadable("not_protobuf") from None
    if message.event_type not in PATIENT_TYPES | CLINICAL_TYPES:
        raise Unreadable("unknown_event_type")
    if not message.HasField("occurred_at"):
        raise Unreadable("missing_occurred_at")
    if message.version_id < 1:
        raise Unreadable("invalid_version_id")
    common = (
        _event_id(message.event_id),
        message.event_type,
        _required("patient_id", message.patient_id),
        message.version_id,
        _time("occurred_at", message.occurred_at),
    )
    if message.event_type in PATIENT_TYPES:
        person = message.demographics
        return PatientEvent(
            *common,
            birth_year=person.birth_year,
            gender=_text("gender", person.gender),
            postal_prefix=_text("postal_prefix", person.postal_prefix),
        )
    fact = message.clinical
    return ClinicalEvent(
        *common,
        resource_type=_required("resource_type", fact.resource_type),
        resource_id=_required("resource_id", fact.resource_id),
        system=_text("system", fact.code.system),
        code=_text("code", fact.code.code),
        category=_text("category", fact.category),
        effective_at=_time("effective_at", fact.effective_at)
        if fact.HasField("effective_at")
        else None,
    )


def _event_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Unreadable("invalid_event_id") from None


def _required(name: str, text: str) -> str:
    if not text:
        raise Unreadable(f"missing_{name}")
    return _text(name, text)


def _text(name: str, text: str) -> str:
    # PostgreSQL holds no NUL.
    if len(text) > MAX_TEXT_CHARACTERS or "\0" in text:
        raise Unreadable(f"invalid_{name}")
    return text


def _time(name: str, timestamp: Timestamp) -> datetime:
    try:
        return timestamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise Unreadable(f"invalid_{name}") from None
