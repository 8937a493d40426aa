"""Patches: bounded in what they cost, and refused without telling what the resource holds."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.kit.errors import Problem
from apps.patient.codec import decode
from apps.patient.fhir import patching
from apps.patient.fhir.patching import patch_of
from apps.patient.storage.versions import Version

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
FHIR_JSON = "application/fhir+json"
PATIENT = {
    "resourceType": "Patient",
    "id": "a",
    "name": [{"family": "Secretname", "given": ["Ana"]}],
    "birthDate": "1980-01-02",
}


CURRENT = Version(
    resource_type="Patient",
    id="a",
    version_id=1,
    patient_id="a",
    recorded_at=datetime.now(UTC),
    method="POST",
    body=json.dumps(PATIENT),
)


def patched(media_type: str, body: Any) -> Any:
    return patch_of(media_type, decode(json.dumps(body).encode()), "Patient")(CURRENT)


def refusal(media_type: str, body: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        patched(media_type, body)
    return caught.value


def test_patch_changes_what_it_names() -> None:
    operations = [
        {"op": "test", "path": "/name/0/family", "value": "Secretname"},
        {"op": "copy", "from": "/name/0", "path": "/name/-"},
        {"op": "replace", "path": "/name/1/family", "value": "New"},
        {"op": "add", "path": "/gender", "value": "female"},
    ]
    result = patched(JSON_PATCH, operations)
    assert [name["family"] for name in result["name"]] == ["Secretname", "New"]
    assert result["gender"] == "female"


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "copy", "from": "/name", "path": "/name/-"},
        {"op": "copy", "from": "", "path": "/contained"},
        {"op": "copy", "from": "/name/0/given", "path": "/name/0/given/-"},
    ],
)
def test_copies_that_double_end_early(operation: dict[str, str]) -> None:
    began = time.process_time()
    problem = refusal(JSON_PATCH, [operation] * 500)
    assert problem.status == 422
    assert time.process_time() - began < 5


def test_patch_is_carried_out_up_to_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    test = {"op": "test", "path": "/birthDate", "value": "1980-01-02"}
    assert patched(JSON_PATCH, [test] * 500) == PATIENT
    problem = refusal(JSON_PATCH, [test] * 501)
    assert (problem.status, problem.code) == (400, "malformed_patch")
    assert problem.detail == "expected a list of at most 500"
    copied = [{"op": "copy", "from": "/name/0/given", "path": "/name/0/prefix"}] * 2
    monkeypatch.setattr(patching, "MAX_COPIED_BYTES", 2 * len('["Ana"]'))
    assert patched(JSON_PATCH, copied)["name"][0]["prefix"] == ["Ana"]
    monkeypatch.setattr(patching, "MAX_COPIED_BYTES", 2 * len('["Ana"]') - 1)
    assert refusal(JSON_PATCH, copied).faults[0].message == "the patch copies too much"


def test_fault_of_a_patch_is_told_by_its_beginning() -> None:
    problem = refusal(JSON_PATCH, [{"op": "x" * 300, "path": "/x"}])
    assert (problem.code, len(problem.detail)) == ("malformed_patch", 200)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/nope/1", "value": 1},
        {"op": "test", "path": "/name/0/family", "value": "Other"},
        {"op": "remove", "path": "/name/7"},
        {"op": "move", "from": "/name/0/nope", "path": "/gender"},
        {"op": "copy", "from": "nope", "path": "/gender"},
        {"op": "copy", "from": None, "path": "/gender"},
        {"op": "add", "path": "/name/x", "value": 1},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "/id", "value": "b"},
    ],
)
def test_refusal_does_not_tell_what_the_resource_holds(operation: dict[str, Any]) -> None:
    problem = refusal(JSON_PATCH, [operation])
    assert problem.status in (400, 422)
    told = " ".join([str(problem), problem.detail, *(fault.message for fault in problem.faults)])
    assert "Secretname" not in told and "1980" not in told


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (JSON_PATCH, [1]),
        (JSON_PATCH, ["x"]),
        (JSON_PATCH, [None]),
        (JSON_PATCH, [{"op": "boom", "path": "/x"}]),
        (JSON_PATCH, [{"op": "add"}]),
        (JSON_PATCH, [{"op": "add", "path": 1, "value": 1}]),
        (JSON_PATCH, [{"op": ["add"], "path": "/x", "value": 1}]),
        (JSON_PATCH, {"op": "add"}),
        (MERGE_PATCH, [1]),
        (MERGE_PATCH, {"resourceType": None}),
        (MERGE_PATCH, {"name": {"family": "x"}}),
        (FHIR_JSON, {"resourceType": "Parameters"}),
        (FHIR_JSON, {"resourceType": "Parameters", "parameter": {"name": "operation"}}),
        (
            FHIR_JSON,
            {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": 1}]},
        ),
    ],
)
def test_patch_that_is_none_is_refused(media_type: str, body: Any) -> None:
    assert refusal(media_type, body).status in (400, 422)


def test_deep_patch_is_refused() -> None:
    body: Any = {"text": "x"}
    for _ in range(900):
        body = {"extension": body}
    assert refusal(MERGE_PATCH, body).status in (400, 422)
    part: Any = {"name": "value", "valueString": "x"}
    for _ in range(300):
        part = {"name": "value", "part": [part]}
    parameters = {
        "resourceType": "Parameters",
        "parameter": [{"name": "operation", "part": [part]}],
    }
    assert refusal(FHIR_JSON, parameters).status in (400, 422)
    assert refusal(JSON_PATCH, [{"op": "add", "path": "/extension", "value": body}]).status in (
        400,
        422,
    )


@pytest.mark.parametrize(
    ("type_name", "status"), [("dateTime", 0), ("boolean", 422), ("Quantity", 422), ("", 422)]
)
def test_type_of_a_choice_counts(type_name: str, status: int) -> None:
    """A path for another type than the one that is there must not change it."""
    current = {**PATIENT, "deceasedDateTime": "2020-01-01"}
    part = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": f"Patient.deceased.ofType({type_name})"},
        {"name": "value", "valueDateTime": "2021-02-03"},
    ]
    body = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}
    make = patch_of(FHIR_JSON, body, "Patient")
    version = replace(CURRENT, body=json.dumps(current))
    if status:
        with pytest.raises(Problem) as caught:
            make(version)
        assert caught.value.status == status
    else:
        assert make(version)["deceasedDateTime"] == "2021-02-03"


@pytest.mark.parametrize(
    "path",
    [
        "Patient.name.where(",
        "Patient.name.repeat(name)",
        "Patient" + ".name" * 5000,
        "(" * 3000,
        "Patient.name.where(" * 300 + "true" + ")" * 300,
        "Patient.name[99999999999999999999]",
        "",
        "Observation.status",
    ],
)
def test_path_that_cannot_be_followed_is_refused(path: str) -> None:
    part = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": path},
        {"name": "value", "valueString": "x"},
    ]
    body = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}
    began = time.process_time()
    assert refusal(FHIR_JSON, body).status in (400, 422)
    assert time.process_time() - began < 5
