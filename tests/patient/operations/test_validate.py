"""`$validate` over HTTP, and the outcomes that it makes."""

from typing import Any

import pytest

from apps.patient.definitions.validation import find_faults
from apps.patient.operations.validate import outcome_for
from tests.patient.patient_service import Service

PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female"}
WRONG = {"resourceType": "Patient", "gender": "x", "multipleBirthInteger": "1"}


def issues(resource: Any, **changes: Any) -> list[dict[str, Any]]:
    arguments = {"mode": "create", "id": None, "profiles": [], **changes}
    outcome = outcome_for(resource, "Patient", **arguments)
    assert find_faults(outcome, "OperationOutcome") == ()
    found: list[dict[str, Any]] = outcome["issue"]
    return found


def test_valid_resource_is_said_to_be_valid() -> None:
    assert [issue["severity"] for issue in issues(PATIENT)] == ["information"]


def test_every_fault_is_an_issue_with_its_element() -> None:
    assert [issue["expression"] for issue in issues(WRONG)] == [
        ["Patient.gender"],
        ["Patient.multipleBirth.ofType(integer)"],
    ]


def test_update_is_of_the_id_of_the_path() -> None:
    assert issues(PATIENT, mode="update", id="q")[0]["expression"] == ["Patient.id"]
    assert issues(PATIENT, mode="update", id="p")[0]["severity"] == "information"


def test_profile_is_said_to_be_unchecked() -> None:
    assert issues(PATIENT, profiles=["http://p"])[1]["code"] == "not-supported"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("body", "severity"),
    [
        (PATIENT, "information"),
        (WRONG, "error"),
        (
            {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": WRONG}]},
            "error",
        ),
        (
            {
                "resourceType": "Parameters",
                "parameter": [
                    {"name": "mode", "valueCode": "create"},
                    {"name": "resource", "resource": PATIENT},
                ],
            },
            "information",
        ),
    ],
)
def test_answer_is_an_outcome_and_nothing_is_stored(
    service: Service, body: dict[str, Any], severity: str
) -> None:
    answer = service.call("POST", "/fhir/R4/Patient/$validate", json=body)
    assert answer.status_code == 200
    assert answer.json()["issue"][0]["severity"] == severity


@pytest.mark.integration
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("Banana/$validate", PATIENT, 404),
        ("Patient/$validate?mode=banana", PATIENT, 400),
        ("Patient/$validate", {"resourceType": "Parameters", "parameter": [{}]}, 422),
    ],
)
def test_wrong_call_is_refused(
    service: Service, path: str, body: dict[str, Any], status: int
) -> None:
    assert service.call("POST", f"/fhir/R4/{path}", json=body).status_code == status
