"""Every write wakes the relays: what it leaves in the outbox waits for no look at it."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from tests.patient.patient_service import PERSON, Service, open_service

pytestmark = pytest.mark.integration

MERGE = {"Content-Type": "application/merge-patch+json"}


def transaction(kind: str, id: str) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [
            {
                "resource": {"resourceType": "Patient", "id": id, "active": True},
                "request": {"method": "PUT", "url": f"Patient/{id}"},
            }
        ],
    }


Write = Callable[[Service, str, str], Any]
# Of a patient by the id and by a search that finds no other.
WRITES: dict[str, Write] = {
    "change of the interface of patients": lambda service, id, criteria: service.call(
        "PUT", f"/api/patients/{id}", json={"name": "Other"}
    ),
    "update": lambda service, id, criteria: service.call(
        "PUT", f"/fhir/R4/Patient/{id}", json={"resourceType": "Patient", "id": id}
    ),
    "patch": lambda service, id, criteria: service.call(
        "PATCH", f"/fhir/R4/Patient/{id}", content='{"active": false}', headers=MERGE
    ),
    "conditional update": lambda service, id, criteria: service.call(
        "PUT", f"/fhir/R4/Patient?{criteria}", json={"resourceType": "Patient", "active": True}
    ),
    "transaction": lambda service, id, criteria: service.call(
        "POST", "/fhir/R4", json=transaction("transaction", id)
    ),
    "batch": lambda service, id, criteria: service.call(
        "POST", "/fhir/R4", json=transaction("batch", id)
    ),
    "deletion": lambda service, id, criteria: service.call("DELETE", f"/fhir/R4/Patient/{id}"),
    "conditional deletion": lambda service, id, criteria: service.call(
        "DELETE", f"/fhir/R4/Patient?{criteria}"
    ),
}


def test_every_write_wakes_the_relays(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Within the test nothing is found by a look.
    monkeypatch.setattr("apps.kit.relay.POLL_SECONDS", 600.0)
    monkeypatch.setattr("apps.kit.relay.GATHER_SECONDS", 0.0)
    with open_service(database) as service:
        registered = service.call("POST", "/api/patients", json=PERSON).json()["id"]
        assert len(service.events(registered, 1)) == 1
        for name, write in WRITES.items():
            system, value = "urn:test:wake", secrets.token_hex(6)
            identifier = [{"system": system, "value": value}]
            made = service.create({"resourceType": "Patient", "identifier": identifier})
            assert len(service.events(made["id"], 1)) == 1
            answer = write(service, made["id"], f"identifier={system}|{value}")
            assert answer.status_code in (200, 204), f"{name}: {answer.text}"
            assert len(service.events(made["id"], 2)) == 2, name
