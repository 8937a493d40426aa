"""Reads and writes under a condition: a version, a time or search criteria."""

import secrets

import pytest

from tests.patient.fhir.resources import patient
from tests.patient.patient_service import Service, principal

pytestmark = pytest.mark.integration


def test_conditions_of_reads_and_updates(service: Service) -> None:
    made = service.call("POST", "/fhir/R4/Patient", json=patient())
    path = f"/fhir/R4/Patient/{made.json()['id']}"
    modified = made.headers["last-modified"]
    for headers, status in (
        ({"If-None-Match": 'W/"1"'}, 304),
        ({"If-None-Match": 'W/"2"'}, 200),
        ({"If-Modified-Since": modified}, 304),
        ({"If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"}, 200),
        ({"If-Modified-Since": "soon"}, 200),
    ):
        assert service.call("GET", path, headers=headers).status_code == status, headers
        assert service.call("GET", f"{path}?_summary=no", headers=headers).status_code == 400
    for headers, status in (
        ({"If-None-Match": "*"}, 412),
        ({"If-Match": 'W/"7"'}, 412),
        ({"If-Match": "*"}, 200),
        ({"If-Match": 'W/"2"'}, 200),
    ):
        answer = service.call("PUT", path, json=made.json(), headers=headers)
        assert answer.status_code == status, headers
    absent = "/fhir/R4/Patient/not-there-at-all"
    body = patient(id="not-there-at-all")
    for condition in ("*", 'W/"1"'):
        answer = service.call("PUT", absent, json=body, headers={"If-Match": condition})
        assert answer.status_code == 412


def test_change_that_names_versions_that_it_must_not_find_is_refused(service: Service) -> None:
    made = service.create(patient())
    path = f"/fhir/R4/Patient/{made['id']}"
    for headers in ({"If-None-Match": 'W/"7"'}, {"If-Match": 'W/"1", W/"2"'}, {"If-Match": "1"}):
        assert service.call("PUT", path, json=made, headers=headers).status_code == 400
        assert service.call("DELETE", path, headers=headers).status_code == 400
    assert service.call("GET", path).json() == made


def test_conditional_update_patch_and_delete_meet_one(service: Service) -> None:
    criteria = "identifier=urn:conditional|one"
    body = patient(identifier=[{"system": "urn:conditional", "value": "one"}])
    path = f"/fhir/R4/Patient?{criteria}"
    first = service.call("PUT", path, json=body)
    assert first.status_code == 201, first.text
    second = service.call("PUT", path, json={**body, "gender": "male"})
    assert (second.status_code, second.headers["etag"]) == (200, 'W/"2"')
    assert second.json()["id"] == first.json()["id"]
    assert service.call("PUT", path, json={**body, "id": "another"}).status_code == 400

    headers = {"Content-Type": "application/merge-patch+json"}
    patched = service.call("PATCH", path, content='{"active": true}', headers=headers)
    assert patched.json()["active"] is True
    nobody = "/fhir/R4/Patient?identifier=urn:conditional|nobody"
    service.verifier.principals["changes"] = principal("user/Patient.us")
    for by in ("all", "changes"):
        missed = service.call("PATCH", nobody, content="{}", headers=headers, by=by)
        assert missed.status_code == 404

    service.create(body)
    assert service.call("DELETE", path).status_code == 412
    assert service.call("DELETE", nobody).status_code == 204
    assert service.call("DELETE", f"{path}&gender=male").status_code == 204
    assert service.call("GET", f"/fhir/R4/Patient/{first.json()['id']}").status_code == 410
    assert service.call("DELETE", "/fhir/R4/Patient").status_code == 422


def test_criteria_in_the_url_of_a_create_are_its_condition(service: Service) -> None:
    value = secrets.token_hex(6)
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:url", "value": value}]}
    path = f"/fhir/R4/Patient?identifier=urn:url|{value}"
    first = service.call("POST", path, json=body)
    second = service.call("POST", path, json=body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert service.call("POST", "/fhir/R4/Patient?color=red", json=body).status_code == 400


@pytest.mark.parametrize(
    "criteria",
    ["", "_count=1", "_sort=family", "_include=Patient:organization", "_total=none"],
)
def test_condition_is_criteria_alone(service: Service, criteria: str) -> None:
    identifier = f"identifier=urn:condition|{secrets.token_hex(6)}"
    query = f"{identifier}&{criteria}" if criteria else ""
    answers = [
        service.call("POST", "/fhir/R4/Patient", json=patient(), headers={"If-None-Exist": query}),
        service.call("PUT", f"/fhir/R4/Patient?{query}", json=patient()),
        service.call("DELETE", f"/fhir/R4/Patient?{query}"),
    ]
    assert [answer.status_code for answer in answers] == [422] * 3
    assert service.call("DELETE", f"/fhir/R4/Patient?{identifier}").status_code == 204
