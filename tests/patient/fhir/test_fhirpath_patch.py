"""FHIRPath Patch: each operation, the paths that it takes, and what it refuses."""

import copy
from typing import Any

import pytest

from apps.kit.errors import BadRequest, Unprocessable
from apps.patient.fhir.fhirpath_patch import apply_fhirpath_patch

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "a",
    "active": True,
    "name": [
        {"use": "official", "family": "Roe", "given": ["Ana", "Maria"]},
        {"use": "old", "family": "Doe"},
    ],
    "contact": [{"name": {"family": "Next"}, "relationship": [{"text": "kin"}]}],
    "multipleBirthInteger": 2,
}


def operation(kind: Any, path: Any, **parts: Any) -> dict[str, Any]:
    given = {"type": kind, "path": path, **parts}
    part = [
        value if name == "value" and isinstance(value, dict) else {"name": name, "valueCode": value}
        for name, value in given.items()
        if value is not None
    ]
    return {"name": "operation", "part": part}


def patched(*operations: Any) -> Any:
    body = {"resourceType": "Parameters", "parameter": list(operations)}
    return apply_fhirpath_patch(copy.deepcopy(PATIENT), body)


def refusal(*operations: Any) -> str:
    with pytest.raises(Unprocessable) as refused:
        patched(*operations)
    (fault,) = refused.value.faults
    assert fault.pointer == f"/parameter/{len(operations) - 1}"
    return fault.message


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("Patient.name[0].family", ["New", "Doe"]),
        ("name[1].family", ["Roe", "New"]),
        ("Patient.name.first().family", ["New", "Doe"]),
        ("Patient.name.last().family", ["Roe", "New"]),
        ("Patient.name.where(use = 'old').family", ["Roe", "New"]),
        ("Patient.name.where(given = 'Maria').family", ["New", "Doe"]),
        ("Patient.name.where(use='official')[0].family", ["New", "Doe"]),
        ("Patient.name[1].as(HumanName).family", ["Roe", "New"]),
    ],
)
def test_path_names_one_element(path: str, family: list[str]) -> None:
    names = patched(operation("replace", path, value="New"))["name"]
    assert [name["family"] for name in names] == family


@pytest.mark.parametrize(
    ("condition", "is_met"),
    [
        ("multipleBirthInteger = 2", True),
        ("multipleBirthInteger = 3", False),
        ("active = true", True),
        ("active = false", False),
        ("active = 'true'", False),
        ("name.family = 'Doe'", True),
        ("name.given.family = 'Doe'", False),
        ("contact.name.family = 'Next'", True),
    ],
)
def test_condition_compares_what_is_there(condition: str, is_met: bool) -> None:
    change = operation("replace", f"Patient.where({condition}).gender", value="other")
    added = {**PATIENT, "gender": "female"}
    body = {"resourceType": "Parameters", "parameter": [change]}
    if is_met:
        assert apply_fhirpath_patch(copy.deepcopy(added), body)["gender"] == "other"
    else:
        with pytest.raises(Unprocessable, match="patch_failed") as refused:
            apply_fhirpath_patch(copy.deepcopy(added), body)
        assert "names 0 elements" in refused.value.faults[0].message


def test_elements_are_added_inserted_moved_and_deleted() -> None:
    given = "Patient.name[0].given"
    assert patched(operation("add", "Patient.name[0]", name="given", value="X"))["name"][0][
        "given"
    ] == ["Ana", "Maria", "X"]
    for place, expected in (
        (0, ["X", "Ana", "Maria"]),
        (1, ["Ana", "X", "Maria"]),
        (2, ["Ana", "Maria", "X"]),
    ):
        found = patched(operation("insert", given, index=place, value="X"))
        assert found["name"][0]["given"] == expected
    for source, destination, expected in (
        (0, 1, ["Maria", "Ana"]),
        (1, 0, ["Maria", "Ana"]),
        (1, 1, ["Ana", "Maria"]),
    ):
        found = patched(operation("move", given, source=source, destination=destination))
        assert found["name"][0]["given"] == expected
    assert patched(operation("delete", "Patient.name[0].given[0]"))["name"][0]["given"] == ["Maria"]
    assert patched(operation("delete", "Patient.gender")) == PATIENT
    assert patched(operation("add", "Patient", name="gender", value="other"))["gender"] == "other"
    added = patched(operation("add", "Patient", name="deceasedBoolean", value=True))
    assert added["deceasedBoolean"] is True


def test_what_a_deletion_leaves_empty_is_dropped_with_it() -> None:
    left = patched(operation("delete", "Patient.contact[0].name"))
    assert left["contact"] == [{"relationship": [{"text": "kin"}]}]
    left = patched(
        operation("delete", "Patient.contact[0].name.family"),
        operation("delete", "Patient.contact[0].relationship[0].text"),
    )
    assert left == {name: value for name, value in PATIENT.items() if name != "contact"}


