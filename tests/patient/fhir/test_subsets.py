"""Parts of a resource."""

from typing import Any

import pytest

from apps.patient.fhir.subsets import SUBSETTED, subset

TEXT = {"status": "generated", "div": "x"}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o",
    "meta": {"versionId": "1", "tag": [{"code": "vip"}]},
    "text": TEXT,
    "status": "final",
    "_status": {"id": "s"},
    "code": {"text": "c"},
    "valueString": "v",
    "note": [{"text": "n"}],
}
ALWAYS = {"resourceType", "id", "meta"}
REQUIRED = {*ALWAYS, "status", "_status", "code"}


@pytest.mark.parametrize(
    ("elements", "summary", "names"),
    [
        (("note",), "", {*REQUIRED, "note"}),
        (("note.text", "Observation.text"), "", {*REQUIRED, "note", "text"}),
        (("value",), "", {*REQUIRED, "valueString"}),
        (("valueString",), "", {*REQUIRED, "valueString"}),
        # Of another type.
        (("Patient.note",), "", REQUIRED),
        (("id",), "true", REQUIRED),
        ((), "text", {*REQUIRED, "text"}),
        ((), "data", set(OBSERVATION) - {"text"}),
        ((), "true", {*REQUIRED, "valueString"}),
    ],
)
def test_part_has_what_is_asked_for_and_what_is_required(
    elements: tuple[str, ...], summary: str, names: set[str]
) -> None:
    part = subset(OBSERVATION, elements, summary)
    assert set(part) == names
    assert part["meta"] == {"versionId": "1", "tag": [{"code": "vip"}, SUBSETTED]}
    assert subset(part, elements, summary) == part
    assert SUBSETTED not in OBSERVATION["meta"]["tag"]


def test_whole_resource_is_not_marked_as_a_part() -> None:
    whole = {name: value for name, value in OBSERVATION.items() if name != "text"}
    assert subset(whole, (), "data") == whole
    bare = {"resourceType": "Observation", "status": "final", "code": {"text": "c"}}
    assert subset(bare, ("note",), "") == bare
    assert subset({**bare, "note": []}, ("status",), "")["meta"] == {"tag": [SUBSETTED]}
