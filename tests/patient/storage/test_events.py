"""Messages written with a change."""

from datetime import UTC, datetime

from apps.patient.storage.events import messages_of
from apps.patient.storage.versions import Author, Stored, change_of
from protos.patient.v1 import events_pb2

BASE = "http://platform.test/fhir/R4"


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def test_new_patient_is_an_event_and_an_account_under_one_id() -> None:
    author = Author("actor", "client", "request", "trace")
    resource = {
        "resourceType": "Patient",
        "birthDate": "1990-01-31",
        "address": [{"postalCode": "02332"}],
    }
    change = change_of(
        resource,
        id="p",
        base_url=BASE,
        recorded_at=moment(2026, 1, 1),
        method="POST",
    )
    billing, kafka = messages_of(change, author)
    assert (billing.destination, kafka.destination) == ("billing", "kafka")
    assert billing.event_id == kafka.event_id
    assert b"02332" not in kafka.payload
    assert b"023" in kafka.payload
    stored = Stored(
        version=change.version,
        number=1,
        value_hashes=(),
        target_hashes=frozenset(),
        ranges_hash=0,
        mrn=None,
    )
    again = change_of(
        resource,
        id="p",
        base_url=BASE,
        stored=stored,
        recorded_at=moment(2026, 1, 1),
        method="PUT",
    )
    assert [message.destination for message in messages_of(again, author)] == ["kafka"]


def test_events_name_the_encounter_and_the_patient_that_replaces_another() -> None:
    author = Author("actor", "client", "request", "trace")
    procedure = {
        "resourceType": "Procedure",
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "encounter": {"reference": "Encounter/e-1/_history/2"},
        "code": {"coding": [{"system": "s", "code": "c"}]},
    }
    replaced = {
        "resourceType": "Patient",
        "link": [
            {"type": "seealso", "other": {"reference": "Patient/other"}},
            {"type": "replaced-by", "other": {"reference": f"{BASE}/Patient/q"}},
        ],
    }
    events = []
    for resource in (procedure, replaced):
        change = change_of(
            resource, id="p", base_url=BASE, recorded_at=moment(2026, 1, 1), method="POST"
        )
        message = messages_of(change, author)[-1]
        events.append(events_pb2.PatientEvent.FromString(message.payload))
    assert events[0].clinical.encounter_id == "e-1"
    assert events[1].demographics.merged_into == "q"
