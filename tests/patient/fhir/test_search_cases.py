"""Searches that were once silently wrong, a row each."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.patient.fhir.resources import found, observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service

pytestmark = pytest.mark.integration

BASE = f"{PUBLIC_URL}/fhir/R4"
ACTIVE = "http://terminology.hl7.org/CodeSystem/condition-clinical"


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("name=ana zedcase", True),
        ("name=zedcase ana", True),
        ("name=ana maria zedcase", True),
        ("name=ana nobody", False),
        ("family=strom", True),
        ("family=lukasz", True),
        ("family:exact=Zedcase", True),
        ("family:exact=zedcase", False),
        ("family:contains=edcas", True),
        ("family:contains=ana", False),
        ("phone=0355550123", True),
        (f"phone={quote('+61 3 5555 0123')}", True),
        ("phone=+61%203%205555%200123", True),
        ("telecom=phone|0355550123", True),
        ("telecom=email|0355550123", False),
        ("gender=http://hl7.org/fhir/administrative-gender|female", True),
        ("gender=http://wrong|female", False),
        ("gender:not=male", True),
        ("gender:not=female", False),
        ("identifier=urn:cases:id|", True),
        (r"identifier=SX\\,other", True),
        ("identifier=urn:cases:blank|AX%20", True),
        ("identifier=urn:cases:blank|AX", False),
        (
            r"identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|SS|SX\\",
            True,
        ),
        (r"identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|DL|SX\\", False),
        ("birthdate=ap1980-02-04", True),
        ("birthdate=sa1980", False),
        ("birthdate=eb1980-02-04", True),
        ("birthdate=ge1980-02-03&birthdate=le1980-02-03", True),
        ("death-date:missing=true", True),
        ("birthdate:missing=true", False),
        ("gender:in=http://hl7.org/fhir/ValueSet/administrative-gender", True),
        ("gender:not-in=http://hl7.org/fhir/ValueSet/administrative-gender", False),
    ],
)
def test_patient_is_found_or_not(service: Service, person: str, query: str, is_found: bool) -> None:
    assert found(service, f"Patient?_id={person}&{query}") == ([person] if is_found else []), query


def test_coding_without_a_code_is_found_by_its_system(service: Service, person: str) -> None:
    codings: tuple[dict[str, str], ...] = ({"code": "x"}, {"display": "Not coded yet"}, {})
    made = {
        service.create(
            observation(person, category=[{"coding": [{"system": "urn:cases:category", **coding}]}])
        )["id"]
        for coding in codings
    }
    assert set(found(service, "Observation?category=urn:cases:category|")) == made


@pytest.mark.parametrize(
    "reference", ["Patient/{id}", "{base}/Patient/{id}", "{base}/Patient/{id}/_history/1", "{id}"]
)
def test_reference_is_one_however_it_is_written(
    service: Service, person: str, reference: str
) -> None:
    made = service.create(
        observation(person, subject={"reference": f"{BASE}/Patient/{person}/_history/1"})
    )
    # It is kept as it was sent.
    assert made["subject"]["reference"] == f"{BASE}/Patient/{person}/_history/1"
    asked = reference.format(id=person, base=BASE)
    assert made["id"] in found(service, f"Observation?patient={asked}&_count=100")


def test_conditional_create_by_an_absolute_reference_makes_one(
    service: Service, person: str
) -> None:
    body = observation(person, code={"coding": [{"system": "urn:c", "code": "once"}]})
    statuses = [
        service.call(
            "POST",
            "/fhir/R4/Observation",
            json=body,
            headers={"If-None-Exist": f"patient={reference}&code=urn:c|once"},
        ).status_code
        for reference in (f"{BASE}/Patient/{person}", f"Patient/{person}")
    ]
    assert statuses == [201, 200]


def test_every_coding_of_every_repetition_counts_and_so_does_its_system(
    service: Service, person: str
) -> None:
    condition = {
        "resourceType": "Condition",
        "subject": {"reference": f"Patient/{person}"},
        "clinicalStatus": {
            "coding": [
                {"system": "urn:local", "code": "aktiv"},
                {"system": ACTIVE, "code": "active"},
            ]
        },
        "code": {"coding": [{"system": "urn:codes", "code": "casecode", "display": "A Rare Case"}]},
    }
    id = service.create(condition)["id"]
    for query, is_found in (
        ("clinical-status=active", True),
        (f"clinical-status={ACTIVE}|active", True),
        ("clinical-status=http://wrong|active", False),
        ("code=urn:codes|", True),
        ("code=|casecode", False),
        ("code:text=rare", True),
        ("code:text=common", False),
    ):
        answer = found(service, f"Condition?patient={person}&code=casecode&{query}")
        assert answer == ([id] if is_found else []), query


def test_time_is_compared_by_the_clock_or_as_an_instant(service: Service, person: str) -> None:
    encounter = {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": f"Patient/{person}"},
        "period": {"start": "2024-03-10T20:00:00-05:00", "end": "2024-03-10T21:00:00-05:00"},
    }
    id = service.create(encounter)["id"]
    for query, is_found in (
        ("date=2024-03-10", True),
        ("date=2024-03-11", False),
        ("date=ge2024-03-11T01:00:00Z", True),
        ("date=lt2024-03-11T01:00:00Z", False),
        ("date=sa2024-03-10", False),
    ):
        answer = found(service, f"Encounter?patient={person}&{query}")
        assert answer == ([id] if is_found else []), query


def test_own_last_update_is_equal_and_not_greater(service: Service) -> None:
    made = service.create(patient())
    moment = made["meta"]["lastUpdated"]
    for prefix, is_found in (
        ("eq", True),
        ("gt", False),
        ("ge", True),
        ("lt", False),
        ("ne", False),
    ):
        query = f"Patient?_id={made['id']}&_lastUpdated={prefix}{moment}"
        assert found(service, query) == ([made["id"]] if is_found else []), prefix


def test_allergy_is_found_by_the_paths_of_r4(service: Service, person: str) -> None:
    allergy = {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
                    "code": "active",
                }
            ]
        },
        "patient": {"reference": f"Patient/{person}"},
        "recordedDate": "2021-05-01",
        "onsetDateTime": "1999-01-01",
        "reaction": [
            {
                "substance": {"coding": [{"system": "urn:s", "code": "substance-1"}]},
                "manifestation": [{"text": "rash"}],
            }
        ],
    }
    id = service.create(allergy)["id"]
    query = f"AllergyIntolerance?patient={person}"
    assert found(service, f"{query}&date=2021-05") == [id]
    assert found(service, f"{query}&date=1999") == []
    assert found(service, f"{query}&code=substance-1") == [id]


def test_deleted_and_changed_resources_are_found_as_they_are(service: Service, person: str) -> None:
    made = service.create(observation(person, status="preliminary"))
    query = f"Observation?_id={made['id']}"
    assert found(service, f"{query}&status=preliminary") == [made["id"]]
    service.call("PUT", f"/fhir/R4/Observation/{made['id']}", json={**made, "status": "final"})
    assert found(service, f"{query}&status=preliminary") == []
    assert found(service, f"{query}&status=final") == [made["id"]]
    service.call("DELETE", f"/fhir/R4/Observation/{made['id']}")
    assert found(service, f"{query}&status=final") == []
    assert found(service, query) == []


def test_value_that_is_gone_leads_nowhere(service: Service, person: str) -> None:
    def coded(code: str) -> dict[str, Any]:
        return {"coding": [{"system": "urn:leads", "code": code}]}

    made = service.create(observation(person, code=coded("before")))
    service.call("PUT", f"/fhir/R4/Observation/{made['id']}", json={**made, "code": coded("after")})
    # The code alone leads: no other criterion would set it right.
    assert found(service, "Observation?code=before&_summary=count") == []
    for code, total in (("before", 0), ("after", 1)):
        query = f"/fhir/R4/Observation?code=urn:leads|{code}&_summary=count"
        bare = f"/fhir/R4/Observation?code={code}&_summary=count"
        assert service.call("GET", query).json()["total"] == total
        assert service.call("GET", bare).json()["total"] == total


def test_resource_with_several_values_comes_once(service: Service, person: str) -> None:
    def component(value: float) -> dict[str, Any]:
        quantity = {"value": value, "code": "once", "system": "urn:once"}
        return {"code": {"text": "part"}, "valueQuantity": quantity}

    id = service.create(observation(person, component=[component(51), component(52)]))["id"]
    namesake = service.create(
        patient(name=[{"given": ["Oncetwice", "Oncethrice"], "family": "Onceagain"}])
    )["id"]
    for query, expected in (
        ("Observation?component-value-quantity=gt50|urn:once|once", id),
        ("Observation?component-value-quantity=gt50|urn:once|once&_sort=date", id),
        ("Patient?name=once", namesake),
        ("Patient?name:contains=nce", namesake),
    ):
        answer = found(service, query)
        assert answer.count(expected) == 1, query
        total = service.call("GET", f"/fhir/R4/{query}&_summary=count").json()["total"]
        assert total == len(answer), query
