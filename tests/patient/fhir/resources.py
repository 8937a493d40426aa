"""Resources that the tests of FHIR send, and how they read what is found."""

from typing import Any

from tests.patient.patient_service import Service

FHIR = "application/fhir+json"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def patient(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "name": [{"family": "Testperson", "given": ["Ann"]}],
        **changes,
    }


def observation(patient_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": "http://test/category", "code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]},
        "subject": {"reference": f"Patient/{patient_id}"},
        "effectiveDateTime": "2022-03-18T15:57:43+00:00",
        **changes,
    }


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    entries = answer.json().get("entry", ())
    return [item["resource"]["id"] for item in entries if item["search"]["mode"] != "outcome"]


def found(service: Service, query: str) -> list[str]:
    return ids(service.call("GET", f"/fhir/R4/{query}"))
