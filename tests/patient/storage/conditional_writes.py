"""Writes under a condition, as the tests send them: of one patient, found by an identifier."""

from typing import Any

import httpx

from tests.patient.patient_service import Service

SYSTEM = "urn:test:conditional"
MERGE_PATCH = "application/merge-patch+json"


def body(value: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}]}


def criteria(value: str) -> str:
    return f"identifier={SYSTEM}|{value}"


def path(value: str) -> str:
    return f"/fhir/R4/Patient?{criteria(value)}"


def create(service: Service, value: str) -> httpx.Response:
    headers = {"If-None-Exist": criteria(value)}
    return service.call("POST", "/fhir/R4/Patient", json=body(value), headers=headers)


def update(service: Service, value: str) -> httpx.Response:
    return service.call("PUT", path(value), json=body(value))


def patch(service: Service, value: str) -> httpx.Response:
    headers = {"Content-Type": MERGE_PATCH}
    return service.call("PATCH", path(value), content='{"active": true}', headers=headers)


def delete(service: Service, value: str) -> httpx.Response:
    return service.call("DELETE", path(value))


def exchange(service: Service, kind: str, value: str) -> httpx.Response:
    """Sends a Bundle whose only entry is a conditional create."""
    request = {"method": "POST", "url": "Patient", "ifNoneExist": criteria(value)}
    entry = {"resource": body(value), "request": request}
    bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
    return service.call("POST", "/fhir/R4", json=bundle)