def test_element_of_no_data_type_comes_as_parts() -> None:
    parts = {
        "name": "value",
        "part": [
            {"name": "name", "valueHumanName": {"text": "Friend"}},
            {"name": "gender", "valueCode": "other"},
            {"name": "extra", "resource": {"resourceType": "Basic"}},
        ],
    }
    (_, made) = patched(operation("add", "Patient", name="contact", value=parts))["contact"]
    assert made == {
        "name": {"text": "Friend"},
        "gender": "other",
        "extra": {"resourceType": "Basic"},
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("operation", "expected a parameter with the name operation"),
        ({"name": "other"}, "expected a parameter with the name operation"),
        ({"name": "operation"}, "type: expected"),
        ({"name": "operation", "part": {}}, "part: expected a list"),
        ({"name": "operation", "part": ["type"]}, "expected parts with names"),
        ({"name": "operation", "part": [{"valueCode": "add"}]}, "expected parts with names"),
        ({"name": "operation", "part": [{"name": 1}]}, "expected parts with names"),
        (operation("copy", "Patient"), "type: expected"),
        (operation("replace", None), "path: expected"),
        (operation("replace", ""), "path: expected"),
        (operation("replace", 1), "path: expected"),
        (operation("replace", "Patient." + "x" * 493), "path: expected"),
        (operation("replace", "Patient." + "x" * 492), "has no element"),
        (operation("replace", "Patient name"), "is not served"),
        (operation("replace", "Patient.name.where(use)"), "expected where"),
        (operation("replace", "Patient.name.first(1)"), "first() is not served"),
        (operation("replace", "Patient.name.exists()"), "exists() is not served"),
        (operation("replace", "Patient.shoe"), "Patient has no element shoe"),
        (operation("replace", "Observation.status"), "Patient has no element Observation"),
        (operation("replace", "Patient.active.x"), "names 0 elements"),
        (operation("replace", "Patient.name"), "names 2 elements, not one"),
        (operation("replace", "Patient.name[2]"), "names 0 elements, not one"),
        (operation("replace", "Patient.gender"), "names 0 elements, not one"),
        (operation("replace", "Patient", value="x"), "cannot be replaced"),
        (operation("delete", "Patient"), "cannot be deleted"),
        (operation("delete", "Patient.name"), "names 2 elements, not one"),
        (operation("add", "Patient", value="x"), "name: expected"),
        (operation("add", "Patient", name=1, value="x"), "name: expected"),
        (operation("add", "Patient.active", name="x", value="x"), "name: expected"),
        (operation("add", "Patient", name="shoe", value="x"), "has no element shoe"),
        (operation("add", "Patient", name="active", value=False), "is there already"),
        (operation("add", "Patient", name="deceased", value=True), "the name with its type"),
        (operation("insert", "Patient.active", index=0, value="x"), "is no list"),
        (operation("insert", "Patient.link", index=0, value="x"), "is no list"),
        (operation("insert", "Patient.name", value="x"), "a position from 0 to 2"),
        (operation("insert", "Patient.name", index=-1, value="x"), "a position from 0 to 2"),
        (operation("insert", "Patient.name", index=3, value="x"), "a position from 0 to 2"),
        (operation("insert", "Patient.name", index=True, value="x"), "a position from 0 to 2"),
        (operation("move", "Patient.active", source=0, destination=0), "is no list"),
        (operation("move", "Patient.name", source=2, destination=0), "source: expected a"),
        (operation("move", "Patient.name", source=0, destination=2), "destination: expected a"),
        (operation("move", "Patient.name", source=0), "destination: expected a"),
    ],
)
def test_operation_that_cannot_be_carried_out_is_told_with_its_place(
    change: Any, told: str
) -> None:
    assert told in refusal(change)
    before = operation("replace", "Patient.active", value=False)
    assert told in refusal(before, change)


def test_first_of_none_is_none() -> None:
    assert patched(operation("delete", "Patient.link.first()")) == PATIENT
    assert patched(operation("delete", "Patient.link.last()")) == PATIENT


def test_primitive_has_no_elements_whatever_was_put_there() -> None:
    made = {"name": "value", "part": [{"name": "x", "valueString": "x"}]}
    before = operation("replace", "Patient.active", value=made)
    assert "boolean has no elements" in refusal(before, operation("delete", "Patient.active.x"))


@pytest.mark.parametrize(
    ("kind", "path", "told"),
    [
        ("replace", "Patient.name.where(use = '{}')", "names 0 elements, not one"),
        ("insert", "Patient.name.where(use = '{}')", "is no list"),
        ("delete", "Patient.name.where(use = '{}'", "is not served"),
    ],
)
def test_long_path_is_told_by_its_beginning(kind: str, path: str, told: str) -> None:
    long = path.format("x" * 200)
    assert refusal(operation(kind, long)) == f"path: {long[:100]} {told}"


@pytest.mark.parametrize("parameters", [None, {}, [], [operation("delete", "Patient.link")] * 501])
def test_number_of_operations_is_bounded(parameters: Any) -> None:
    with pytest.raises(BadRequest, match="malformed_patch"):
        apply_fhirpath_patch(copy.deepcopy(PATIENT), {"parameter": parameters})


def test_patch_is_taken_up_to_its_limits() -> None:
    assert patched(*[operation("delete", "Patient.link")] * 500) == PATIENT
    for depth, is_taken in ((20, True), (21, False)):
        part: dict[str, Any] = {"name": "x", "valueString": "deep"}
        for _ in range(depth - 1):
            part = {"name": "x", "part": [part]}
        value = {"name": "value", "part": [part]}
        change = operation("add", "Patient", name="contact", value=value)
        if is_taken:
            assert "deep" in str(patched(change)["contact"][1])
        else:
            assert "nested too deep" in refusal(change)
