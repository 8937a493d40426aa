"""The form of a patient writes what it shows and leaves everything else as it is."""

import copy
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from apps.console.screens.patient_form import apply_form, check_form, values_of
from apps.console.web.texts import choose_texts

TEXTS = choose_texts("", "en-GB", ZoneInfo("UTC"))
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {"versionId": "3"},
    "extension": [{"url": "http://example.org/x", "valueString": "kept"}],
    "active": True,
    "identifier": [
        {"system": "urn:patient-management:mrn", "value": "000000018"},
        {"type": {"coding": [{"code": "NI"}]}, "value": "X-1"},
    ],
    "name": [
        {"use": "official", "family": "Peñalver", "given": ["José", "María"], "prefix": ["Dr."]},
        {"use": "maiden", "family": "Ruiz"},
        {"use": "nickname", "text": "Pepe"},
    ],
    "telecom": [
        {"system": "phone", "use": "mobile", "value": "+34 600"},
        {"system": "phone", "use": "work", "value": "+34 900"},
        {"system": "email", "value": "a@example.org"},
        {"system": "fax", "value": "1"},
    ],
    "gender": "male",
    "birthDate": "1971-11-02",
    "address": [
        {"use": "home", "line": ["1 Calle Mayor"], "city": "Sevilla", "postalCode": "41001"},
        {"use": "old", "city": "Toledo"},
    ],
    "maritalStatus": {"coding": [{"code": "M"}]},
    "communication": [{"language": {"coding": [{"code": "es"}]}, "preferred": True}],
    "contact": [
        {
            "name": {"text": "Ana Ruiz"},
            "relationship": [{"coding": [{"code": "C"}]}],
            "telecom": [{"system": "phone", "value": "+34 700"}],
        }
    ],
    "deceasedDateTime": "2025-01-01",
}


def test_form_sent_as_it_was_shown_changes_nothing() -> None:
    values = values_of(PATIENT, TEXTS)
    assert check_form(values, TEXTS) == {}
    after = apply_form(copy.deepcopy(PATIENT), values, TEXTS)
    # The coding of a status is written with its system.
    after["maritalStatus"]["coding"][0].pop("system", None)
    assert after == PATIENT


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("family", "Soler", ("name", 0, "family")),
        ("city", "Cádiz", ("address", 0, "city")),
        ("mobile", "+34 611", ("telecom", 0, "value")),
        ("home_phone", "+34 911", ("telecom", 1, "value")),
        ("email", "b@example.org", ("telecom", 2, "value")),
        ("national_id", "Y-2", ("identifier", 1, "value")),
        ("birth_date", "03/11/1971", ("birthDate",)),
    ],
)
def test_one_field_changes_one_element(name: str, value: str, path: tuple[Any, ...]) -> None:
    values = values_of(PATIENT, TEXTS) | {name: value}
    after = apply_form(copy.deepcopy(PATIENT), values, TEXTS)
    expected: Any = copy.deepcopy(PATIENT)
    target = expected
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = "1971-11-03" if name == "birth_date" else value
    after["maritalStatus"]["coding"][0].pop("system", None)
    assert after == expected


def test_emptied_field_leaves_no_empty_element() -> None:
    values = dict.fromkeys(values_of(PATIENT, TEXTS), "") | {"family": "Solo"}
    after = apply_form(copy.deepcopy(PATIENT), values, TEXTS)
    for name in ("birthDate", "gender", "communication", "contact", "deceasedDateTime"):
        assert name not in after
    assert after["active"] is False
    assert after["extension"] == PATIENT["extension"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("birth_date", "31/02/1984"),
        ("birth_date", "01/01/2999"),
        ("email", "nobody"),
        ("mobile", "call me"),
        ("gender", "x"),
        ("language", "English"),
        ("city", "x" * 201),
        ("family", ""),
    ],
)
def test_faults_are_named_by_field(name: str, value: str) -> None:
    values = {"family": "Soler", name: value}
    assert list(check_form(values, TEXTS)) == [name]
