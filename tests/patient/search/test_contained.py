"""What contained resources are indexed by: the path of references that leads to them."""

from typing import Any

from apps.patient.search.contained import contents_of
from apps.patient.search.index import index_of

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
    assert found.parameters == {"patient", "subject"}


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
