import time
from typing import Any

import pytest

from apps.patient.codec import decode, encode
from apps.patient.definitions.validation import MAX_FAULTS, find_faults

PATIENT = {"resourceType": "Patient"}
OBSERVATION = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}


DIV = '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'


def contained(resource: dict[str, Any]) -> dict[str, Any]:
    """A change that contains `resource` as `#o` and refers to it."""
    return {
        "contained": [{"id": "o", **resource}],
        "extension": [{"url": "u", "valueReference": {"reference": "#o"}}],
    }


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
        {
            "contained": [{"resourceType": "Organization", "id": "o", "name": "x"}],
            "managingOrganization": {"reference": "#o"},
        },
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
        ({"name": ["x"]}, "/name/0"),
        ({"name": [{"family": ""}]}, "/name/0/family"),
        ({"name": [{"given": "Ana"}]}, "/name/0/given"),
        ({"name": [{"given": []}]}, "/name/0/given"),
        ({"contained": ["x"]}, "/contained/0"),
        ({"maritalStatus": {"coding": "x"}}, "/maritalStatus/coding"),
        ({"name": [{"family": "a\x00b"}]}, "/name/0/family"),
        ({"name": [{"family": "a\ud800"}]}, "/name/0/family"),
        ({"name": [{"use": "nick"}]}, "/name/0/use"),
        ({"identifier": [{"use": "x"}]}, "/identifier/0/use"),
        ({"shoeSize": 44}, "/shoeSize"),
        ({"fhir_comments": ["x"]}, "/fhir_comments"),
        (contained({"resourceType": "Bogus"}), "/contained/0/resourceType"),
        (contained({"resourceType": "HumanName", "text": "x"}), "/contained/0/resourceType"),
        (
            contained({"resourceType": "Organization", "name": "x", "active": "true"}),
            "/contained/0/active",
        ),
        ({"link": [{"other": {"reference": "Patient/1"}}]}, "/link/0/type"),
        ({"deceasedBoolean": True, "deceasedDateTime": "2020"}, "/deceasedDateTime"),
        ({"text": {"status": "done", "div": DIV}}, "/text/status"),
    ],
)
def test_fault_is_named(change: dict[str, Any], pointer: str) -> None:
    assert pointers({**PATIENT, **change}) == [pointer]


def test_primitive_that_is_missing_needs_extensions_in_its_place() -> None:
    extensions = [{"extension": [{"url": "u", "valueString": "x"}]}]
    name = {"given": ["Ann", None], "_given": extensions}
    assert pointers({**PATIENT, "name": [name]}) == ["/name/0/given/1", "/name/0/_given"]


def test_coding_of_a_bound_element_is_checked_once_it_is_a_list() -> None:
    condition = {"resourceType": "Condition", "subject": {"reference": "Patient/1"}}
    status = {"clinicalStatus": {"coding": "active"}}
    assert pointers({**condition, **status}) == ["/clinicalStatus/coding"]


def test_contained_resource_has_more_than_its_type() -> None:
    found = pointers({**PATIENT, "contained": [{"resourceType": "Organization"}]})
    assert found[0] == "/contained/0"


@pytest.mark.parametrize(
    ("depth", "within", "is_valid"),
    [(25, False, True), (26, False, False), (23, True, True), (24, True, False)],
)
def test_resources_within_each_other_are_bounded(depth: int, within: bool, is_valid: bool) -> None:
    # Each Bundle is two steps deeper: its entry and what is in it.
    resource: dict[str, Any] = {"resourceType": "Bundle", "type": "collection"}
    for _ in range(depth):
        entry = {"resource": resource}
        resource = {"resourceType": "Bundle", "type": "collection", "entry": [entry]}
    if within:
        part = {"name": "x", "part": [{"name": "y", "resource": resource}]}
        resource = {"resourceType": "Parameters", "parameter": [part]}
    faults = find_faults(resource, resource["resourceType"])
    assert [fault.code for fault in faults] == ([] if is_valid else ["too-long"])


@pytest.mark.parametrize("start", ["2024-02-30", "0000-01-01", "2024-13-01", "2024-00-10"])
def test_period_with_a_day_that_no_calendar_has_is_named(start: str) -> None:
    period = {"start": f"{start}T10:00:00Z", "end": "2024-05-01T10:00:00+02:00"}
    change = {"telecom": [{"system": "phone", "value": "1", "period": period}]}
    assert pointers({**PATIENT, **change}) == ["/telecom/0/period/start"]


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


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        # obs-7 compares the codings of each component with those of the Observation.
        (
            {
                **OBSERVATION,
                "valueString": "x",
                "code": {"coding": [{"code": f"a{number}"} for number in range(10_000)]},
                "component": [{"code": {"coding": [{"code": "b"}]}} for _ in range(10_000)],
            },
            "too-costly",
        ),
        # ref-1 and dom-3 look for each reference in what is contained.
        (
            {
                **PATIENT,
                "contained": [
                    {"resourceType": "Practitioner", "id": f"p{number}"} for number in range(8_000)
                ],
                "generalPractitioner": [{"reference": f"#p{number}"} for number in range(8_000)],
            },
            "",
        ),
        # bdl-7 asks whether the addresses of all entries differ.
        (
            {
                "resourceType": "Bundle",
                "type": "collection",
                "entry": [
                    {"fullUrl": f"urn:x:{number}", "resource": PATIENT | {"active": True}}
                    for number in range(8_000)
                ],
            },
            "",
        ),
        (
            {**PATIENT, "text": {"status": "generated", "div": DIV.replace("x", "<b/>" * 60_000)}},
            "invalid",
        ),
    ],
)
def test_cost_does_not_grow_with_the_square(resource: dict[str, Any], code: str) -> None:
    start = time.process_time()
    faults = find_faults(resource, resource["resourceType"])
    assert [fault.code for fault in faults] == ([code] if code else [])
    assert time.process_time() - start < 2.0


def test_many_elements_side_by_side_are_not_deep() -> None:
    names = [{"family": "x", "period": {"start": "2024"}} for _ in range(200)]
    assert pointers({**PATIENT, "name": names}) == []


def test_faults_are_bounded() -> None:
    assert len(find_faults({**PATIENT, "name": [{}] * 1000}, "Patient")) == MAX_FAULTS
