from decimal import Decimal
from typing import Any

from apps.patient.search.index.extraction import index_values
from apps.patient.search.index.index_rows import index_rows
from apps.patient.search.index.resource_index import MAX_REMEMBERED_BYTES, index_of

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
