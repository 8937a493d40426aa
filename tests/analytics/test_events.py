from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from apps.analytics.events.patient import ClinicalEvent, PatientEvent, parse_event
from apps.kit.event_batch import UnreadableError
from protos.patient.v1 import events_pb2 as pb
from tests.analytics.conftest import clinical_event, patient_event


def test_patient_event_is_read() -> None:
    message = patient_event(patient_id="p1", version_id=7)
    event = parse_event(message.SerializeToString())
    assert isinstance(event, PatientEvent)
    assert (str(event.event_id), event.patient_id, event.version_id) == (message.event_id, "p1", 7)
    assert event.occurred_at == datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert (event.birth_year, event.gender, event.postal_prefix) == (1980, "female", "021")


def test_clinical_event_is_read() -> None:
    event = parse_event(
        clinical_event(code=pb.Coding(system="s", code="c"), category="AMB").SerializeToString()
    )
    assert isinstance(event, ClinicalEvent)
    assert (event.system, event.code, event.category, event.effective_at) == ("s", "c", "AMB", None)


def test_registration_without_demographics_still_counts() -> None:
    event = parse_event(patient_event(demographics=None).SerializeToString())
    assert isinstance(event, PatientEvent)
    assert (event.birth_year, event.gender) == (0, "")


@pytest.mark.parametrize("value", [None, b""])
def test_empty_event_is_unreadable(value: bytes | None) -> None:
    assert reason_of(value) == "empty"


def test_garbage_is_unreadable() -> None:
    assert reason_of(b"\xff\xff\xff") == "not_protobuf"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"event_type": "patient.exploded"}, "unknown_event_type"),
        ({"event_type": ""}, "unknown_event_type"),
        ({"event_id": "banana"}, "invalid_event_id"),
        ({"patient_id": ""}, "missing_patient_id"),
        ({"patient_id": "a" * 257}, "invalid_patient_id"),
        ({"version_id": 0}, "invalid_version_id"),
        ({"occurred_at": Timestamp(seconds=2**62)}, "invalid_occurred_at"),
        ({"demographics": pb.Demographics(gender="fe\0male")}, "invalid_gender"),
    ],
)
def test_event_that_cannot_be_relied_on_is_unreadable(fields: dict[str, Any], reason: str) -> None:
    assert reason_of(patient_event(**fields).SerializeToString()) == reason


def test_event_without_its_time_is_unreadable() -> None:
    message = patient_event()
    message.ClearField("occurred_at")
    assert reason_of(message.SerializeToString()) == "missing_occurred_at"


def test_clinical_event_without_its_fact_is_unreadable() -> None:
    assert (
        reason_of(patient_event("clinical.recorded").SerializeToString()) == "missing_resource_type"
    )


def reason_of(value: bytes | None) -> str:
    with pytest.raises(UnreadableError) as refused:
        parse_event(value)
    return refused.value.reason
