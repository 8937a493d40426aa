from decimal import Decimal
from typing import Any

import pytest

from apps.patient.search.index import resource_index
from apps.patient.search.index.contained import ContainedTooCostlyError
from apps.patient.search.index.extraction import index_values
from apps.patient.search.index.index_rows import index_rows
from apps.patient.search.index.resource_index import MAX_NAMES, MAX_REMEMBERED_BYTES, index_of

BASE = "https://clinic.example/fhir/R4"


def observation(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8302-2"}], "text": "Height"},
        "subject": {"reference": "Patient/p1"},
        "valueQuantity": {
            "value": Decimal("1.80"),
            "unit": "m",
            "system": "http://unitsofmeasure.org",
            "code": "m",
        },
    } | more


def assert_same_as_without_memory(resource: dict[str, Any], base_url: str = BASE) -> None:
    values = index_values(resource, base_url)
    index = index_of(resource, base_url)
    assert set(index.values) == set(values)
    assert index.rows == index_rows(resource["resourceType"], values)


def test_remembered_parts_give_the_same_index_again() -> None:
    for _ in range(2):
        assert_same_as_without_memory(observation())


def test_a_part_is_not_taken_for_another_types_or_values() -> None:
    assert_same_as_without_memory(observation())
    assert_same_as_without_memory(observation(status="amended"))
    assert_same_as_without_memory(observation(subject={"reference": "Patient/p2"}))
    assert_same_as_without_memory(observation() | {"resourceType": "DiagnosticReport"})


def test_an_address_of_another_server_is_no_reference_of_ours() -> None:
    resource = observation(subject={"reference": f"{BASE}/Patient/p1"})
    assert_same_as_without_memory(resource)
    assert_same_as_without_memory(resource, "https://other.example/fhir/R4")


def test_extensions_of_a_primitive_belong_to_its_part() -> None:
    unknown = {"extension": [{"url": "urn:why", "valueCode": "unknown"}]}
    person = {"resourceType": "Patient", "birthDate": "1970-01-02"}
    assert_same_as_without_memory(person)
    assert_same_as_without_memory(person | {"_birthDate": unknown})
    assert_same_as_without_memory({"resourceType": "Patient", "_birthDate": unknown})


def test_a_long_part_is_indexed_too() -> None:
    note = {"text": "x" * (MAX_REMEMBERED_BYTES + 1)}
    resource = observation(code=note)
    assert_same_as_without_memory(resource)
    assert index_of(resource, BASE).rows.texts


def test_numbers_keep_their_precision_in_memory() -> None:
    resource = observation()
    precise = observation(valueQuantity=resource["valueQuantity"] | {"value": Decimal("1.8")})
    ranges = {index_of(item, BASE).rows.ranges_hash for item in (resource, precise)}
    assert len(ranges) == 2


def test_so_many_parts_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered: dict[object, object] = {}
    monkeypatch.setattr(resource_index, "_parts", remembered)
    monkeypatch.setattr(resource_index, "REMEMBERED_PARTS", 3)
    counts = []
    for number in range(5):
        index_of({"resourceType": "Organization", "name": f"{number}"}, BASE)
        counts.append(len(remembered))
    assert counts == [1, 2, 3, 1, 2]


@pytest.mark.parametrize(("spare", "count"), [(0, 1), (1, 0)])
def test_long_parts_are_not_remembered(
    monkeypatch: pytest.MonkeyPatch, spare: int, count: int
) -> None:
    remembered: dict[object, object] = {}
    monkeypatch.setattr(resource_index, "_parts", remembered)
    length = MAX_REMEMBERED_BYTES - len('{"name":[{"text":""}]}') + spare
    index_of({"resourceType": "Patient", "name": [{"text": "x" * length}]}, BASE)
    assert len(remembered) == count


def test_names_of_several_contained_resources_are_no_ones_name() -> None:
    people = [
        {"resourceType": "Practitioner", "id": id, "name": [{"family": id}]} for id in ("a", "b")
    ]
    resource = observation(performer=[{"reference": "#a"}, {"reference": "#b"}], contained=people)
    groups = {(value, group) for _, group, _, value in index_of(resource, BASE).rows.strings}
    assert {("a", 0), ("b", MAX_NAMES)} <= groups


def test_values_of_contained_resources_are_indexed_up_to_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doctor = {"resourceType": "Practitioner", "id": "a", "active": True, "gender": "male"}
    resource = observation(performer=[{"reference": "#a"}], contained=[doctor])
    # Itself and its two values.
    monkeypatch.setattr(resource_index, "MAX_PATH_VALUES", 3)
    assert index_of(resource, BASE).rows.values
    monkeypatch.setattr(resource_index, "MAX_PATH_VALUES", 2)
    with pytest.raises(ContainedTooCostlyError):
        index_of(resource, BASE)
