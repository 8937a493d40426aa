"""References as they are written."""

import pytest

from apps.patient.search.index.references import Reference, parse_reference

BASE = "http://platform.test/fhir/R4"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("Patient/1", Reference(type="Patient", id="1")),
        (f"{BASE}/Patient/1", Reference(type="Patient", id="1")),
        ("Patient/1/_history/2", Reference(type="Patient", id="1", version="2")),
        (f"{BASE}/Patient/1/_history/2", Reference(type="Patient", id="1", version="2")),
        ("1", Reference(url="1")),
        ("Patient", Reference(url="Patient")),
        ("Patient/", Reference(type="Patient", url="Patient/")),
        ("Banana/1", Reference(url="Banana/1")),
        ("a/Patient/1", Reference(type="Patient", url="a/Patient/1")),
        ("1/_history/2", Reference(url="1/_history/2")),
        ("http://x/Patient/1", Reference(type="Patient", url="http://x/Patient/1")),
        (f"{BASE}2/Patient/1", Reference(type="Patient", url=f"{BASE}2/Patient/1")),
        ("urn:uuid:1", Reference(url="urn:uuid:1")),
    ],
)
def test_reference_is_to_a_resource_here_or_an_address(text: str, reference: Reference) -> None:
    assert parse_reference(text, BASE) == reference


def test_reference_to_what_is_contained_is_none() -> None:
    assert parse_reference("#a", BASE) is None
