"""Parsing and merging of `/api/patients`."""

from datetime import date
from typing import Any

import pytest

from apps.kit.errors import Unprocessable
from apps.patient.registration import (
    MAX_ADDRESS_CHARS,
    MAX_EMAIL_CHARS,
    MAX_NAME_CHARS,
    Registration,
    merge,
    parse_registration,
    patient_of,
)

TODAY = date(2026, 1, 1)


def registration(**changes: Any) -> Registration:
    body = {
        "name": "Ann Roe",
        "email": "ann@example.org",
        "address": "1 Street",
        "dateOfBirth": "1990-01-31",
    }
    return parse_registration({**body, **changes}, complete=True, today=TODAY)


def test_every_fault_of_a_registration_is_told_at_once() -> None:
    with pytest.raises(Unprocessable) as raised:
        parse_registration(
            {"name": "", "email": "x", "dateOfBirth": "x"}, complete=True, today=TODAY
        )
    assert {fault.pointer for fault in raised.value.faults} == {
        "/name",
        "/email",
        "/address",
        "/dateOfBirth",
    }


def long_email(length: int) -> str:
    return ("a@" + "b." * length)[: length - 1] + "c"


@pytest.mark.parametrize("body", [None, [], ["name"], "name", 7])
def test_registration_is_an_object(body: Any) -> None:
    with pytest.raises(Unprocessable) as raised:
        parse_registration(body, complete=False, today=TODAY)
    assert raised.value.faults[0].pointer == "/"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "n" * MAX_NAME_CHARS}, ""),
        ({"name": "n" * (MAX_NAME_CHARS + 1)}, "too_long"),
        ({"address": "a" * MAX_ADDRESS_CHARS}, ""),
        ({"address": "a" * (MAX_ADDRESS_CHARS + 1)}, "too_long"),
        ({"email": long_email(MAX_EMAIL_CHARS)}, ""),
        ({"email": long_email(MAX_EMAIL_CHARS + 1)}, "too_long"),
        ({"name": " "}, "blank"),
        ({"name": 7}, "not_a_string"),
        ({"name": None}, "required"),
        ({"name": "a\x00"}, "control_character"),
        ({"colour": "red"}, "unknown_field"),
        ({"dateOfBirth": TODAY.isoformat()}, ""),
        ({"dateOfBirth": "2026-01-02"}, "in_the_future"),
        ({"dateOfBirth": "20250101"}, "not_a_date"),
        ({"dateOfBirth": "2025-02-30"}, "not_a_date"),
        ({"registeredDate": None}, ""),
        ({"registeredDate": "2026-01-02"}, "in_the_future"),
    ],
)
def test_field_is_bounded(changes: dict[str, Any], code: str) -> None:
    if not code:
        assert registration(**changes).name
        return
    with pytest.raises(Unprocessable) as raised:
        registration(**changes)
    assert [fault.code for fault in raised.value.faults] == [code]


@pytest.mark.parametrize("email", ["a@b", "a.b+c@example.org", "ä@example.org", "a@example.co.uk"])
def test_email_addresses(email: str) -> None:
    assert registration(email=email).email == email


@pytest.mark.parametrize("email", ["a", "a@", "@b", "a b@c", "a@b@c", "a@-b", "<a@b>"])
def test_what_is_no_email_address(email: str) -> None:
    with pytest.raises(Unprocessable):
        registration(email=email)


def test_merging_what_is_left_out_changes_nothing() -> None:
    patient = patient_of(registration(), TODAY)
    assert merge(patient, parse_registration({}, complete=False, today=TODAY)) == patient
    assert merge(patient, registration()) == patient


def test_merging_does_not_change_the_version_before() -> None:
    patient = patient_of(registration(), TODAY)
    copy = repr(patient)
    merge(
        patient,
        registration(
            name="Ann Doe", email="new@example.org", address="2 Street", dateOfBirth="1991-01-01"
        ),
    )
    assert repr(patient) == copy


def test_patient_without_anything_gets_what_is_given() -> None:
    merged = merge({"resourceType": "Patient"}, registration())
    assert merged["name"] == [{"use": "official", "text": "Ann Roe"}]
    assert merged["telecom"] == [{"system": "email", "value": "ann@example.org"}]


def test_faults_are_told_in_words_up_to_a_number() -> None:
    for count in (4, 5, 6):
        body = {f"field-{number}": 1 for number in range(count)}
        with pytest.raises(Unprocessable) as raised:
            parse_registration(body, complete=False, today=TODAY)
        assert len(raised.value.faults) == count
        assert len(raised.value.detail.split("; ")) == min(count, 5)


def test_merging_changes_the_official_name_the_first_email_and_the_first_address() -> None:
    patient = {
        "resourceType": "Patient",
        "name": [{"text": "Nick"}, {"use": "official", "family": "Roe", "given": ["Ann"]}],
        "telecom": [
            {"system": "phone", "value": "1"},
            {"system": "email", "value": "a@x", "use": "home"},
            {"system": "email", "value": "b@x"},
        ],
        "address": [{"city": "Old"}, {"city": "Second"}],
    }
    merged = merge(patient, registration(name="Ann Doe"))
    assert merged["name"] == [
        {"text": "Nick"},
        {"use": "official", "family": "Roe", "given": ["Ann"], "text": "Ann Doe"},
    ]
    assert merged["telecom"] == [
        {"system": "phone", "value": "1"},
        {"system": "email", "value": "ann@example.org", "use": "home"},
        {"system": "email", "value": "b@x"},
    ]
    assert merged["address"] == [{"text": "1 Street"}, {"city": "Second"}]
    assert merged["birthDate"] == "1990-01-31"
