"""References between a Bundle's entries, without a database."""

from typing import Any

import pytest

from apps.kit.errors import Unprocessable
from apps.patient.codec import Resource
from apps.patient.fhir.bundles import conditional_references as module
from apps.patient.fhir.bundles import references
from apps.patient.fhir.bundles.parsing import Entry
from apps.patient.fhir.bundles.references import Resolved, mentions_of, resolve
from apps.patient.search.reading.reader import Reader
from apps.patient.storage.access import Caller
from apps.patient.storage.versions import Author
from tests.patient.patient_service import principal

URN = "urn:uuid:11111111-1111-4111-8111-111111111111"
TARGETS = {URN: "Patient/1", "https://a.example/fhir/Encounter/7": "Encounter/2"}
HOSPITAL = "Organization?identifier=urn:hospitals|1"
CALLER = Caller(
    principal=principal("system/*.cruds"),
    author=Author("somebody", "client", "request", ""),
    reader=Reader(base_url="http://test/fhir/R4"),
)


def entry_of(resource: Resource, index: int) -> Entry:
    return Entry(
        index=index,
        method="POST",
        full_url="https://a.example/fhir/Observation/5",
        path=("Observation",),
        pairs=[],
        resource=resource,
    )


def resolved(resource: Resource, conditional: dict[str, Resolved] | None = None) -> Any:
    entry = entry_of(resource, 3)
    resolve(entry, mentions_of(resource, TARGETS), TARGETS, conditional or {})
    return resource


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (URN, "Patient/1"),
        (f"{URN}#part", "Patient/1#part"),
        ("Encounter/7", "Encounter/2"),
        ("Encounter/7/_history/3", "Encounter/2"),
        ("https://a.example/fhir/Encounter/7/_history/3", "Encounter/2"),
        ("Encounter/8", "Encounter/8"),
        ("#contained", "#contained"),
        ("https://b.example/fhir/Encounter/7", "https://b.example/fhir/Encounter/7"),
    ],
)
def test_reference_to_an_entry_becomes_one_to_its_resource(reference: str, expected: str) -> None:
    observation = {"resourceType": "Observation", "hasMember": [{"reference": reference}]}
    assert resolved(observation)["hasMember"] == [{"reference": expected}]


def test_conditional_reference_becomes_what_it_leads_to() -> None:
    logical = {"type": "Organization", "identifier": {"system": "urn:hospitals", "value": "1"}}
    observation = {"resourceType": "Observation", "performer": [{"reference": HOSPITAL}]}
    assert list(mentions_of(observation, {}).conditional()) == [
        (HOSPITAL, observation["performer"][0])
    ]
    assert resolved(observation, {HOSPITAL: logical})["performer"] == [logical]
    observation = {"resourceType": "Observation", "performer": [{"reference": HOSPITAL}]}
    found = resolved(observation, {HOSPITAL: "Organization/4"})
    assert found["performer"] == [{"reference": "Organization/4"}]


async def test_conditional_reference_after_the_5000th_is_too_costly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[Any] = []

    def pointer_to(resource: Resource, value: Any) -> str:
        looked.append(value)
        return references.pointer_to(resource, value)

    monkeypatch.setattr(module, "pointer_to", pointer_to)
    entries = [
        entry_of({"resourceType": "Observation", "focus": [{"reference": f"{HOSPITAL}{n}"}]}, n)
        for n in range(5001)
    ]
    mentions = {entry.index: mentions_of(entry.resource or {}, {}) for entry in entries}
    connection: Any = None
    with pytest.raises(Unprocessable) as refused:
        await module.find_conditional(connection, CALLER, entries, (), mentions)
    (fault,) = refused.value.faults
    assert (fault.code, fault.pointer) == (
        "too-costly",
        "/entry/5000/resource/focus/0/reference",
    )
    # To find where one stands takes as long as the resource is.
    assert len(looked) == 1


async def test_condition_that_is_not_served_is_refused_where_it_stands() -> None:
    references = [{"reference": HOSPITAL}, {"reference": "Organization?shoe=44"}]
    entry = entry_of({"resourceType": "Observation", "performer": references}, 3)
    mentions = {3: mentions_of(entry.resource or {}, {})}
    connection: Any = None
    with pytest.raises(Unprocessable) as refused:
        await module.find_conditional(connection, CALLER, [entry], (), mentions)
    (fault,) = refused.value.faults
    assert fault.pointer == "/entry/3/resource/performer/1/reference"


def test_uris_name_entries_and_other_texts_do_not() -> None:
    value = {
        "resourceType": "CarePlan",
        "instantiatesUri": [URN],
        "title": URN,
        "identifier": [{"system": URN, "value": URN}],
    }
    found = resolved(value)
    assert (found["instantiatesUri"], found["title"]) == (["Patient/1"], URN)
    assert found["identifier"] == [{"system": "Patient/1", "value": URN}]


def test_urn_that_no_entry_has_is_refused_where_it_stands() -> None:
    observation = {
        "resourceType": "Observation",
        "contained": [{"resourceType": "Group", "member": [{"entity": {"reference": URN + "0"}}]}],
    }
    with pytest.raises(Unprocessable) as refused:
        resolved(observation)
    assert [fault.pointer for fault in refused.value.faults] == [
        "/entry/3/resource/contained/0/member/0/entity/reference"
    ]


def written(method: str, id: str, full_url: str, index: int) -> Entry:
    path = ("Observation", id) if id else ("Observation",)
    return Entry(index=index, method=method, full_url=full_url, path=path, pairs=[], id=id)


@pytest.mark.parametrize(
    ("entries", "pointer"),
    [
        ([("PUT", "1", ""), ("PUT", "2", "")], ""),
        ([("PUT", "1", ""), ("PUT", "1", "")], "/entry/1/request/url"),
        ([("DELETE", "1", ""), ("PATCH", "1", "")], "/entry/1/request/url"),
        ([("PUT", "1", ""), ("GET", "1", ""), ("GET", "1", "")], ""),
        ([("POST", "", "urn:1"), ("POST", "", "urn:2")], ""),
        ([("POST", "", ""), ("POST", "", "")], ""),
        ([("POST", "", "urn:1"), ("PUT", "1", "urn:1")], "/entry/1/fullUrl"),
        ([("POST", "", "urn:1"), ("DELETE", "1", "urn:1")], ""),
        ([("DELETE", "1", "urn:1"), ("DELETE", "2", "urn:1")], ""),
        ([("POST", "", "urn:1"), ("GET", "1", "urn:1")], ""),
        # A POST has an id of the server's.
        ([("POST", "1", ""), ("PUT", "1", "")], ""),
    ],
)
def test_resource_and_full_url_are_of_one_entry(
    entries: list[tuple[str, str, str]], pointer: str
) -> None:
    made = [written(*each, index) for index, each in enumerate(entries)]
    if not pointer:
        references.check_identities(made)
        return
    with pytest.raises(Unprocessable) as refused:
        references.check_identities(made)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]
