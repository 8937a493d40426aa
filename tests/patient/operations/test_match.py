"""What $match takes, and what it searches for."""

import secrets
from typing import Any

import pytest

from apps.kit.errors import Unprocessable
from apps.patient.operations.match import blocks_of, dates_near, escaped, parse_parameters
from apps.patient.operations.scoring import person_of
from tests.patient.patient_service import Service

PATIENT = {"resourceType": "Patient", "active": True}
RESOURCE = {"name": "resource", "resource": PATIENT}


def parameters(*more: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [RESOURCE, *more]}


def count(value: Any) -> dict[str, Any]:
    return {"name": "count", "valueInteger": value}


def certain(value: Any) -> dict[str, Any]:
    return {"name": "onlyCertainMatches", "valueBoolean": value}


@pytest.mark.parametrize(
    ("more", "only_certain", "most"),
    [
        ([], False, 10),
        ([count(1)], False, 1),
        ([count(50), certain(True)], True, 50),
        ([certain(False)], False, 10),
    ],
)
def test_parameters_are_read(more: list[Any], only_certain: bool, most: int) -> None:
    assert parse_parameters(parameters(*more)) == (PATIENT, only_certain, most)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {**parameters(), "resourceType": "Bundle"},
        {"resourceType": "Parameters", "parameter": {}},
        {"resourceType": "Parameters", "parameter": []},
        {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": []}]},
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "resource", "resource": {**PATIENT, "resourceType": "Person"}}],
        },
        parameters(count(0)),
        parameters(count(51)),
        parameters(count(True)),
        parameters(count("1")),
        parameters(certain("true")),
        parameters(certain(None)),
        parameters({"name": "other"}),
        parameters("text"),
    ],
)
def test_parameters_that_say_something_else_are_refused(body: Any) -> None:
    with pytest.raises(Unprocessable, match="invalid_parameters"):
        parse_parameters(body)


def test_each_fault_is_named() -> None:
    with pytest.raises(Unprocessable) as caught:
        parse_parameters(parameters({"name": "other"}, count(0), certain(1)))
    pointers = [fault.pointer for fault in caught.value.faults]
    assert pointers == ["/parameter/1/name", "/parameter", "/parameter"]


@pytest.mark.parametrize(
    ("date", "near"),
    [
        ("1977-03-12", ["1977-03-12", "1977-12-03"]),
        ("1977-03-03", ["1977-03-03"]),
        ("1977-03", []),
        ("", []),
    ],
)
def test_date_is_looked_for_with_day_and_month_swapped(date: str, near: list[str]) -> None:
    assert dates_near(date) == near


def test_values_are_escaped() -> None:
    assert escaped("a,b$c|d\\e") == "a\\,b\\$c\\|d\\\\e"


def test_candidates_share_an_identifier_a_contact_the_date_or_the_names() -> None:
    person = person_of(
        {
            "identifier": [{"system": "urn:a", "value": "1|2"}],
            "telecom": [{"system": "email", "value": "a@example.org"}],
            "birthDate": "1977-03-12",
            "name": [{"family": "Olsen", "given": ["Ivar"]}],
        }
    )
    assert list(blocks_of(person)) == [
        [("identifier", "urn:a|1\\|2")],
        [("email", "a@example.org")],
        [("birthdate", "1977-03-12")],
        [("birthdate", "1977-12-03")],
        [("family", "olsen"), ("given", "iv")],
        [("family", "ivar"), ("given", "olsen")],
    ]


def test_of_many_values_some_are_looked_for() -> None:
    numbers = range(6)
    person = person_of(
        {
            "identifier": [{"system": "urn:a", "value": str(number)} for number in numbers],
            "telecom": [
                {"system": system, "value": value}
                for number in numbers
                for system, value in (
                    ("phone", f"555010{number}"),
                    ("email", f"{number}@example.org"),
                )
            ],
            "name": [{"family": f"F{number}", "given": [f"G{number}"]} for number in numbers],
        }
    )
    names = [name for ((name, _), *_) in blocks_of(person)]
    assert [names.count(name) for name in ("identifier", "phone", "email")] == [5, 5, 5]
    assert names.count("family") == 2 * 5 * 5


@pytest.mark.integration
def test_match_gives_as_many_as_are_asked_for(service: Service) -> None:
    family = "".join(secrets.choice("aeioulmnrst") for _ in range(12))
    known = {
        "resourceType": "Patient",
        "name": [{"family": family, "given": ["Robert"]}],
        "birthDate": "1977-03-12",
        "gender": "male",
    }
    made = sorted(str(service.create(known)["id"]) for _ in range(2))
    for most in (1, 2, 3):
        asked = {"name": "resource", "resource": known}
        body = {"resourceType": "Parameters", "parameter": [asked, count(most)]}
        answer = service.call("POST", "/fhir/R4/Patient/$match", json=body)
        entries = answer.json()["entry"]
        assert [entry["resource"]["id"] for entry in entries] == made[:most]
