"""What contained resources are indexed by: the path of references that leads to them."""

from typing import Any

import pytest

from apps.patient.search.criteria.criteria import Scanned
from apps.patient.search.index import contained
from apps.patient.search.index.contained import ContainedTooCostlyError, contents_of
from apps.patient.search.index.hashing import present_hash, resource_hash
from apps.patient.search.index.resource_index import index_of, stored_index
from apps.patient.search.scanning import is_met

BASE = "https://clinic.example/fhir/R4"


def observation(*performers: str, contained: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "performer": [{"reference": text} for text in performers],
        "contained": contained,
    }


def practitioner(id: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Practitioner", "id": id, **more}


def paths(resource: dict[str, Any]) -> dict[str, list[str]]:
    return {path: list(ids) for path, ids in contents_of(resource, BASE).by_path.items()}


def test_one_is_found_by_its_path_and_several_also_by_their_numbers() -> None:
    assert paths(observation("#a", contained=[practitioner("a"), practitioner("b")])) == {
        "Observation.performer:Practitioner": ["a"]
    }
    both = observation("#a", "#b", contained=[practitioner("a"), practitioner("b")])
    assert paths(both) == {
        "Observation.performer:Practitioner": ["a", "b"],
        "Observation.performer#0:Practitioner": ["a"],
        "Observation.performer#1:Practitioner": ["b"],
    }
    names = [f"p{number}" for number in range(6)]
    several = observation(*[f"#{name}" for name in names], contained=[*map(practitioner, names)])
    assert paths(several) == {
        "Observation.performer:Practitioner": names,
        "Observation.performer#0:Practitioner": ["p0"],
        "Observation.performer#1:Practitioner": ["p1"],
        "Observation.performer#2:Practitioner": ["p2"],
        "Observation.performer#3:Practitioner": ["p3", "p4", "p5"],
    }


def test_parameters_of_one_element_share_a_path() -> None:
    person = {"resourceType": "Patient", "id": "p"}
    resource = observation(contained=[person]) | {"subject": {"reference": "#p"}}
    found = contents_of(resource, BASE)
    assert [*found.by_path] == ["Observation.subject:Patient"]
    assert found.parameters["Observation"] == {"patient", "subject"}


def test_references_between_contained_resources_are_followed_for_two_steps() -> None:
    def organization(id: str, within: str) -> dict[str, Any]:
        return {"resourceType": "Organization", "id": id, "partOf": {"reference": f"#{within}"}}

    circle = [organization("a", "b"), organization("b", "a")]
    assert paths(observation("#a", contained=circle)) == {
        "Observation.performer:Organization": ["a"],
        "Observation.performer:Organization.partof:Organization": ["b"],
    }


def test_contained_resources_are_no_part_of_the_resources_own_values() -> None:
    inner = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/other"},
    }
    resource = observation(contained=[inner]) | {"encounter": {"reference": "#e"}}
    index = index_of(resource, BASE)
    assert not any(value.parameter in ("patient", "class") for value in index.values)
    assert "class" not in index.rows.present
    assert "encounter" in index.rows.present


def entangled(count: int, codings: int) -> dict[str, Any]:
    """A resource whose contained ones refer to each other by three parameters."""
    names = ("focus", "hasMember", "derivedFrom")
    every = [{"reference": f"#o{number}"} for number in range(count)]
    code = {"coding": [{"code": str(number)} for number in range(codings)]}
    items = [
        {"resourceType": "Observation", "id": f"o{number}", "status": "final", "code": code}
        | {name: [{"reference": f"#o{(number + 1) % count}"}] for name in names}
        for number in range(count)
    ]
    return observation(contained=items) | {"id": "x", **dict.fromkeys(names, every)}


@pytest.mark.parametrize(("count", "codings"), [(20, 100), (400, 1)])
def test_more_values_by_paths_than_are_indexed_are_refused_before_a_row_is_made(
    monkeypatch: pytest.MonkeyPatch, count: int, codings: int
) -> None:
    made: list[str] = []
    monkeypatch.setattr(
        "apps.patient.search.index.resource_index.contained_rows",
        lambda path, values: made.append(path),
    )
    with pytest.raises(ContainedTooCostlyError):
        index_of(entangled(count, codings), BASE)
    assert not made


