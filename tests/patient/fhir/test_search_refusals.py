"""Searches that are refused, and what lenient handling skips."""

import pytest

from tests.patient.fhir.resources import ids
from tests.patient.patient_service import Service

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "query",
    [
        "Patient?shoe=44",
        "Patient?name:soundex=x",
        "Observation?value-quantity=much",
        "Observation?subject:Banana=1",
        "Observation?subject.subject.subject.subject.subject.name=x",
        "Observation?encounter.part-of.part-of.part-of.part-of.part-of.status=x",
        "Patient?_has:Observation:code=x",
        "Patient?_has:Observation:code:status=x",
        "Patient?_include=Patient:name",
        "Patient?_sort=shoe",
        "Patient?_total=many",
        "Patient?_cursor=AAAA",
        "Patient?name=",
        "Location?near=here",
        "Patient?_filter=name like x",
        "Patient?_filter=shoe eq 44",
        "Patient?_filter=name.family eq x",
        "Patient?_filter=gender co male",
        "Patient?_filter=general-practitioner eq Practitioner/1",
        "Patient?_filter=birthdate ge soon",
        "Patient?_filter=name pr maybe",
        "Patient?_filter=" + " and ".join(["name eq x"] * 31),
        "Observation?_filter=encounter.part-of.part-of.part-of.part-of.part-of.status eq x",
        "Patient?_text=(bone",
        "Patient?_content=" + "a " * 21,
        "Binary?_text=bone",
        "Condition?code:below=http://loinc.org|1",
        "Condition?code:below=1",
        "Patient?identifier:below=urn:x|1",
        "DocumentReference?contenttype:below=text/xml;charset=utf-8",
        "DocumentReference?contenttype:above=text/xml",
        "Observation?subject:below=1",
        "Patient?_query=newest",
        "Patient?_list=1",
        "Patient?_contained=true",
        "Patient?" + "&".join(f"name=a{number}" for number in range(31)),
        "Patient?name=" + ",".join(str(number) for number in range(101)),
        "Patient?name=" + "x" * 1001,
    ],
)
def test_search_that_makes_no_sense_is_refused_with_its_parameter(
    service: Service, query: str
) -> None:
    answer = service.call("GET", f"/fhir/R4/{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["issue"][0]["expression"]


def test_lenient_handling_skips_what_is_not_known(service: Service, person: str) -> None:
    path = f"/fhir/R4/Patient?_id={person}&shoe=44"
    answer = service.call("GET", path, headers={"Prefer": "handling=lenient"})
    assert ids(answer) == [person]
    link = next(link["url"] for link in answer.json()["link"] if link["relation"] == "self")
    assert "shoe" not in link


def test_named_query_and_filter_are_not_skipped(service: Service) -> None:
    for query in ("_query=newest", "_filter=shoe%20eq%2044"):
        answer = service.call(
            "GET", f"/fhir/R4/Patient?{query}", headers={"Prefer": "handling=lenient"}
        )
        assert answer.status_code == 400
