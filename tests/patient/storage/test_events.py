"""Messages written with a change."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from apps.patient.search.index.index_rows import INDEX_VERSION
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
    event = events_pb2.PatientEvent.FromString(kafka.payload)
    assert (event.demographics.birth_year, event.demographics.postal_prefix) == (1990, "023")
    stored = Stored(
        version=change.version,
        number=1,
        value_hashes=(),
        target_hashes=frozenset(),
        ranges_hash=0,
        mrn=None,
        index_version=INDEX_VERSION,
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


def coverage_terms_of(**elements: Any) -> events_pb2.CoverageTerms:
    coverage = {
        "resourceType": "Coverage",
        "status": "active",
        "beneficiary": {"reference": "Patient/p"},
        **elements,
    }
    change = change_of(
        coverage, id="c", base_url=BASE, recorded_at=moment(2026, 1, 1), method="POST"
    )
    message = messages_of(change, Author("actor", "client", "request", "trace"))[-1]
    return events_pb2.PatientEvent.FromString(message.payload).clinical.coverage


def copay(code: str, **value: Any) -> dict[str, Any]:
    return {"type": {"coding": [{"code": code}]}, **value}


def test_coverage_tells_who_pays_in_which_order_and_the_patients_part() -> None:
    terms = coverage_terms_of(
        order=2,
        subscriberId="member-4711",
        payor=[
            {"reference": "Patient/p", "display": "Jane Doe"},
            {"reference": f"{BASE}/Organization/plan"},
        ],
        period={"start": "2026-02", "end": "2026"},
        costToBeneficiary=[
            copay("deductible", valueMoney={"value": 500, "currency": "USD"}),
            copay("copaypct", valueQuantity={"value": Decimal("12.5"), "unit": "%"}),
        ],
    )
    assert terms == events_pb2.CoverageTerms(
        payer_id="plan",
        order=2,
        valid_from="2026-02-01",
        valid_to="2026-12-31",
        copay_basis_points=1_250,
    )


def test_coverage_with_an_amount_keeps_it_exact_and_a_patient_is_no_payer() -> None:
    amount = {"value": Decimal("20.50"), "currency": "USD"}
    terms = coverage_terms_of(
        payor=[{"reference": "Patient/p"}], costToBeneficiary=[copay("copay", valueMoney=amount)]
    )
    assert (terms.payer_id, terms.copay_amount, terms.copay_currency) == ("", "20.50", "USD")
