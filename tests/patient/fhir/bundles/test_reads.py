"""What GET and HEAD entries of a batch are answered with."""

import secrets
from typing import Any

import pytest

from tests.patient.fhir.resources import observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service, principal

pytestmark = pytest.mark.integration

BASE = f"{PUBLIC_URL}/fhir/R4"


def answers(service: Service, *urls: str, method: str = "GET", by: str = "all") -> list[Any]:
    entries = [{"request": {"method": method, "url": url}} for url in urls]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answer = service.call("POST", "/fhir/R4", json=bundle, by=by)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["entry"]
    return found


def statuses(service: Service, *urls: str, **options: Any) -> list[str]:
    return [item["response"]["status"][:3] for item in answers(service, *urls, **options)]


@pytest.fixture(scope="module")
def changed(service: Service) -> dict[str, Any]:
    """A patient's second version."""
    made = service.create(patient())
    found: dict[str, Any] = service.call(
        "PUT", f"/fhir/R4/Patient/{made['id']}", json={**made, "gender": "other"}
    ).json()
    return found


def test_entry_reads_a_resource_and_its_versions(service: Service, changed: dict[str, Any]) -> None:
    path = f"Patient/{changed['id']}"
    current, first, second = answers(service, path, f"{path}/_history/1", f"{path}/_history/2")
    assert current["resource"] == second["resource"] == changed
    assert "gender" not in first["resource"]
    assert [item["response"]["etag"] for item in (first, second)] == ['W/"1"', 'W/"2"']
    assert current["fullUrl"] == f"{BASE}/{path}"
    for item in answers(service, path, f"{path}/_history/1", "Patient?_id=x", method="HEAD"):
        assert item["response"]["status"] == "200 OK"
        assert "resource" not in item


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("Patient/{id}/_history/0", "404"),
        ("Patient/{id}/_history/3", "404"),
        ("Patient/{id}/_history/x", "404"),
        ("Patient/{id}/_history/²", "404"),
        ("Patient/{id}/_history/000000000000000001", "200"),
        # Longer than any number of a version: it is not that of its beginning.
        ("Patient/{id}/_history/0000000000000000019", "404"),
        ("Patient/never", "404"),
        ("Observation/{id}", "404"),
        ("Patient/{id}/_history", "400"),
        ("Patient/{id}/_history/1/2", "400"),
        ("Patient/{id}/other/1", "400"),
        ("Patient/{id}?_elements=gender", "400"),
        ("Patient/_history", "400"),
        ("Patient/$match", "400"),
        ("$export", "400"),
        ("_history", "400"),
        ("Patient?_id={id}&_format=json", "200"),
        ("Patient?shoe=1", "400"),
    ],
)
def test_entry_is_answered_by_itself(
    service: Service, changed: dict[str, Any], path: str, status: str
) -> None:
    found = statuses(service, path.format(id=changed["id"]), "Patient?_id=x")
    assert found == [status, "200"]


def test_entry_reaches_what_the_caller_does(service: Service, changed: dict[str, Any]) -> None:
    other = service.create(patient())["id"]
    gone = service.create(patient())["id"]
    service.call("DELETE", f"/fhir/R4/Patient/{gone}")
    assert statuses(service, f"Patient/{gone}", f"Patient/{gone}/_history/1") == ["410", "200"]
    service.verifier.principals["own"] = principal("patient/*.rs", patient_id=changed["id"])
    paths = [f"Patient/{changed['id']}", f"Patient/{other}", f"Patient/{other}/_history/1"]
    assert statuses(service, *paths, by="own") == ["200", "404", "404"]
    service.verifier.principals["observer"] = principal("user/Observation.rs")
    assert statuses(service, paths[0], "Patient?_id=x", by="observer") == ["403", "403"]


def test_long_condition_is_told_by_its_beginning(service: Service) -> None:
    value = secrets.token_hex(130)
    person = service.create(patient())["id"]
    text = f"Practitioner?identifier=urn:x|{value}&active=true"
    body = observation(person, performer=[{"reference": text}])
    entry = {"resource": body, "request": {"method": "POST", "url": "Observation"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    refused = service.call("POST", "/fhir/R4", json=bundle)
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["diagnostics"] == f"nothing matches {text[:200]}"
    doctor = {
        "resourceType": "Practitioner",
        "active": True,
        "identifier": [{"system": "urn:x", "value": value}],
    }
    for _ in range(2):
        service.create(doctor)
    refused = service.call("POST", "/fhir/R4", json=bundle)
    assert refused.status_code == 412
    assert refused.json()["issue"][0]["diagnostics"].endswith(f"several match {text[:200]}")
