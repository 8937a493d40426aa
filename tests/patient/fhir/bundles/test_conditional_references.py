"""Conditional references that are read as logical ones."""

from typing import Any

import pytest

from apps.patient.fhir.bundles.conditional_references import logical_reference


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("Practitioner?identifier=urn:x|1", {"system": "urn:x", "value": "1"}),
        ("Organization?identifier=urn:x|a%7Cb", {"system": "urn:x", "value": "a|b"}),
        ("Location?identifier=urn:x|a\\,b", {"system": "urn:x", "value": "a,b"}),
    ],
)
def test_system_and_value_are_a_logical_reference(text: str, identifier: dict[str, Any]) -> None:
    found = logical_reference(text)
    assert isinstance(found, dict)
    assert found["identifier"] == identifier
    assert found["type"] == text.partition("?")[0]


@pytest.mark.parametrize(
    "text",
    [
        # Whose record it is must be known.
        "Patient?identifier=urn:x|1",
        "Practitioner?name=a",
        "Practitioner?identifier=urn:x|1&name=a",
        "Practitioner?identifier=1",
        "Practitioner?identifier=|1",
        "Practitioner?identifier=urn:x|",
        "Practitioner?identifier=",
        "Practitioner?x",
    ],
)
def test_other_criteria_are_no_logical_reference(text: str) -> None:
    assert logical_reference(text) is None
