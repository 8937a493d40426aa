"""What happened, for the others: past tense and minimal. Never a name, an address, a contact or free text. Pure."""

from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from apps.kit.context import new_id
from apps.patient.search.index_columns import ClinicalColumns, PatientColumns
from apps.patient.storage.versions import Author, Change
from protos.billing.v1 import billing_pb2
from protos.patient.v1 import events_pb2

POSTAL_PREFIX_CHARS = 3
_PATIENT_EVENTS = {"POST": "patient.created", "PUT": "patient.updated", "DELETE": "patient.deleted"}
_CLINICAL_EVENTS = {
    "POST": "clinical.recorded",
    "PUT": "clinical.amended",
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
    """The event for `kafka` and, for a new patient, the account for `billing` to open."""
    version = change.version
    event_id = new_id()
    event = _event(change, author, event_id)
    messages = [Message("kafka", version.patient_id, event_id, event.SerializeToString())]
    if event.event_type == "patient.created":
        # The event's id is billing's request id: however often it is sent, it is one request.
        opening = billing_pb2.CreateBillingAccountRequest(
            request_id=event_id, patient_id=version.patient_id
        )
        messages.insert(
            0, Message("billing", version.patient_id, event_id, opening.SerializeToString())
        )
    return messages


def _event(change: Change, author: Author, event_id: str) -> events_pb2.PatientEvent:
    version, columns = change.version, change.columns
    names = _PATIENT_EVENTS if version.resource_type == "Patient" else _CLINICAL_EVENTS
    event = events_pb2.PatientEvent(
        event_id=event_id,
        patient_id=version.patient_id,
        event_type=names[version.method],
        version_id=version.version_id,
        actor_id=author.actor_id,
        correlation_id=author.request_id,
    )
    event.occurred_at.FromDatetime(version.recorded_at)
    if isinstance(columns, PatientColumns):
        if version.body is not None:
            event.demographics.birth_year = int((columns.birth_date or "0")[:4])
            event.demographics.gender = columns.gender or ""
            event.demographics.postal_prefix = (columns.postal_code or "")[:POSTAL_PREFIX_CHARS]
    else:
        event.clinical.CopyFrom(_clinical(change, columns))
    return event


def _clinical(change: Change, columns: ClinicalColumns) -> events_pb2.ClinicalFact:
    fact = events_pb2.ClinicalFact(
        resource_type=change.version.resource_type,
        resource_id=change.version.id,
        category=columns.categories[0].code if columns.categories else "",
        status=columns.status or "",
    )
    if columns.codings:
        fact.code.system, fact.code.code = columns.codings[0].system, columns.codings[0].code
    if columns.happened_at is not None:
        moment = Timestamp()
        moment.FromDatetime(columns.happened_at)
        fact.effective_at.CopyFrom(moment)
    return fact
