"""What `$everything` takes."""

import pytest

from apps.kit.errors import BadRequest
from apps.patient.operations.everything import drop_repetitions, members, read_parameters


@pytest.mark.parametrize(
    ("pairs", "values"),
    [
        ([], {}),
        ([("_count", "2"), ("_type", "Observation")], {"_count": "2", "_type": "Observation"}),
        ([("start", "2020"), ("end", "2021-01")], {"start": "2020", "end": "2021-01"}),
        ([("_since", "2020-01-01T00:00:00 01:00")], {"_since": "2020-01-01T00:00:00 01:00"}),
        # What the link of a page has.
        (
            [("_include", "*"), ("_lastUpdated", "ge2020"), ("_cursor", "x")],
            {"_cursor": "x", "_since": "2020"},
        ),
        ([("_lastUpdated", "ge2020"), ("_since", "2021")], {"_since": "2021"}),
    ],
)
def test_parameters_are_read(pairs: list[tuple[str, str]], values: dict[str, str]) -> None:
    assert read_parameters(pairs) == values


@pytest.mark.parametrize(
    ("pairs", "pointer"),
    [
        ([("shoe", "44")], "shoe"),
        ([("x" * 101, "44")], "x" * 100),
        ([("_count", "2"), ("_count", "2")], "_count"),
        ([("start", "ge2020")], "start"),
        ([("end", "2020,2021")], "end"),
        ([("_since", "")], "_since"),
        ([("_lastUpdated", "lt2020")], "_since"),
    ],
)
def test_parameter_that_is_none_is_refused(pairs: list[tuple[str, str]], pointer: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_parameters(pairs)
    assert refused.value.faults[0].pointer == pointer


def test_resources_of_the_compartment_come_on_their_own_page_alone() -> None:
    def entry(kind: str, mode: str) -> dict[str, object]:
        return {"fullUrl": f"http://x/fhir/R4/{kind}/1", "search": {"mode": mode}}

    kept = [
        entry("Patient", "match"),
        entry("Observation", "match"),
        entry("Practitioner", "include"),
    ]
    dropped = [entry("Observation", "include"), entry("Patient", "include")]
    bundle = {"resourceType": "Bundle", "entry": [*kept, *dropped]}
    drop_repetitions(bundle)
    assert bundle["entry"] == kept
    for left in ({"entry": dropped}, {}):
        drop_repetitions(left)
        assert left == {}
    assert "AuditEvent" not in members() and "Patient" not in members()
    assert {"Observation", "Condition"} <= set(members())
