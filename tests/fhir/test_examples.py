"""HL7's own examples of R4, IPS and US Core: accepted, and given back as they came,
digit by digit.
"""

import json
import os
from collections.abc import Mapping

import pytest

from apps.patient.codec import decode, encode
from apps.patient.definitions.model import served_types
from apps.patient.definitions.validation import find_faults
from apps.patient.search.index.extraction import index_values
from tests.fhir.packages import (
    IPS,
    R4_EXAMPLES,
    US_CORE,
    UnreachableError,
    entries_of,
    files_in,
    resources_in,
    type_of,
)

pytestmark = pytest.mark.fhir

# Examples that break R4 themselves, with the element at fault.
FLAWED: Mapping[str, str] = {
    # An Encounter is no performer.
    "Observation-clinical-gender.json": "/performer/0/reference",
    # The dispenser is an Organization.
    "MedicationRequest-medrx0301.json": "/dispenseRequest/performer/reference",
}


@pytest.fixture(scope="module")
def examples() -> list[tuple[str, bytes]]:
    """The examples of the types that are served."""
    return [
        (name, text) for name, text in resources_in(R4_EXAMPLES) if type_of(text) in served_types()
    ]


def test_there_are_examples_of_nearly_every_type(examples: list[tuple[str, bytes]]) -> None:
    missing = set(served_types()) - {type_of(text) for _, text in examples}
    assert len(examples) > 350
    assert missing <= {"HealthcareService"}


def test_every_example_is_accepted_but_those_that_are_wrong(
    examples: list[tuple[str, bytes]],
) -> None:
    refused = {}
    for name, text in examples:
        faults = find_faults(decode(text), type_of(text))
        if faults:
            refused[name] = " ".join(fault.pointer for fault in faults)
    assert refused == FLAWED


def test_every_example_is_given_back_as_it_came(examples: list[tuple[str, bytes]]) -> None:
    for name, text in examples:
        given = json.loads(encode(decode(text)), parse_float=str, parse_int=str)
        assert given == json.loads(text, parse_float=str, parse_int=str), name


def test_every_example_is_found_by_something(examples: list[tuple[str, bytes]]) -> None:
    for name, text in examples:
        assert index_values(decode(text), "https://example.org/fhir/R4") or "Binary" in name, name


@pytest.fixture(scope="module")
def summaries() -> list[tuple[str, bytes]]:
    """The examples of the International Patient Summary, Bundles among them."""
    return list(resources_in(IPS, folder="example/"))


def test_every_resource_of_the_patient_summaries_is_accepted(
    summaries: list[tuple[str, bytes]],
) -> None:
    served = [
        resource
        for _, text in summaries
        for resource in entries_of(text)
        if resource["resourceType"] in served_types()
    ]
    assert len(served) > 80
    assert {resource["resourceType"] for resource in served} > {"Immunization", "ImagingStudy"}
    for resource in served:
        assert not find_faults(resource, resource["resourceType"]), resource["id"]


def test_every_patient_summary_is_given_back_as_it_came(
    summaries: list[tuple[str, bytes]],
) -> None:
    for name, text in summaries:
        given = json.loads(encode(decode(text)), parse_float=str, parse_int=str)
        assert given == json.loads(text, parse_float=str, parse_int=str), name


@pytest.fixture(scope="module")
def us_core() -> list[tuple[str, bytes]]:
    """The examples of US Core, Bundles among them."""
    try:
        return list(files_in(US_CORE, "input/examples"))
    except UnreachableError as error:
        # GitHub's own runners always reach it.
        if os.environ.get("GITHUB_ACTIONS") == "true":
            raise
        pytest.skip(f"{error}; {US_CORE.variable} names a copy")


def test_every_us_core_resource_is_accepted_but_those_that_are_wrong(
    us_core: list[tuple[str, bytes]],
) -> None:
    served = [
        (name, resource)
        for name, text in us_core
        for resource in entries_of(text)
        if resource["resourceType"] in served_types()
    ]
    assert len(served) > 200
    refused = {}
    for name, resource in served:
        faults = find_faults(resource, resource["resourceType"])
        if faults:
            refused[name] = " ".join(fault.pointer for fault in faults)
    # Its narrative is left to the publishing tool.
    assert refused == {"diagnosticreport-cbc.json": "/text/div"}


def test_every_us_core_resource_is_given_back_as_it_came(us_core: list[tuple[str, bytes]]) -> None:
    for name, text in us_core:
        given = json.loads(encode(decode(text)), parse_float=str, parse_int=str)
        assert given == json.loads(text, parse_float=str, parse_int=str), name
