"""What happened, for the others: past tense and minimal. Never a name, an address, a contact or
free text. Pure.
"""

from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from apps.kit.context import new_id
from apps.patient.codec import decode
from apps.patient.storage.coverage_terms import coverage_terms
from apps.patient.storage.summaries import ClinicalSummary, PatientSummary
from apps.patient.storage.versions import Author, Change
from protos.billing.v1 import billing_pb2
from protos.patient.v1 import events_pb2

POSTAL_PREFIX_CHARS = 3
_PATIENT_EVENTS = {
    "POST": "patient.created",
    "PUT": "patient.updated",
    "PATCH": "patient.updated",
    "DELETE": "patient.deleted",
}
_CLINICAL_EVENTS = {
    "POST": "clinical.recorded",
    "PUT": "clinical.amended",
    "PATCH": "clinical.amended",
    "DELETE": "clinical.deleted",
}


@dataclass(frozen=True, slots=True)
class Message:
    """An entry of the outbox: `payload` for one `destination`."""

    destination: str
    patient_id: str
    event_id: str
    payload: bytes


def messages_of(change: Change, author: Author) -> list[Message]:
    """Returns the event for `kafka` and, for a new patient, the account for `billing` to open.

    None for what belongs to no patient's record: events are keyed by patient.
    """
    patient_id = change.version.patient_id
    if patient_id is None:
        return []
    event_id = new_id()
    event = _event(change, author, event_id, patient_id)
    messages = [Message("kafka", patient_id, event_id, event.SerializeToString())]
    if event.event_type == "patient.created":
        # The event's id is billing's request id: however often it is sent, it is one request.
        opening = billing_pb2.CreateBillingAccountRequest(
            request_id=event_id, patient_id=patient_id
        )
        messages.insert(0, Message("billing", patient_id, event_id, opening.SerializeToString()))
    return messages


def _event(
    change: Change, author: Author, event_id: str, patient_id: str
) -> events_pb2.PatientEvent:
    version, summary = change.version, change.summary
    names = _PATIENT_EVENTS if version.resource_type == "Patient" else _CLINICAL_EVENTS
    event = events_pb2.PatientEvent(
        event_id=event_id,
        patient_id=patient_id,
        event_type=names["POST" if version.version_id == 1 else version.method],
        version_id=version.version_id,
        actor_id=author.actor_id,
        correlation_id=author.request_id,
    )
    event.occurred_at.FromDatetime(version.recorded_at)
    if isinstance(summary, PatientSummary):
        if version.body is not None:
            event.demographics.birth_year = int((summary.birth_date or "0")[:4])
            event.demographics.gender = summary.gender or ""
            event.demographics.postal_prefix = (summary.postal_code or "")[:POSTAL_PREFIX_CHARS]
            event.demographics.merged_into = summary.merged_into or ""
    else:
        event.clinical.CopyFrom(_clinical(change, summary))
    return event


def _clinical(change: Change, summary: ClinicalSummary) -> events_pb2.ClinicalFact:
    fact = events_pb2.ClinicalFact(
        resource_type=change.version.resource_type,
        resource_id=change.version.id,
        category=summary.categories[0].code if summary.categories else "",
        status=summary.status or "",
        encounter_id=summary.encounter_id or "",
    )
    if summary.codings:
        fact.code.system, fact.code.code = summary.codings[0].system, summary.codings[0].code
    if summary.happened_at is not None:
        moment = Timestamp()
        moment.FromDatetime(summary.happened_at)
        fact.effective_at.CopyFrom(moment)
    if summary.ended_at is not None:
        fact.ended_at.FromDatetime(summary.ended_at)
    if change.version.resource_type == "Coverage" and change.version.body is not None:
        fact.coverage.CopyFrom(coverage_terms(decode(change.version.body)))
    if summary.reasons:
        fact.reason.system, fact.reason.code = summary.reasons[0].system, summary.reasons[0].code
    return fact
