"""HAPI's validator judges every kind of answer that the record gives."""

import json
from typing import Any

import pytest

from tests.fhir.hapi import errors_of
from tests.patient.patient_service import Service

pytestmark = pytest.mark.fhir

CODE = {"coding": [{"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"}]}
PATIENT = {
    "resourceType": "Patient",
    "name": [{"family": "Strøm", "given": ["Ana"]}],
    "birthDate": "1980-02-29",
    "gender": "female",
}


def observation(patient_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": CODE,
        "subject": {"reference": f"Patient/{patient_id}"},
        "effectiveDateTime": "2024-03-10T20:00:00-05:00",
        "valueQuantity": {"value": 72, "system": "http://unitsofmeasure.org", "code": "/min"},
        **changes,
    }


@pytest.fixture(scope="module")
def patient_id(service: Service) -> str:
    """A patient with two observations, one of them amended."""
    id: str = service.create(PATIENT)["id"]
    service.create(observation(id))
    amended = service.create(observation(id))
    path = f"/fhir/R4/Observation/{amended['id']}"
    assert service.call("PUT", path, json={**amended, "status": "amended"}).status_code == 200
    return id


@pytest.mark.parametrize(
    "path",
    [
        "metadata",
        "Patient/{id}",
        "Patient/{id}/_history",
        "Patient/{id}/_history/1",
        "Observation?patient={id}",
        "Observation?patient={id}&_include=Observation:patient&_count=1&_total=accurate",
        "Patient?_id={id}&_revinclude=Observation:subject",
        "Patient?_id={id}&_summary=true",
        "Patient?_id={id}&_elements=name",
        "Patient?_id={id}&_summary=count",
        "Observation?subject=Patient/none",
        "Observation/_history?_count=5",
        "_history?_count=5",
        "Patient/{id}/Observation",
        "Patient/{id}/$everything",
        "Patient/{id}/$summary",
        "Observation/$lastn?patient={id}",
    ],
)
def test_answer_to_a_read_is_valid(service: Service, patient_id: str, path: str) -> None:
    answer = service.call("GET", f"/fhir/R4/{path.format(id=patient_id)}")
    assert answer.status_code == 200, answer.text
    assert errors_of(answer.text) == []


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_answer_to_a_bundle_is_valid(service: Service, patient_id: str, kind: str) -> None:
    entries = [
        {
            "fullUrl": "urn:uuid:2d8d7d2e-6b0b-4b1f-8f0a-0c6c1f8f3a11",
            "resource": observation(patient_id),
            "request": {"method": "POST", "url": "Observation"},
        },
        {"request": {"method": "GET", "url": f"Patient/{patient_id}"}},
    ]
    if kind == "batch":
        entries.append({"request": {"method": "GET", "url": "Patient/none"}})
    bundle = {"resourceType": "Bundle", "type": kind, "entry": entries}
    answer = service.call("POST", "/fhir/R4", json=bundle)
    assert answer.status_code == 200, answer.text
    assert errors_of(answer.text) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "Patient/none", None, 404),
        ("GET", "Patient?shoe-size=44", None, 400),
        ("GET", "Banana", None, 404),
        ("POST", "Patient", {"resourceType": "Patient", "gender": "x", "name": [{}]}, 422),
        ("POST", "Patient", {"resourceType": "Observation"}, None),
        ("POST", "Patient/$validate", {"resourceType": "Patient", "gender": "x"}, 200),
        ("GET", "Patient/$nothing", None, 404),
    ],
)
def test_outcome_is_valid(
    service: Service, method: str, path: str, body: Any, status: int | None
) -> None:
    answer = service.call(method, f"/fhir/R4/{path}", **({"json": body} if body else {}))
    assert status is None or answer.status_code == status
    assert json.loads(answer.text)["resourceType"] == "OperationOutcome"
    assert errors_of(answer.text) == []
