"""Who waits for whom: each test holds a lock and looks at what stands behind it."""

import secrets

import httpx
import pytest

from tests.patient.patient_service import Service, principal
from tests.patient.storage.waiting import (
    DELETE_PATIENT,
    holding,
    observation,
    started,
    wait_until_blocked,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]


def test_fact_waits_for_the_deletion_of_its_patient_and_is_refused(service: Service) -> None:
    patient_id = service.register()

    def write() -> httpx.Response:
        return service.call("POST", "/fhir/R4/Observation", json=observation(patient_id))

    with holding(service, DELETE_PATIENT, patient_id):
        futures = started(write, 1)
        wait_until_blocked(service, futures)
    assert futures[0].result().status_code == 422


def test_conditional_update_is_made_once(service: Service) -> None:
    system, value = "urn:test:locks", "conditional-update"
    body = {"resourceType": "Patient", "identifier": [{"system": system, "value": value}]}
    path = f"/fhir/R4/Patient?identifier={system}|{value}"

    def put() -> httpx.Response:
        return service.call("PUT", path, json=body)

    # Nobody can write yet: both have looked for a match where nothing keeps the second from it.
    with holding(service, "LOCK TABLE resource IN SHARE MODE"):
        futures = started(put, 2)
        wait_until_blocked(service, futures)
    assert sorted(future.result().status_code for future in futures) == [200, 201]


def test_conditional_update_after_a_conditional_deletion_makes_another_resource(
    service: Service,
) -> None:
    system, value = "urn:test:locks", secrets.token_hex(6)
    body = {"resourceType": "Patient", "identifier": [{"system": system, "value": value}]}
    path = f"/fhir/R4/Patient?identifier={system}|{value}"
    id = service.create(body)["id"]
    # Nobody can write yet: the deletion has found its match, and the update follows it.
    with holding(service, "LOCK TABLE resource IN SHARE MODE"):
        deletion = started(lambda: service.call("DELETE", path), 1)
        wait_until_blocked(service, deletion)
        update = started(lambda: service.call("PUT", path, json=body), 1)
        wait_until_blocked(service, deletion + update)
    assert deletion[0].result().status_code == 204
    updated = update[0].result()
    assert updated.status_code == 201, updated.text
    assert updated.json()["id"] != id
    assert service.call("GET", f"/fhir/R4/Patient/{id}").status_code == 410


def test_what_others_records_refer_to_is_not_shown(service: Service) -> None:
    mine, other = service.register(), service.register()
    seen = service.create({"resourceType": "Practitioner", "active": True})["id"]
    hidden = service.create({"resourceType": "Practitioner", "active": True})["id"]
    service.create(observation(mine, performer=[{"reference": f"Practitioner/{seen}"}]))
    # It names the patient, but it is of the other's record.
    performers = [{"reference": f"Patient/{mine}"}, {"reference": f"Practitioner/{hidden}"}]
    service.create(observation(other, performer=performers))
    service.verifier.principals["mine"] = principal("patient/*.rs", patient_id=mine)

    def status(id: str) -> int:
        return service.call("GET", f"/fhir/R4/Practitioner/{id}", by="mine").status_code

    assert status(seen) == 200
    assert status(hidden) == 404
    found = service.call("GET", "/fhir/R4/Practitioner", by="mine").json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == [seen]
