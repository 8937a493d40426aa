"""Patches over HTTP, in each of their three media types."""

import json
from typing import Any

import pytest

from tests.patient.fhir.resources import FHIR, patient
from tests.patient.patient_service import Service

pytestmark = pytest.mark.integration
JSON_PATCH = "application/json-patch+json"


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (JSON_PATCH, [{"op": "replace", "path": "/gender", "value": "other"}], "other"),
        ("application/merge-patch+json", {"gender": "male", "active": None}, "male"),
        (
            FHIR,
            {
                "resourceType": "Parameters",
                "parameter": [
                    {
                        "name": "operation",
                        "part": [
                            {"name": "type", "valueCode": "replace"},
                            {"name": "path", "valueString": "Patient.gender"},
                            {"name": "value", "valueCode": "unknown"},
                        ],
                    }
                ],
            },
            "unknown",
        ),
    ],
)
def test_patch_in_three_ways(service: Service, content_type: str, body: Any, expected: str) -> None:
    made = service.create(patient(gender="female", active=True))
    answer = service.call(
        "PATCH",
        f"/fhir/R4/Patient/{made['id']}",
        content=json.dumps(body),
        headers={"Content-Type": content_type, "If-Match": 'W/"1"'},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["gender"] == expected
    assert answer.headers["etag"] == 'W/"2"'
    assert answer.json()["identifier"] == made["identifier"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([{"op": "test", "path": "/gender", "value": "male"}], 422),
        ([{"op": "remove", "path": "/nothing"}], 422),
        ([{"op": "replace", "path": "/gender", "value": "banana"}], 422),
        ([{"op": "replace", "path": "/id", "value": "x"}], 422),
        ([{"op": "nonsense"}], 400),
        ({"op": "remove"}, 400),
    ],
)
def test_patch_that_cannot_be_made_is_refused(service: Service, body: Any, status: int) -> None:
    id = service.create(patient(gender="female"))["id"]
    answer = service.call(
        "PATCH",
        f"/fhir/R4/Patient/{id}",
        content=json.dumps(body),
        headers={"Content-Type": JSON_PATCH},
    )
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_patch_without_a_patch_media_type_is_merged(service: Service) -> None:
    made = service.create({"resourceType": "Patient", "gender": "male"})
    headers = {"Content-Type": "application/fhir+json"}
    answer = service.call(
        "PATCH", f"/fhir/R4/Patient/{made['id']}", content=b'{"gender": "female"}', headers=headers
    )
    assert answer.status_code == 200 and answer.json()["gender"] == "female"
