"""Values that were found valid are remembered, and nothing else is."""

from decimal import Decimal
from typing import Any

import pytest

from apps.patient.definitions import known_values
from apps.patient.definitions.known_values import KnownValues
from apps.patient.definitions.validation import find_faults


def observation(**values: Any) -> dict[str, Any]:
    code = {"coding": [{"system": "http://loinc.org", "code": "8302-2"}], "text": "Height"}
    return {"resourceType": "Observation", "status": "final", "code": code, **values}


@pytest.mark.parametrize(
    "code",
    [
        {"coding": [{"system": "http://loinc.org", "code": Decimal("8302.2")}]},
        {"coding": [{"system": "http://loinc.org", "code": "8302-2", "codes": "x"}]},
        {"text": Decimal("1.0")},
        {"text": "\ud800"},
        {"coding": []},
    ],
)
def test_value_that_resembles_a_known_one_is_refused_each_time(code: dict[str, Any]) -> None:
    known = {"coding": [{"system": "http://loinc.org", "code": "8302.2"}]}
    for valid in (observation(), observation(code=known), observation(code={"text": "1.0"})):
        assert find_faults(valid, "Observation") == ()
    for _ in range(2):
        assert find_faults(observation(code=code), "Observation") != ()


def test_value_is_known_to_its_own_element_alone() -> None:
    category = {"coding": [{"system": "http://example.org", "code": "x"}]}
    assert find_faults(observation(category=[category]), "Observation") == ()
    condition = {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/1"},
        "clinicalStatus": category,
    }
    assert [fault.code for fault in find_faults(condition, "Condition")] == ["code-invalid"]


def test_value_whose_extension_refers_to_what_is_contained_is_looked_at_each_time() -> None:
    extension = {"url": "http://example.org/e", "valueReference": {"reference": "#p"}}
    code = {"text": "x", "extension": [extension]}
    contained = [{"resourceType": "Practitioner", "id": "p"}]
    assert find_faults(observation(code=code, contained=contained), "Observation") == ()
    assert [fault.pointer for fault in find_faults(observation(code=code), "Observation")] == [
        "/code/extension/0/valueReference"
    ]


def test_known_values_are_forgotten_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_values, "MAX_VALUES", 3)
    monkeypatch.setattr(KnownValues, "_count", 0)
    known, other = KnownValues(), KnownValues()
    for key in (b"1", b"2", b"3"):
        known.add(key)
    other.add(b"4")
    assert b"1" not in known
    assert b"4" in other
    other.add(b"x" * (known_values.MAX_VALUE_BYTES + 1))
    assert b"x" * (known_values.MAX_VALUE_BYTES + 1) not in other
