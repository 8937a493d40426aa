"""Refusals over HTTP: every fault with its element, as FHIRPath."""

from typing import Any

import pytest

from tests.patient.patient_service import Service

pytestmark = pytest.mark.integration

WRONG = {
    "resourceType": "Observation",
    "status": "banana",
    "valueQuantity": {"value": "1", "code": "mg"},
}
EXPRESSIONS = [
    "Observation.status",
    "Observation.value.ofType(Quantity).value",
    "Observation.value.ofType(Quantity)",
    "Observation.code",
]


def expressions(outcome: dict[str, Any]) -> list[str]:
    assert outcome["resourceType"] == "OperationOutcome"
    return [issue["expression"][0] for issue in outcome["issue"]]


def test_every_fault_is_named_at_once(service: Service) -> None:
    answer = service.call("POST", "/fhir/R4/Observation", json=WRONG)
    assert answer.status_code == 422
    assert sorted(expressions(answer.json())) == sorted(EXPRESSIONS)


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_fault_in_a_bundle_is_named_in_its_entry(service: Service, kind: str) -> None:
    entry = {"resource": WRONG, "request": {"method": "POST", "url": "Observation"}}
    bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
    answer = service.call("POST", "/fhir/R4", json=bundle)
    outcome = answer.json()
    if kind == "batch":
        outcome = outcome["entry"][0]["response"]["outcome"]
    assert any(
        expression.endswith(".resource.value.ofType(Quantity).value")
        for expression in expressions(outcome)
    )


@pytest.mark.parametrize(
    ("body", "expression"),
    [
        (b'{"resourceType":"Patient","active":true,"active":false}', "Patient.active"),
        (
            b'{"resourceType":"Patient","name":[{"family":"a","family" :"b"}]}',
            "Patient.name[0].family",
        ),
    ],
)
def test_key_that_stands_twice_is_refused(service: Service, body: bytes, expression: str) -> None:
    headers = {"Content-Type": "application/fhir+json"}
    answer = service.call("POST", "/fhir/R4/Patient", content=body, headers=headers)
    assert answer.status_code == 400
    assert expressions(answer.json()) == [expression]


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000])
def test_deep_json_is_refused(service: Service, body: bytes) -> None:
    headers = {"Content-Type": "application/fhir+json"}
    answer = service.call("POST", "/fhir/R4/Patient", content=body, headers=headers)
    assert answer.status_code == 400
