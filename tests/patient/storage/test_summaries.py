"""What a resource says in short."""

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.patient.storage.summaries import (
    ClinicalSummary,
    Coding,
    PatientSummary,
    display_name,
    first_address,
    referenced_id,
    summary_of,
)


def clinical(resource_type: str, **elements: Any) -> ClinicalSummary:
    found = summary_of({"resourceType": resource_type, **elements})
    assert isinstance(found, ClinicalSummary)
    return found


def person(**elements: Any) -> PatientSummary:
    found = summary_of({"resourceType": "Patient", **elements})
    assert isinstance(found, PatientSummary)
    return found


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (None, None),
        ([], None),
        ([{"use": "old", "text": "Old"}], "Old"),
        ([{"use": "old", "text": "Old"}, {"text": "New"}], "New"),
        ([{"text": "First"}, {"use": "official", "text": "Official"}], "Official"),
        ([{"family": "Roe"}], "Roe"),
        (
            [{"prefix": ["Dr"], "given": ["Ann", None], "family": "Roe", "suffix": ["PhD"]}],
            "Dr Ann Roe PhD",
        ),
        ([{"use": "official"}], None),
    ],
)
def test_name_is_the_official_one_or_the_first_that_is_not_old(names: Any, told: Any) -> None:
    assert display_name({"resourceType": "Patient", "name": names}) == told


@pytest.mark.parametrize(
    ("addresses", "told"),
    [
        ([], None),
        ([{"text": "1 Street"}, {"text": "other"}], "1 Street"),
        (
            [{"line": ["1 Street", "2b"], "city": "C", "state": "S", "postalCode": "9"}],
            "1 Street, 2b, C, S 9",
        ),
        ([{"postalCode": "9", "country": "US"}], "9, US"),
        ([{"use": "home"}], None),
    ],
)
def test_address_is_the_first_as_it_is_written(addresses: Any, told: Any) -> None:
    assert first_address({"address": addresses}) == told


def test_patient_tells_the_first_of_each() -> None:
    found = person(
        telecom=[
            {"system": "phone", "value": "1"},
            {"system": "email"},
            {"system": "email", "value": "a@x"},
            {"system": "email", "value": "b@x"},
        ],
        address=[{"city": "C"}, {"postalCode": "1"}, {"postalCode": "2"}],
        extension=[
            {"url": "other", "valueDate": "2020"},
            {"url": "urn:patient-management:registered-date", "valueDate": "2021"},
        ],
        link=[
            {"type": "seealso", "other": {"reference": "Patient/a"}},
            {"type": "replaced-by", "other": {"reference": "Patient/b"}},
            {"type": "replaced-by", "other": {"reference": "Patient/c"}},
        ],
    )
    assert (found.email, found.postal_code, found.registered_date, found.merged_into) == (
        "a@x",
        "1",
        "2021",
        "b",
    )
    assert person() == PatientSummary()


@pytest.mark.parametrize(
    ("reference", "id"),
    [
        ("Patient/a", "a"),
        ("Patient/a/_history/2", "a"),
        ("http://x/fhir/Patient/a", "a"),
        ("Group/a", None),
        ("a", None),
        ("Patient", None),
        ("", None),
        (7, None),
        (None, None),
    ],
)
def test_reference_has_the_id_of_its_type(reference: Any, id: str | None) -> None:
    assert referenced_id({"reference": reference}, "Patient") == id
    assert referenced_id("Patient/a", "Patient") is None


A, B = Coding("s", "a"), Coding("", "b")
CODES = {"coding": [{"system": "s", "code": "a"}, {"display": "x"}, {"code": "b"}]}


@pytest.mark.parametrize(
    ("resource_type", "elements", "codings", "categories"),
    [
        ("Observation", {"code": CODES, "category": [CODES]}, (A, B), (A, B)),
        ("Encounter", {"type": [CODES], "class": {"code": "b"}}, (A, B), (B,)),
        ("Immunization", {"vaccineCode": CODES}, (A, B), ()),
        ("MedicationRequest", {"medicationCodeableConcept": CODES, "code": CODES}, (A, B), ()),
        ("AllergyIntolerance", {"category": ["b"]}, (), (B,)),
        ("Appointment", {"appointmentType": CODES}, (A, B), ()),
        ("Observation", {"code": {"text": "x"}}, (), ()),
        ("Observation", {}, (), ()),
    ],
)
def test_codes_and_categories_are_where_the_type_has_them(
    resource_type: str,
    elements: dict[str, Any],
    codings: tuple[Coding, ...],
    categories: tuple[Coding, ...],
) -> None:
    found = clinical(resource_type, **elements)
    assert (found.codings, found.categories) == (codings, categories)


def test_status_is_the_clinical_one_where_there_is_no_other() -> None:
    active = {"coding": [{"code": "active"}, {"code": "x"}]}
    assert clinical("Condition", clinicalStatus=active).status == "active"
    assert clinical("Condition", clinicalStatus=active, status="s").status == "s"
    assert clinical("Condition").status is None


def test_encounter_alone_has_reasons_and_an_end() -> None:
    elements = {
        "reasonCode": [CODES],
        "period": {"start": "2024-01-02", "end": "2024-01-03T10:00:00Z"},
        "encounter": {"reference": "Encounter/e"},
    }
    encounter, procedure = clinical("Encounter", **elements), clinical("Procedure", **elements)
    assert (encounter.reasons, procedure.reasons) == ((A, B), ())
    assert encounter.ended_at == datetime(2024, 1, 3, 10, tzinfo=UTC)
    assert procedure.ended_at is None
    assert encounter.happened_at == procedure.happened_at == datetime(2024, 1, 2, tzinfo=UTC)
    assert procedure.encounter_id == "e"


@pytest.mark.parametrize(
    ("elements", "day"),
    [
        ({"issued": "2024-01-02", "effectiveDateTime": "2023-01-02"}, 2023),
        ({"effectiveDateTime": "soon", "issued": "2024-01-02"}, 2024),
        ({"effectivePeriod": {"start": 7}, "issued": "2024-01-02"}, 2024),
        ({"effectivePeriod": {"start": "2022"}, "issued": "2024-01-02"}, 2022),
        ({"effectivePeriod": {"end": "2022"}, "issued": "2024-01-02"}, None),
        ({}, None),
    ],
)
def test_time_is_the_first_that_is_told(elements: dict[str, Any], day: int | None) -> None:
    found = clinical("Observation", **elements).happened_at
    assert (found.year if found else None) == day
