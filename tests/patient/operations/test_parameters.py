"""Parameters of an operation in the body of a POST."""

from typing import Any

import pytest

from tests.patient.fhir.resources import patient
from tests.patient.patient_service import Service


@pytest.mark.integration
@pytest.mark.parametrize(
    "value",
    [
        {},
        {"valueCode": "Observation", "valueString": "Observation"},
        {"valueCoding": {"code": "Observation"}},
        {"resource": {"resourceType": "Basic", "code": {"text": "x"}}},
    ],
)
def test_parameter_of_a_body_is_one_simple_value(service: Service, value: Any) -> None:
    path = f"/fhir/R4/Patient/{service.create(patient())['id']}/$everything"
    simple = {"name": "_type", "valueCode": "Observation"}
    body = {"resourceType": "Parameters", "parameter": [simple]}
    assert service.call("POST", path, json=body).status_code == 200
    body["parameter"] = [simple, {"name": "_type", **value}]
    answer = service.call("POST", path, json=body)
    assert answer.status_code == 422, answer.text
