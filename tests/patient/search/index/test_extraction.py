"""What a resource is found by, along the paths of HL7's search parameters."""

from decimal import Decimal
from typing import Any

import pytest

from apps.patient.definitions.fhirpath.compiler import compile_path
from apps.patient.definitions.model import search_parameters, served_types
from apps.patient.search.index.conversions import CONVERSIONS
from apps.patient.search.index.extraction import NOT_EXTRACTED, index_values, values_of
from apps.patient.search.index.index_values import (
    OPEN_END,
    CompositeValue,
    DateValue,
    IndexValue,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
)
from apps.patient.search.index.moments import parse_moment

BASE = "https://example.org/fhir/R4"
LOINC = "http://loinc.org"
CODE = {"coding": [{"system": LOINC, "code": "8867-4", "display": "Heart rate"}]}
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def values(resource: dict[str, Any], parameter: str) -> list[IndexValue]:
    return [value for value in index_values(resource, BASE) if value.parameter == parameter]


def tokens(resource: dict[str, Any], parameter: str) -> list[tuple[str, str]]:
    found = values(resource, parameter)
    return [(value.system, value.code) for value in found if isinstance(value, TokenValue)]


def texts(resource: dict[str, Any], parameter: str) -> list[str]:
    found = values(resource, parameter)
    return [value.normalised for value in found if isinstance(value, StringValue)]


