"""What no index tells is compared with the resource itself."""

from typing import Any

import pytest

from apps.patient.search.criteria.criteria import Scanned
from apps.patient.search.criteria.texts import parse_text
from apps.patient.search.scanning import is_met
from tests.patient.search.reading.queries import BASE

CODE = {"coding": [{"system": "s", "code": "Ab"}]}
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">bone</div>'
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "text": {"status": "generated", "div": DIV},
    "status": "final",
    "code": CODE,
    "valueString": "liver",
    "performer": [{"reference": "#d"}],
    "contained": [{"resourceType": "Practitioner", "id": "d", "name": [{"family": "Strøm"}]}],
}
PATIENT = {"resourceType": "Patient", "name": [{"family": "Strøm"}]}
DOCUMENT = {
    "resourceType": "DocumentReference",
    "content": [{"attachment": {"contentType": "text/XML; charset=utf-8"}}],
}
PROCEDURE = {"resourceType": "Procedure", "instantiatesCanonical": ["http://x/a|1.2.3"]}


def met(
    resource: dict[str, Any], parameter: str, relation: str, value: str, path: str = ""
) -> bool:
    scanned = Scanned(parameter=parameter, relation=relation, value=value, base_url=BASE, path=path)
    return is_met(resource, scanned)


@pytest.mark.parametrize(
    ("resource", "parameter", "relation", "value", "expected"),
    [
        (PATIENT, "family", "ends", "om", True),
        (PATIENT, "family", "ends", "stro", False),
        (PATIENT, "given", "ends", "om", False),
        (OBSERVATION, "code", "unequal", "aB", False),
        (OBSERVATION, "code", "unequal", "other", True),
        (OBSERVATION, "code", "unequal", "s|ab", False),
        (OBSERVATION, "code", "unequal", "t|ab", True),
        (OBSERVATION, "code", "unequal", "s|", False),
        (OBSERVATION, "code", "unequal", "t|", True),
        (OBSERVATION, "category", "unequal", "x", False),
        (DOCUMENT, "contenttype", "media", "text/xml", True),
        (DOCUMENT, "contenttype", "media", "text", True),
        (DOCUMENT, "contenttype", "media", "tex", False),
        (DOCUMENT, "contenttype", "media", "text/html", False),
        (PROCEDURE, "instantiates-canonical", "canonical", "http://x/a", True),
        (PROCEDURE, "instantiates-canonical", "canonical", "http://x/a|1.2", True),
        (PROCEDURE, "instantiates-canonical", "canonical", "http://x/a|1.2.3", True),
        (PROCEDURE, "instantiates-canonical", "canonical", "http://x/a|1.2.3.4", False),
        (PROCEDURE, "instantiates-canonical", "canonical", "http://x/a|1.20", False),
        (PROCEDURE, "instantiates-canonical", "canonical", "http://x/b", False),
        (OBSERVATION, "code", "ends", "b", False),
    ],
)
def test_values_are_compared(
    resource: dict[str, Any], parameter: str, relation: str, value: str, expected: bool
) -> None:
    assert met(resource, parameter, relation, value) is expected
    path = resource["resourceType"]
    assert met(resource, parameter, relation, value, path) is expected


def test_contained_resource_is_compared_at_its_path() -> None:
    path = "Observation.performer:Practitioner"
    assert met(OBSERVATION, "family", "ends", "om", path)
    assert not met(OBSERVATION, "family", "ends", "x", path)
    assert not met(OBSERVATION, "family", "ends", "om", "Observation.performer:Organization")


@pytest.mark.parametrize(
    ("relation", "text", "expected"),
    [
        ("text", "bone", True),
        ("text", "liver", False),
        ("content", "liver", True),
        ("content", "bone", True),
    ],
)
def test_words_are_of_the_narrative_or_of_the_whole_resource(
    relation: str, text: str, expected: bool
) -> None:
    words = parse_text(text)
    scanned = Scanned(parameter=f"_{relation}", relation=relation, words=words, base_url=BASE)
    assert is_met(OBSERVATION, scanned) is expected
