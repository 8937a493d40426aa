"""The pure rules: dates as spans, facts, search values, numbers, merging."""

from contextlib import suppress
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kit.errors import BadRequest, Unprocessable
from apps.kit.operation_outcomes import expression_of
from apps.patient.changes import Author, change_of
from apps.patient.criteria import make_cursor, parse_criteria, parse_cursor, split_values, unescape
from apps.patient.events import messages_of
from apps.patient.facts import (
    clinical_facts,
    code_keys,
    display_name,
    first_address,
    fold,
    patient_facts,
    term_key,
)
from apps.patient.mrn import SYSTEM, format_mrn, with_mrn
from apps.patient.periods import parse_span
from apps.patient.registration import Registration, merge, parse_registration, patient_of

TODAY = date(2026, 1, 1)


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2024", moment(2024, 1, 1), moment(2025, 1, 1)),
        ("2024-02", moment(2024, 2, 1), moment(2024, 3, 1)),
        ("2024-12", moment(2024, 12, 1), moment(2025, 1, 1)),
        ("2024-02-29", moment(2024, 2, 29), moment(2024, 3, 1)),
        ("2024-02-29T10:00Z", moment(2024, 2, 29, 10), moment(2024, 2, 29, 10, 1)),
        ("2024-02-29T10:00:00+02:00", moment(2024, 2, 29, 8), moment(2024, 2, 29, 8, 0, 1)),
        ("2024-02-29T10:00:00", moment(2024, 2, 29, 10), moment(2024, 2, 29, 10, 0, 1)),
    ],
)
def test_date_is_the_span_that_it_names(text: str, start: datetime, end: datetime) -> None:
    span = parse_span(text)
    assert span is not None
    assert (span.start, span.end) == (start, end)


@pytest.mark.parametrize("text", ["9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59Z", "0001"])
def test_ends_of_time_are_spans_too(text: str) -> None:
    span = parse_span(text)
    assert span is not None
    assert span.start < span.end


@pytest.mark.parametrize(
    "text", ["", "soon", "0000", "2024-13", "2023-02-29", "2024-1-1", "2024-01-01T25:00Z", "99999"]
)
def test_what_is_no_date_is_no_span(text: str) -> None:
    assert parse_span(text) is None


@given(st.dates(min_value=date(1, 1, 1), max_value=date(9999, 12, 30)))
def test_every_day_lies_in_its_month_and_year(day: date) -> None:
    spans = [parse_span(day.isoformat()[:length]) for length in (10, 7, 4)]
    for inner, outer in pairwise(spans):
        assert inner
        assert outer
        assert outer.start <= inner.start < inner.end <= outer.end


def test_name_is_the_official_one_composed_where_it_has_no_text() -> None:
    old = {"use": "old", "text": "Before"}
    official = {
        "use": "official",
        "prefix": ["Dr."],
        "given": ["Ann", "B."],
        "family": "Roe",
        "suffix": ["PhD"],
    }
    assert display_name({"name": [old, official]}) == "Dr. Ann B. Roe PhD"
    assert display_name({"name": [old, {"text": "Now"}]}) == "Now"
    assert display_name({"name": [old]}) == "Before"
    assert display_name({}) is None


def test_address_is_composed_where_it_has_no_text() -> None:
    address = {
        "line": ["1 Street"],
        "city": "Town",
        "state": "MA",
        "postalCode": "01234",
        "country": "US",
    }
    assert (
        first_address({"address": [address, {"text": "second"}]}) == "1 Street, Town, MA 01234, US"
    )
    assert first_address({"address": [{"text": "whole", **address}]}) == "whole"
    assert first_address({}) is None


def test_folding_drops_case_accents_and_spaces() -> None:
    assert fold("  GARCÍA \t Straße ") == "garcia strasse"


@given(st.text(max_size=2000))
def test_search_terms_fit_their_column(text: str) -> None:
    facts = patient_facts(
        {"name": [{"text": text}], "identifier": [{"value": text, "system": text}]}
    )
    assert all(len(term.value) <= 200 and len(term.system) <= 200 for term in facts.terms)
    assert len(term_key(text)) <= 200


def test_long_identifiers_stay_apart() -> None:
    assert term_key("x" * 300 + "1") != term_key("x" * 300 + "2")