def observation(**changes: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": CODE, **changes}


def test_every_parameter_of_every_type_leads_to_values() -> None:
    """A path that no conversion takes would make a parameter that finds nothing."""
    dead = [
        f"{name}.{parameter.code}"
        for name in served_types()
        for parameter in search_parameters(name).values()
        if parameter.code not in NOT_EXTRACTED
        and not parameter.components
        and not any(
            (parameter.kind, branch.type) in CONVERSIONS
            for branch in compile_path(parameter.expression, name)
        )
    ]
    assert dead == []


def test_every_coding_of_every_repetition_counts() -> None:
    condition = {
        "resourceType": "Condition",
        "clinicalStatus": {
            "coding": [{"system": "urn:l", "code": "aktiv"}, {"system": CLINICAL, "code": "active"}]
        },
        "category": [{"coding": [{"code": "a"}]}, {"coding": [{"code": "b"}], "text": "Bee"}],
    }
    assert tokens(condition, "clinical-status") == [("urn:l", "aktiv"), (CLINICAL, "active")]
    assert tokens(condition, "category") == [("", "a"), ("", "b")]


def test_code_has_the_system_of_its_value_set() -> None:
    patient = {"resourceType": "Patient", "gender": "female", "active": True}
    assert tokens(patient, "gender") == [("http://hl7.org/fhir/administrative-gender", "female")]
    assert [code for _, code in tokens(patient, "active")] == ["true"]
    assert [code for _, code in tokens(patient, "deceased")] == ["false"]
    dead = {**patient, "deceasedDateTime": "2020"}
    assert [code for _, code in tokens(dead, "deceased")] == ["true"]


def test_concept_of_text_alone_is_found_by_its_text() -> None:
    found = values(observation(code={"text": "Pulse"}), "code")
    assert found == [TokenValue(parameter="code", system="", code="", text="Pulse")]


@pytest.mark.parametrize(
    "written",
    ["Patient/p1", f"{BASE}/Patient/p1", f"{BASE}/Patient/p1/_history/3", "Patient/p1/_history/1"],
)
def test_reference_of_ours_is_one_reference_however_written(written: str) -> None:
    for parameter in ("subject", "patient"):
        (found,) = values(observation(subject={"reference": written}), parameter)
        assert isinstance(found, ReferenceValue)
        assert (found.type, found.id, found.url) == ("Patient", "p1", "")


def test_reference_elsewhere_keeps_its_address() -> None:
    written = "https://other.test/fhir/Patient/p1"
    (found,) = values(observation(subject={"reference": written}), "subject")
    assert isinstance(found, ReferenceValue)
    assert (found.type, found.id, found.url) == ("Patient", "", written)
    assert values(observation(subject={"reference": "Group/g"}), "patient") == []
    assert values(observation(subject={"reference": "#p"}), "subject") == []


def test_logical_reference_is_found_by_its_identifier() -> None:
    subject = {"type": "Patient", "identifier": {"system": "urn:s", "value": "1"}}
    (found,) = values(observation(subject=subject), "patient")
    assert isinstance(found, ReferenceValue)
    assert (found.type, found.identifier_system, found.identifier_value) == (
        "Patient",
        "urn:s",
        "1",
    )


def test_date_is_compared_as_an_instant_and_as_the_clock_showed_it() -> None:
    period = {"start": "2024-03-10T20:00:00-05:00"}
    encounter = {"resourceType": "Encounter", "period": period}
    (found,) = values(encounter, "date")
    day, instant = parse_moment("2024-03-10"), parse_moment("2024-03-11T01:00:00Z")
    assert isinstance(found, DateValue)
    assert day is not None
    assert instant is not None
    assert day.clock_start <= found.clock_start < day.clock_end
    assert found.start == instant.start
    assert (found.end, found.clock_end) == (OPEN_END, OPEN_END)


def test_dates_have_r4s_own_paths() -> None:
    allergy = {
        "resourceType": "AllergyIntolerance",
        "recordedDate": "2024",
        "onsetDateTime": "2020",
        "code": {"coding": [{"code": "a"}]},
        "reaction": [{"substance": {"coding": [{"code": "b"}]}, "onset": "2021"}],
    }
    assert len(values(allergy, "date")) == 1
    assert tokens(allergy, "code") == [("", "a"), ("", "b")]
    assert len(values(allergy, "onset")) == 1
    assert values(observation(issued="2024-01-01T00:00:00Z"), "date") == []
    timing = {"event": ["2024-01-01", "2024-01-03"]}
    assert len(values(observation(effectiveTiming=timing), "date")) == 2
    request = {
        "resourceType": "MedicationRequest",
        "authoredOn": "2024",
        "dosageInstruction": [{"timing": timing}],
    }
    assert len(values(request, "date")) == 2


def test_name_is_found_by_each_of_its_parts() -> None:
    patient = {
        "resourceType": "Patient",
        "name": [{"given": ["Ana", "Maria"], "family": "Strøm"}, {"text": "Old Name"}],
    }
    assert texts(patient, "name") == ["strom", "ana", "maria", "old name"]
    assert texts(patient, "family") == ["strom"]
    groups = [value.group for value in values(patient, "name") if isinstance(value, StringValue)]
    assert groups == [0, 0, 0, 1]


def test_phone_is_found_by_its_digits() -> None:
    contacts = [
        {"system": "phone", "value": "+61 3 5555 0123"},
        {"system": "email", "value": "Ann@Example.org"},
    ]
    patient = {"resourceType": "Patient", "telecom": contacts}
    assert tokens(patient, "phone") == [("phone", "61355550123"), ("phone", "355550123")]
    assert tokens(patient, "email") == [("email", "ann@example.org")]


def test_identifier_counts_its_blanks_and_has_its_type() -> None:
    kind = {"coding": [{"system": "urn:t", "code": "MR"}]}
    identifier = {"system": "urn:s", "value": "AX ", "type": kind}
    (found,) = values({"resourceType": "Patient", "identifier": [identifier]}, "identifier")
    assert isinstance(found, TokenValue)
    assert (found.code, found.type_codes) == ("AX ", (("urn:t", "MR"),))


def test_identifier_that_says_nothing_is_not_indexed() -> None:
    for identifier, count in (
        ({"type": {"text": "MRN"}}, 0),
        ({"system": "urn:s"}, 1),
        ({"value": "1"}, 1),
    ):
        patient = {"resourceType": "Patient", "identifier": [identifier]}
        assert len(values(patient, "identifier")) == count


def test_some_parameters_are_read_alone_and_those_made_of_others_not_at_all() -> None:
    resource = observation(id="o", subject={"reference": "Patient/p"})
    found = {value.parameter for value in values_of(resource, ["code", "subject"], BASE)}
    assert found == {"code", "subject"}
    every = {value.parameter for value in index_values(resource, BASE)}
    assert {"code", "subject", "patient", "status"} <= every
    assert not every & {"combo-code", "_id", "_lastUpdated"}


def test_quantity_keeps_its_digits_and_its_comparator() -> None:
    below = {"value": Decimal("5.40"), "comparator": "<", "unit": "mg"}
    (found,) = values(observation(valueQuantity=below), "value-quantity")
    assert isinstance(found, QuantityValue)
    assert (found.low, str(found.high), found.unit) == (None, "5.40", "mg")


def test_components_are_found_together() -> None:
    def component(code: str, value: int) -> dict[str, Any]:
        return {"code": {"coding": [{"code": code}]}, "valueQuantity": {"value": value}}

    pressure = observation(component=[component("sys", 120), component("dia", 80)])
    found = values(pressure, "component-code-value-quantity")
    pairs = []
    for value in found:
        assert isinstance(value, CompositeValue)
        code, quantity = value.parts
        assert isinstance(code, TokenValue)
        assert isinstance(quantity, QuantityValue)
        pairs.append((code.code, quantity.low))
    assert pairs == [("sys", Decimal(120)), ("dia", Decimal(80))]
    assert values(pressure, "code-value-quantity") == []


def test_primitive_of_extensions_alone_has_no_value() -> None:
    unknown = {"extension": [{"url": "u", "valueCode": "unknown"}]}
    patient = {"resourceType": "Patient", "_birthDate": unknown, "_gender": unknown}
    assert values(patient, "birthdate") == []
    assert values(patient, "gender") == []


def test_element_with_very_many_codings_is_bounded() -> None:
    many = {"coding": [{"code": str(number)} for number in range(1000)]}
    assert (
        len(values(observation(code=many, valueCodeableConcept=many), "code-value-concept")) == 100
    )
