"""Reads what comes over the topic `patient`: what billing has to do for an event, or
nothing. Pure.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from google.protobuf.message import DecodeError

from apps.billing.charges.rules import CoverageFact, Fact, charged_code, concerns_billing
from apps.billing.parsing import FHIR_ID
from apps.kit.event_batch import UnreadableError
from protos.patient.v1 import events_pb2 as pb

MAX_TEXT_CHARACTERS = 256
WHOLE_BASIS_POINTS = 10_000
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")


@dataclass(frozen=True, slots=True)
class Removed:
    patient_id: str


@dataclass(frozen=True, slots=True)
class Merged:
    """`merged_into` is empty where the patient stands for itself."""

    patient_id: str
    merged_into: str


@dataclass(frozen=True, slots=True)
class Step:
    event_id: UUID
    actor_id: str
    correlation_id: str
    what: Removed | Merged | Fact | CoverageFact


def read_event(value: bytes | None) -> Step | None:
    """Returns what is to be done, or None for an event that billing does not need; raises
    UnreadableError.
    """
    event = pb.PatientEvent()
    try:
        event.ParseFromString(value or b"")
    except DecodeError:
        raise UnreadableError("not_protobuf") from None
    if not FHIR_ID.fullmatch(event.patient_id):
        raise UnreadableError("invalid_patient_id")
    try:
        event_id = UUID(event.event_id)
    except ValueError:
        raise UnreadableError("invalid_event_id") from None
    what = _read_step(event)
    if what is None:
        return None
    actor_id = event.actor_id[:MAX_TEXT_CHARACTERS].replace("\0", "")
    return Step(event_id, actor_id, event.correlation_id, what)


def _read_step(event: pb.PatientEvent) -> Removed | Merged | Fact | CoverageFact | None:
    match event.event_type:
        case "patient.created":
            # The record's outbox asks for the account by gRPC (decision 0304), and whatever comes
            # before it opens one.
            return None
        case "patient.updated":
            merged_into = event.demographics.merged_into
            if merged_into and not FHIR_ID.fullmatch(merged_into):
                raise UnreadableError("invalid_merged_into")
            return Merged(event.patient_id, merged_into)
        case "patient.deleted":
            return Removed(event.patient_id)
        case "clinical.recorded" | "clinical.amended" | "clinical.deleted":
            return _read_fact(event)
        case _:
            raise UnreadableError("unknown_event_type")


def _read_fact(event: pb.PatientEvent) -> Fact | CoverageFact | None:
    clinical = event.clinical
    is_coverage = clinical.resource_type == "Coverage"
    if not is_coverage and not concerns_billing(clinical.resource_type):
        return None
    if not FHIR_ID.fullmatch(clinical.resource_id):
        raise UnreadableError("invalid_resource_id")
    if event.version_id < 1:
        raise UnreadableError("invalid_version_id")
    texts = (clinical.status, clinical.code.system, clinical.code.code, clinical.encounter_id)
    if any(len(text) > MAX_TEXT_CHARACTERS or "\0" in text for text in texts):
        raise UnreadableError("invalid_text")
    if is_coverage:
        return _read_coverage(event)
    system, code = charged_code(
        clinical.resource_type, clinical.code.system, clinical.code.code, clinical.category
    )
    return Fact(
        patient_id=event.patient_id,
        resource_type=clinical.resource_type,
        resource_id=clinical.resource_id,
        version=event.version_id,
        deleted=event.event_type == "clinical.deleted",
        status=clinical.status,
        system=system,
        code=code,
        occurred_at=_moment(event),
        encounter_id=clinical.encounter_id,
    )


def _read_coverage(event: pb.PatientEvent) -> CoverageFact:
    clinical, terms = event.clinical, event.clinical.coverage
    if terms.payer_id and not FHIR_ID.fullmatch(terms.payer_id):
        raise UnreadableError("invalid_payer_id")
    if terms.order < 0:
        raise UnreadableError("invalid_order")
    if not 0 <= terms.copay_basis_points <= WHOLE_BASIS_POINTS:
        raise UnreadableError("invalid_copay")
    valid_from, valid_to = _day(terms.valid_from), _day(terms.valid_to)
    if valid_from and valid_to and valid_to < valid_from:
        raise UnreadableError("invalid_period")
    return CoverageFact(
        patient_id=event.patient_id,
        coverage_id=clinical.resource_id,
        version=event.version_id,
        deleted=event.event_type == "clinical.deleted",
        status=clinical.status,
        payer_id=terms.payer_id,
        order=terms.order,
        valid_from=valid_from,
        valid_to=valid_to,
        copay_basis_points=terms.copay_basis_points,
        copay_amount=_amount(terms.copay_amount),
        copay_currency=terms.copay_currency,
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise UnreadableError("invalid_period") from None


def _amount(text: str) -> Decimal | None:
    if text and not _DECIMAL.fullmatch(text):
        raise UnreadableError("invalid_copay")
    return Decimal(text) if text else None


def _moment(event: pb.PatientEvent) -> datetime:
    """Gives when the service was rendered, else when the record learnt of it."""
    stamp = (
        event.clinical.effective_at
        if event.clinical.HasField("effective_at")
        else event.occurred_at
    )
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise UnreadableError("invalid_time") from None