def test_codes_are_kept_with_and_without_their_system() -> None:
    facts = clinical_facts(
        {
            "resourceType": "AllergyIntolerance",
            "clinicalStatus": {"coding": [{"code": "active"}]},
            "category": ["food"],
            "code": {"coding": [{"system": "http://s", "code": "1"}, {"code": "2"}]},
            "onsetPeriod": {"start": "2024"},
        }
    )
    assert code_keys(facts.codings) == ["1", "http://s|1", "2", "|2"]
    assert code_keys(facts.categories) == ["food", "|food"]
    assert (facts.status, facts.happened_from, facts.happened_before) == (
        "active",
        "2024-01-01T00:00:00+00:00",
        "infinity",
    )


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a,b", ["a", "b"]),
        (r"a\,b", ["a,b"]),
        (r"a\\b,", [r"a\b"]),
        ("", []),
        ("a\x00", []),
        (r"x\|y", ["x|y"]),
    ],
)
def test_values_lie_between_commas(text: str, values: list[str]) -> None:
    assert [unescape(part) for part in split_values(text)] == values


def test_identifier_is_split_at_its_own_bar() -> None:
    sql = parse_criteria("Patient", [("identifier", r"http://s|a\|b")]).sql
    assert sql.arguments == ["identifier", "a|b", "http://s"]


@pytest.mark.parametrize(
    "parameter",
    [
        *(
            "name=",
            "name=,",
            "shoe-size=44",
            "_count=x",
            "birthdate=ap2020",
            "_sort=name",
            "name:contains=x",
        ),
        *("active=yes", "identifier=s|", "gender=", "_total=some"),
    ],
)
def test_parameter_that_is_not_served_is_refused(parameter: str) -> None:
    name, _, value = parameter.partition("=")
    with pytest.raises(BadRequest):
        parse_criteria("Patient", [(name, value)])


def test_criteria_are_bounded() -> None:
    with pytest.raises(BadRequest):
        parse_criteria("Patient", [("name", "x")] * 21)
    with pytest.raises(BadRequest):
        parse_criteria("Patient", [("name", ",".join("x" * 51))])


@given(st.from_regex(r"\A[A-Za-z0-9.-]{1,64}\Z"))
def test_cursor_comes_back(id: str) -> None:
    assert parse_cursor(make_cursor(id)) == id


@given(st.text())
def test_foreign_cursor_is_refused_or_harmless(text: str) -> None:
    with suppress(BadRequest):
        assert len(parse_cursor(text)) <= 64


@given(st.integers(min_value=1, max_value=99_999_999), st.integers(0, 7), st.integers(1, 9))
def test_one_wrong_digit_makes_no_mrn(number: int, place: int, change: int) -> None:
    mrn = format_mrn(number)
    wrong = int(mrn[:8][place]) + change
    other = mrn[:place] + str(wrong % 10) + mrn[place + 1 : 8]
    assert format_mrn(int(other))[-1] != mrn[-1]


def test_mrn_is_not_claimed() -> None:
    patient = with_mrn({"resourceType": "Patient"}, "000000018")
    assert with_mrn(patient, "000000018") is patient
    with pytest.raises(Unprocessable):
        with_mrn({"identifier": [{"system": SYSTEM, "value": "1"}]}, "000000018")


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


def test_new_patient_is_an_event_and_an_account_under_one_id() -> None:
    author = Author("actor", "client", "request", "trace")
    resource = {
        "resourceType": "Patient",
        "birthDate": "1990-01-31",
        "address": [{"postalCode": "02332"}],
    }
    change = change_of(
        resource,
        id="p",
        version_id=1,
        patient_id="p",
        recorded_at=moment(2026, 1, 1),
        method="POST",
    )
    billing, kafka = messages_of(change, author)
    assert (billing.destination, kafka.destination) == ("billing", "kafka")
    assert billing.event_id == kafka.event_id
    assert b"02332" not in kafka.payload
    assert b"023" in kafka.payload
    again = change_of(
        resource, id="p", version_id=2, patient_id="p", recorded_at=moment(2026, 1, 1), method="PUT"
    )
    assert [message.destination for message in messages_of(again, author)] == ["kafka"]


def test_stored_resource_says_its_own_id_and_version() -> None:
    resource = {
        "resourceType": "Patient",
        "id": "theirs",
        "meta": {"versionId": "9", "profile": ["http://p"]},
    }
    change = change_of(
        resource,
        id="ours",
        version_id=2,
        patient_id="ours",
        recorded_at=moment(2026, 1, 1),
        method="PUT",
    )
    assert change.version.body == (
        '{"resourceType":"Patient","id":"ours","meta":{"versionId":"2","lastUpdated":"2026-01-01T00:00:00.000Z",'
        '"profile":["http://p"]}}'
    )


def test_pointer_is_told_as_fhirpath() -> None:
    assert expression_of("/name/0/given/1", "Patient") == "Patient.name[0].given[1]"
    assert expression_of("/entry/12/resource/id", "Bundle") == "Bundle.entry[12].resource.id"
