from typing import Any

import pytest

from apps.kit.errors import BadRequest
from apps.patient.codec import decode, encode
from apps.patient.definitions.narrative import is_safe_narrative
from apps.patient.definitions.validation import MAX_FAULTS, find_faults

PATIENT = {"resourceType": "Patient"}
OBSERVATION = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}


def pointers(resource: dict[str, Any]) -> list[str]:
    return [fault.pointer for fault in find_faults(resource, resource["resourceType"])]


@pytest.mark.parametrize(
    "change",
    [
        {"gender": "unknown", "birthDate": "1970", "active": False},
        {"deceasedDateTime": "2020-02-29T10:00:00.123+01:00"},
        {
            "name": [
                {
                    "given": ["Ann", None],
                    "_given": [None, {"extension": [{"url": "u", "valueString": "x"}]}],
                }
            ]
        },
        {"_birthDate": {"extension": [{"url": "u", "valueDateTime": "1970-01-01T10:00:00Z"}]}},
        {"contained": [{"resourceType": "Organization", "id": "o", "name": "x"}]},
        {"extension": [{"url": "u", "valueDecimal": decode(b"1.10")}]},
        {
            "text": {
                "status": "generated",
                "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>x &amp; y</p></div>',
            }
        },
        {"multipleBirthInteger": 2},
        {"name": [{"family": "line\nbreak and \ttab"}]},
    ],
)
def test_valid_resource_has_no_fault_and_is_left_as_it_is(change: dict[str, Any]) -> None:
    resource = {**PATIENT, **change}
    before = encode(resource)
    assert find_faults(resource, "Patient") == ()
    assert encode(resource) == before


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"gender": "banana"}, "/gender"),
        ({"active": "true"}, "/active"),
        ({"active": 1}, "/active"),
        ({"birthDate": 0}, "/birthDate"),
        ({"birthDate": "1700000000"}, "/birthDate"),
        ({"birthDate": "2024-02-30"}, "/birthDate"),
        ({"birthDate": "0000-01-01"}, "/birthDate"),
        ({"deceasedDateTime": "2020-01-01T10:00:00"}, "/deceasedDateTime"),
        ({"multipleBirthInteger": True}, "/multipleBirthInteger"),
        ({"multipleBirthInteger": "2"}, "/multipleBirthInteger"),
        ({"multipleBirthInteger": 2**31}, "/multipleBirthInteger"),
        ({"extension": [{"url": "u", "valueDecimal": "1.0"}]}, "/extension/0/valueDecimal"),
        ({"id": "x" * 65}, "/id"),
        ({"id": "a/b"}, "/id"),
        ({"name": []}, "/name"),
        ({"name": {"family": "x"}}, "/name"),
        ({"name": [{}]}, "/name/0"),
        ({"name": [None]}, "/name/0"),
        ({"name": None}, "/name"),
        ({"meta": {}}, "/meta"),
        ({"name": [{"family": ""}]}, "/name/0/family"),
        ({"name": [{"family": "a\x00b"}]}, "/name/0/family"),
        ({"name": [{"family": "a\ud800"}]}, "/name/0/family"),
        ({"name": [{"use": "nick"}]}, "/name/0/use"),
        ({"identifier": [{"use": "x"}]}, "/identifier/0/use"),
        ({"shoeSize": 44}, "/shoeSize"),
        ({"fhir_comments": ["x"]}, "/fhir_comments"),
        ({"contained": [{"resourceType": "Bogus", "id": "x"}]}, "/contained/0/resourceType"),
        ({"contained": [{"resourceType": "HumanName", "text": "x"}]}, "/contained/0/resourceType"),
        (
            {"contained": [{"resourceType": "Organization", "active": "true"}]},
            "/contained/0/active",
        ),
        ({"link": [{"other": {"reference": "Patient/1"}}]}, "/link/0/type"),
        ({"deceasedBoolean": True, "deceasedDateTime": "2020"}, ""),
        ({"text": {"status": "done", "div": "<div>x</div>"}}, "/text/status"),
    ],
)
def test_fault_is_named(change: dict[str, Any], pointer: str) -> None:
    assert pointers({**PATIENT, **change}) == [pointer]


@pytest.mark.parametrize("status", ["corrected", "entered-in-error", "unknown", "cancelled"])
def test_value_sets_are_whole(status: str) -> None:
    assert pointers({**OBSERVATION, "status": status}) == []


def test_resource_of_another_type_or_of_none_is_refused() -> None:
    resource: Any
    for resource in ({"resourceType": "Observation"}, {}, [], None, "Patient"):
        assert find_faults(resource, "Patient")


def test_deep_nesting_is_refused() -> None:
    extension: dict[str, Any] = {"url": "u", "valueString": "x"}
    for _ in range(200):
        extension = {"url": "u", "extension": [extension]}
    assert pointers({**PATIENT, "extension": [extension]})


def test_faults_are_bounded() -> None:
    assert len(find_faults({**PATIENT, "name": [{}] * 1000}, "Patient")) == MAX_FAULTS


@pytest.mark.parametrize(
    "div",
    [
        "<div>plain</div>",
        '<div xmlns="http://www.w3.org/1999/xhtml"><table><tr><td colspan="2">x<br/></td></tr></table></div>',
        '<div><a href="https://example.org">x</a><a href="#a">x</a><img src="data:image/png;base64,AA" alt="x"/></div>',
        "<div><!-- a comment --><b style='color: red'>x</b></div>",
    ],
)
def test_formatting_is_allowed_in_a_narrative(div: str) -> None:
    assert is_safe_narrative(div)


@pytest.mark.parametrize(
    "div",
    [
        "plain",
        "",
        "<p>x</p>",
        "<div><script>alert(1)</script></div>",
        "<div><SCRIPT SRC=//x></SCRIPT></div>",
        "<div><svg onload=alert(1)></svg></div>",
        '<div onclick="alert(1)">x</div>',
        '<div><a href="javascript:alert(1)">x</a></div>',
        '<div><a href="java\tscript:alert(1)">x</a></div>',
        '<div><a href=" &#106;avascript:alert(1)">x</a></div>',
        '<div><a href="data:text/html,x">x</a></div>',
        '<div><img src="data:image/svg+xml,x"/></div>',
        "<div><iframe src='https://example.org'></iframe></div>",
        "<div><form action='x'><input/></form></div>",
        "<div style='background: url(//x)'>x</div>",
        "<div><link rel='stylesheet' href='x'/></div>",
        "<!DOCTYPE html><div>x</div>",
        "<div><?php x ?></div>",
        "<div><![CDATA[<script>]]></div>",
        "<div><b <script>alert(1)</script></div>",
        "<div>x</div><script",
    ],
)
def test_what_a_browser_would_run_is_refused_in_a_narrative(div: str) -> None:
    assert not is_safe_narrative(div)


@pytest.mark.parametrize(
    "text", [b"1.10", b"5.840", b"1E+5", b"-0.0", b"123456789012345678901234567890", b"1E-20"]
)
def test_numbers_survive_as_they_were_written(text: bytes) -> None:
    assert encode(decode(text)) == text


@pytest.mark.parametrize(
    "text", [b"1e999999999", b"1e99999999999999999999999", b"0." + b"1" * 2000, b"9" * 5000]
)
def test_number_beyond_reason_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        decode(text)
