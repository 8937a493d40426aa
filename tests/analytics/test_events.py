from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from apps.analytics.events.billing import parse_billing_event
from apps.analytics.events.fields import MAX_TEXT_CHARACTERS
from apps.analytics.events.patient import ClinicalEvent, PatientEvent, parse_event
from apps.kit.event_batch import UnreadableError
from protos.patient.v1 import events_pb2 as pb
from tests.analytics.billing_events import charge, invoice
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


def test_longest_texts_are_read() -> None:
    longest = "x" * MAX_TEXT_CHARACTERS
    fields: dict[str, Any] = {"patient_id": longest, "version_id": 1}
    event = parse_event(
        patient_event(**fields, demographics=pb.Demographics(gender=longest)).SerializeToString()
    )
    assert isinstance(event, PatientEvent)
    assert (event.patient_id, event.gender, event.version_id) == (longest, longest, 1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"version": 0}, "invalid_version"),
        ({"issued_on": ""}, "missing_issued_on"),
        ({"issued_on": "soon"}, "invalid_issued_on"),
        ({"due_on": "2026-02-30"}, "invalid_due_on"),
        ({"invoice_id": ""}, "missing_invoice_id"),
        ({"payer_id": "p" * (MAX_TEXT_CHARACTERS + 1)}, "invalid_payer_id"),
    ],
)
def test_invoice_that_cannot_be_relied_on_is_unreadable(
    fields: dict[str, Any], reason: str
) -> None:
    message = invoice("invoice.issued", "2026-03-01", "i", 1, open=500)
    parse_billing_event(message.SerializeToString())
    for name, value in fields.items():
        setattr(message.invoice, name, value)
    assert billing_reason_of(message.SerializeToString()) == reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"currency": "usd"}, "invalid_currency"),
        ({"currency": ""}, "invalid_currency"),
        ({"event_id": "banana"}, "invalid_event_id"),
        ({"patient_id": ""}, "missing_patient_id"),
        ({"event_type": "invoice.lost"}, "unknown_event_type"),
    ],
)
def test_billing_event_that_cannot_be_relied_on_is_unreadable(
    fields: dict[str, Any], reason: str
) -> None:
    message = charge("charge.added", "2026-03-01", "c", 500)
    parse_billing_event(message.SerializeToString())
    for name, value in fields.items():
        setattr(message, name, value)
    assert billing_reason_of(message.SerializeToString()) == reason


def test_billing_event_without_its_time_or_any_content_is_unreadable() -> None:
    message = charge("charge.added", "2026-03-01", "c", 500)
    message.effective_at.seconds = 2**62
    assert billing_reason_of(message.SerializeToString()) == "invalid_effective_at"
    message.ClearField("effective_at")
    assert billing_reason_of(message.SerializeToString()) == "missing_effective_at"
    assert billing_reason_of(b"\xff\xff\xff") == "not_protobuf"
    assert billing_reason_of(b"") == billing_reason_of(None) == "empty"


def billing_reason_of(value: bytes | None) -> str:
    with pytest.raises(UnreadableError) as refused:
        parse_billing_event(value)
    return refused.value.reason


def reason_of(value: bytes | None) -> str:
    with pytest.raises(UnreadableError) as refused:
        parse_event(value)
    return refused.value.reason
