"""HAPI's validator judges every kind of answer that the record gives."""

import json
from typing import Any

import pytest

from tests.fhir.hapi import errors_of
from tests.patient.patient_service import Service, principal

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
        "Patient?_id={id}&_summary=text",
        "Patient?_id={id}&_summary=data",
        "Patient/{id}?_summary=true",
        "Patient/{id}?_elements=name",
        "Observation?patient={id}&_include=*&_elements=status",
        "Observation?patient={id}&_sort=-date&_count=1",
        "Observation?patient={id}&_filter=status%20eq%20final",
        # A page with a warning.
        "Observation?patient={id}&status=finall",
        "?_type=Patient,Observation&_count=3",
        "Patient/{id}/*",
        "AuditEvent?patient={id}",
        "AuditEvent?patient={id}&_elements=type",
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


def test_audit_event_is_valid(service: Service, patient_id: str) -> None:
    found = service.call("GET", f"/fhir/R4/AuditEvent?patient={patient_id}").json()
    for entry in found["entry"][:5]:
        read = service.call("GET", f"/fhir/R4/AuditEvent/{entry['resource']['id']}")
        assert errors_of(read.text) == []


def test_patients_that_match_are_valid(service: Service, patient_id: str) -> None:
    parameters = [{"name": "resource", "resource": PATIENT}, {"name": "count", "valueInteger": 3}]
    body = {"resourceType": "Parameters", "parameter": parameters}
    answer = service.call("POST", "/fhir/R4/Patient/$match", json=body)
    first = answer.json()["entry"][0]["search"]
    assert first["score"] > 0
    assert first["extension"][0]["url"].endswith("match-grade")
    assert errors_of(answer.text) == []
    nobody = [{"name": "resource", "resource": {"resourceType": "Patient"}}]
    none = service.call("POST", "/fhir/R4/Patient/$match", json={**body, "parameter": nobody})
    assert errors_of(none.text) == []


@pytest.mark.parametrize("returned", ["representation", "OperationOutcome"])
def test_answers_to_changes_are_valid(service: Service, returned: str) -> None:
    headers = {"Prefer": f"return={returned}"}
    made = service.create(PATIENT)
    path = f"/fhir/R4/Patient/{made['id']}"
    patch = {**headers, "Content-Type": "application/merge-patch+json"}
    answers = [
        service.call("POST", "/fhir/R4/Patient", json=PATIENT, headers=headers),
        service.call("PUT", path, json={**made, "gender": "male"}, headers=headers),
        service.call("PATCH", path, content='{"gender":"other"}', headers=patch),
        service.call("DELETE", path, headers=headers),
    ]
    for answer in answers:
        assert answer.status_code in (200, 201, 204), answer.text
        assert answer.status_code == 204 or errors_of(answer.text) == []
    # A deletion is in it.
    for history in (f"{path}/_history", "/fhir/R4/Patient/_history?_count=5"):
        assert errors_of(service.call("GET", history).text) == []


@pytest.mark.parametrize("returned", ["minimal", "representation", "OperationOutcome"])
def test_answer_to_a_batch_of_everything_is_valid(
    service: Service, patient_id: str, returned: str
) -> None:
    made = service.create(observation(patient_id))
    path = f"Observation/{made['id']}"
    patch = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "replace"},
                    {"name": "path", "valueString": "Observation.status"},
                    {"name": "value", "valueCode": "amended"},
                ],
            }
        ],
    }
    requests = [
        ({"method": "POST", "url": "Observation"}, observation(patient_id)),
        ({"method": "PUT", "url": path}, {**made, "status": "amended"}),
        ({"method": "PUT", "url": path, "ifMatch": 'W/"9"'}, made),
        ({"method": "PATCH", "url": path}, patch),
        ({"method": "GET", "url": f"Observation?patient={patient_id}"}, None),
        ({"method": "GET", "url": f"{path}/_history"}, None),
        ({"method": "HEAD", "url": path}, None),
        ({"method": "GET", "url": "Observation?shoe=44"}, None),
        ({"method": "DELETE", "url": "Observation/none"}, None),
        ({"method": "POST", "url": "Observation"}, {"resourceType": "Observation"}),
        ({"method": "GET", "url": "Banana/1"}, None),
    ]
    entries = [
        {"request": request, **({"resource": resource} if resource else {})}
        for request, resource in requests
    ]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answer = service.call("POST", "/fhir/R4", json=bundle, headers={"Prefer": f"return={returned}"})
    statuses = [entry["response"]["status"][:3] for entry in answer.json()["entry"]]
    assert statuses[:2] == ["201", "200"]
    assert {"412", "400", "422"} <= set(statuses)
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
        ("GET", "Patient/$export", None, 501),
        ("DELETE", "metadata", None, 405),
        ("GET", "Patient?_format=xml", None, 406),
        ("POST", "Patient", "{", 400),
        ("POST", "Patient", '{"resourceType":"Patient","active":true,"active":true}', 400),
        ("POST", "Patient", '{"resourceType":"Patient","birthDate":"\\u0000"}', 422),
        ("PUT", "Patient/1", {"resourceType": "Patient", "id": "2"}, 400),
        ("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [{}]}, 422),
        ("POST", "", {"resourceType": "Bundle", "type": "history"}, 422),
        ("POST", "Patient/$match", {"resourceType": "Patient"}, 422),
        ("POST", "Patient/$validate?profile=http://e/p", {"resourceType": "Patient"}, 200),
        ("POST", "Patient", "x" * (1 << 21), 413),
    ],
)
def test_outcome_is_valid(
    service: Service, method: str, path: str, body: Any, status: int | None
) -> None:
    sent: dict[str, Any] = {"json": body} if isinstance(body, dict) else {"content": body}
    if isinstance(body, str):
        sent["headers"] = {"Content-Type": "application/fhir+json"}
    answer = service.call(method, f"/fhir/R4/{path}", **sent)
    assert status is None or answer.status_code == status
    assert json.loads(answer.text)["resourceType"] == "OperationOutcome"
    assert errors_of(answer.text) == []


def test_outcome_of_what_is_not_allowed_or_not_there_any_more_is_valid(service: Service) -> None:
    made = service.create(PATIENT)
    path = f"/fhir/R4/Patient/{made['id']}"
    service.verifier.principals["nobody"] = principal("openid")
    answers = [
        (401, service.call("GET", path, by="unknown")),
        (403, service.call("GET", path, by="nobody")),
        (412, service.call("PUT", path, json=made, headers={"If-Match": 'W/"9"'})),
        (415, service.call("PUT", path, content="x", headers={"Content-Type": "text/plain"})),
        (204, service.call("DELETE", path)),
        (410, service.call("GET", path)),
    ]
    for status, answer in answers:
        assert answer.status_code == status, answer.text
        assert status == 204 or errors_of(answer.text) == []