def test_paths_are_taken_up_to_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a", "b")
    resource = observation("#a", "#b", contained=[practitioner(name) for name in names])
    monkeypatch.setattr(contained, "MAX_PATH_VALUES", 2)
    assert contents_of(resource, BASE).by_path
    monkeypatch.setattr(contained, "MAX_PATH_VALUES", 1)
    with pytest.raises(ContainedTooCostlyError):
        contents_of(resource, BASE)


def test_too_many_are_left_out_of_the_index_of_what_is_stored_already(
    caplog: pytest.LogCaptureFixture,
) -> None:
    resource = entangled(20, 100) | {"status": "amended"}
    plain = {name: value for name, value in resource.items() if name != "contained"}
    assert stored_index(resource, BASE) == index_of(plain, BASE)
    assert [(record.type, record.id) for record in caplog.records] == [("Observation", "x")]  # type: ignore[attr-defined]
    path = "Observation.focus:Observation"
    scanned = Scanned(parameter="code", relation="unequal", value="0", base_url=BASE, path=path)
    assert is_met(entangled(2, 2), scanned)
    assert not is_met(entangled(400, 2), scanned)


def test_a_hundred_results_in_a_report_are_indexed() -> None:
    results = [
        {
            "resourceType": "Observation",
            "id": f"o{number}",
            "status": "final",
            "category": [{"coding": [{"system": "urn:c", "code": "laboratory"}]}],
            "code": {"coding": [{"system": "urn:l", "code": str(number), "display": "x"}]},
            "subject": {"reference": "Patient/p"},
            "effectiveDateTime": "2024-01-01",
            "valueQuantity": {"value": number, "unit": "mg", "system": "urn:u", "code": "mg"},
        }
        for number in range(100)
    ]
    report = {
        "resourceType": "DiagnosticReport",
        "result": [{"reference": f"#o{number}"} for number in range(100)],
        "contained": results,
    }
    assert index_of(report, BASE).contained_references == {("Patient", "p")}


def test_each_reference_of_a_contained_resource_is_a_target() -> None:
    far = practitioner("b", extension=[])
    role = {
        "resourceType": "PractitionerRole",
        "id": "r",
        "practitioner": {"reference": "#b"},
        "organization": {"reference": "Organization/one"},
    }
    unreached = {
        "resourceType": "Organization",
        "id": "o",
        "partOf": {"reference": f"{BASE}/Organization/two"},
        "endpoint": [{"reference": "https://elsewhere.example/Endpoint/e"}],
    }
    index = index_of(observation("#r", contained=[role, far, unreached]), BASE)
    assert index.contained_references == {("Organization", "one"), ("Organization", "two")}
    assert index.rows.targets == {
        resource_hash("Organization", "one"),
        resource_hash("Organization", "two"),
    }


def test_reference_from_one_contained_resource_to_another_is_not_missing() -> None:
    role = {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "#p"}}
    rows = index_of(observation("#r", contained=[role, practitioner("p")]), BASE).rows
    path = "Observation.performer:PractitionerRole"
    assert present_hash(path, "practitioner") in rows.values
    assert present_hash(path, "organization") not in rows.values
    person = {
        "resourceType": "Encounter",
        "id": "e",
        "subject": {"reference": "#p"},
        "status": "finished",
        "class": {"code": "AMB"},
    }
    resource = observation(contained=[person, {"resourceType": "Patient", "id": "p"}])
    rows = index_of(resource | {"encounter": {"reference": "#e"}}, BASE).rows
    for name in ("patient", "subject"):
        assert present_hash("Observation.encounter:Encounter", name) in rows.values


def test_links_are_counted_as_they_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contained, "MAX_PATH_VALUES", 3)
    contents_of(observation("#a", contained=[practitioner("a")]), BASE)
    names = [f"p{number}" for number in range(4)]
    several = observation(*[f"#{name}" for name in names], contained=[*map(practitioner, names)])
    with pytest.raises(ContainedTooCostlyError):
        contents_of(several, BASE)
