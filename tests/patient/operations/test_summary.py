"""The lines and sections of a patient summary."""

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.patient.operations.summary import SECTIONS, Filled, document_of, line_of
from tests.patient.patient_service import Service

BASE = "http://platform.test/fhir/R4"


@pytest.mark.parametrize(
    ("resource", "line"),
    [
        ({}, "Not coded"),
        ({"code": {"text": "Asthma", "coding": [{"display": "x"}]}}, "Asthma"),
        ({"code": {"coding": [{"display": "Asthma", "code": "1"}]}}, "Asthma"),
        ({"code": {"coding": [{"code": "1"}, {"display": "x"}]}}, "1"),
        ({"code": {}}, "Not coded"),
        ({"vaccineCode": {"text": "Flu"}}, "Flu"),
        ({"medicationCodeableConcept": {"text": "Aspirin"}}, "Aspirin"),
        ({"medicationReference": {"display": "Aspirin"}}, "Aspirin"),
        ({"medicationReference": {"reference": "Medication/1"}}, "Not coded"),
        (
            {"code": {"text": "Weight"}, "valueQuantity": {"value": 70, "unit": "kg"}},
            "Weight, 70 kg",
        ),
        ({"code": {"text": "Score"}, "valueQuantity": {"value": 0}}, "Score, 0"),
        (
            {"code": {"text": "Score"}, "valueQuantity": {"unit": "kg"}, "valueString": "none"},
            "Score, none",
        ),
        (
            {"code": {"text": "Smoking"}, "valueCodeableConcept": {"text": "never"}},
            "Smoking, never",
        ),
        ({"onsetDateTime": "2020-01-02T10:00:00Z"}, "Not coded, 2020-01-02"),
        (
            {"recordedDate": "2024-01-01", "performedDateTime": "2023"},
            "Not coded, 2023",
        ),
    ],
)
def test_line_tells_what_a_resource_says(resource: dict[str, Any], line: str) -> None:
    assert line_of(resource) == line


def test_document_has_each_resource_once_and_the_sections_that_are_required() -> None:
    condition = {"resourceType": "Condition", "id": "c", "code": {"text": "a < b"}}
    seen = {"resourceType": "Observation", "id": "o"}
    same_id = {"resourceType": "Observation", "id": "c"}
    found: dict[str, list[dict[str, Any]]] = {
        "Problems": [condition],
        "Results": [seen, same_id],
        "Vital signs": [seen],
    }
    filled = [Filled(section=each, resources=found.get(each.title, ())) for each in SECTIONS]
    now = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
    document = document_of(BASE, {"resourceType": "Patient", "id": "p"}, filled, now)
    assert document["timestamp"] == "2026-01-02T03:04:05Z"
    kinds = [entry["fullUrl"].removeprefix(f"{BASE}/") for entry in document["entry"]]
    assert kinds[1] == "Patient/p"
    assert kinds[3:] == ["Condition/c", "Observation/o", "Observation/c"]
    sections = document["entry"][0]["resource"]["section"]
    assert [section["title"] for section in sections] == [
        "Problems",
        "Allergies and intolerances",
        "Medication",
        "Results",
        "Vital signs",
    ]
    for section in sections:
        assert ("entry" in section) is not ("emptyReason" in section)
        assert ("entry" in section) == (section["title"] in found)
    assert "<li>a &lt; b</li>" in sections[0]["text"]["div"]
    assert "No information" in sections[1]["text"]["div"]


@pytest.mark.integration
def test_parameter_of_a_summary_is_refused_by_its_beginning(service: Service) -> None:
    answer = service.call("GET", f"/fhir/R4/Patient/p/$summary?{'x' * 101}=1")
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == [f"http.{'x' * 100}"]
