"""What an update makes of the rows that a resource is found by."""

from typing import Any

import pytest

from tests.patient.patient_service import Service

pytestmark = pytest.mark.integration


def condition(patient_id: str, code: dict[str, Any]) -> dict[str, Any]:
    subject = {"reference": f"Patient/{patient_id}"}
    return {"resourceType": "Condition", "code": code, "subject": subject}


def found(service: Service, query: str) -> list[str]:
    answer = service.call("GET", f"/fhir/R4/Condition?{query}")
    assert answer.status_code == 200, answer.text
    return [entry["resource"]["id"] for entry in answer.json().get("entry", ())]


def test_text_is_found_whether_a_code_comes_with_it_or_not(service: Service) -> None:
    patient_id = service.register()
    coding = {"system": "urn:test:writing", "code": "rare-code"}
    coded = condition(patient_id, {"coding": [coding], "text": "Rarely seen"})
    alone = condition(patient_id, {"text": "Rarely seen"})
    id = service.create(coded)["id"]
    path = f"/fhir/R4/Condition/{id}"
    for resource, by_code in ((coded, [id]), (alone, []), (coded, [id]), (alone, [])):
        answer = service.call("PUT", path, json={**resource, "id": id})
        assert answer.status_code == 200, answer.text
        assert found(service, "code:text=rarely") == [id]
        assert found(service, "code=rare-code") == by_code
        assert found(service, "code=urn:test:writing|") == by_code


def test_system_without_a_code_is_found(service: Service) -> None:
    patient_id = service.register()
    coding = {"system": "urn:test:no-code", "display": "only shown"}
    id = service.create(condition(patient_id, {"coding": [coding]}))["id"]
    assert found(service, "code=urn:test:no-code|") == [id]


def test_deleted_resource_has_no_rows(service: Service) -> None:
    id = service.create(condition(service.register(), {"text": "gone"}))["id"]
    rows = (
        "SELECT count(*) FROM resource_value v JOIN resource r USING (number) WHERE r.id = $1",
        id,
    )
    assert service.sql(*rows)[0][0] > 0
    service.call("DELETE", f"/fhir/R4/Condition/{id}")
    assert service.sql(*rows) == [(0,)]


def test_contacts_are_found_by_their_system(service: Service) -> None:
    id = service.register(name="Systematic Contact", email="systematic@example.com")
    for query in ("email=email|", "telecom=email|", "email=email|systematic@example.com"):
        answer = service.call("GET", f"/fhir/R4/Patient?{query}&name=systematic").json()
        assert [entry["resource"]["id"] for entry in answer["entry"]] == [id], query


def test_patients_are_sorted_by_a_parameter_that_is_another(service: Service) -> None:
    ids = [service.register(name=f"Zzsorted {letter}") for letter in "ba"]
    answer = service.call("GET", "/fhir/R4/Patient?phonetic=zzsorted&_sort=phonetic").json()
    assert [entry["resource"]["id"] for entry in answer["entry"]] == ids[::-1]
