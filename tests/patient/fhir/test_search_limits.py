"""A search reaches what the caller's scopes reach and nothing more, by a step into another
type too: a chain or `_has`.
"""

import secrets
from typing import Any

import pytest

from tests.patient.fhir.resources import CATEGORY, ids, observation, patient
from tests.patient.patient_service import Service, principal

pytestmark = pytest.mark.integration

LABORATORY = f"category={CATEGORY}|laboratory"


def of_category(service: Service, person: str, category: str, **more: Any) -> str:
    coding = {"system": CATEGORY, "code": category}
    body = observation(person, category=[{"coding": [coding]}], **more)
    return str(service.create(body)["id"])


@pytest.fixture
def world(service: Service) -> dict[str, str]:
    """A patient with a vital sign that the caller of these tests may not find; and
    what refers to it.
    """
    person = str(service.create(patient())["id"])
    mark = secrets.token_hex(6)
    code = {"coding": [{"system": "urn:test", "code": mark}]}
    identifier = [{"system": "urn:test", "value": mark}]
    vital = of_category(service, person, "vital-signs", code=code, identifier=identifier)
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"text": "report"},
        "subject": {"reference": f"Patient/{person}"},
        "result": [{"reference": f"Observation/{vital}"}],
    }
    made = str(service.create(report)["id"])
    service.verifier.principals["laboratory"] = principal(
        f"user/Observation.rs?{LABORATORY}", "user/Patient.crus", "user/DiagnosticReport.crs"
    )
    return {"person": person, "mark": mark, "report": made, "vital": vital}


def test_has_and_chains_look_at_what_the_scope_reaches(
    service: Service, world: dict[str, str]
) -> None:
    queries = {
        f"Patient?_id={world['person']}&_has:Observation:patient:code={world['mark']}": "person",
        f"DiagnosticReport?_id={world['report']}&result:Observation.code={world['mark']}": "report",
    }
    for query, name in queries.items():
        assert ids(service.call("GET", f"/fhir/R4/{query}")) == [world[name]], "for who may see all"
        assert ids(service.call("GET", f"/fhir/R4/{query}", by="laboratory")) == []
        counted = service.call("GET", f"/fhir/R4/{query}&_summary=count", by="laboratory")
        assert counted.json()["total"] == 0


def test_has_finds_what_the_scope_does_reach(service: Service, world: dict[str, str]) -> None:
    of_category(service, world["person"], "laboratory")
    query = f"/fhir/R4/Patient?_id={world['person']}&_has:Observation:patient:{LABORATORY}"
    assert ids(service.call("GET", query, by="laboratory")) == [world["person"]]


def test_conditions_of_writes_and_lastn_look_at_no_more(
    service: Service, world: dict[str, str]
) -> None:
    condition = f"_id={world['person']}&_has:Observation:patient:code={world['mark']}"
    service.verifier.principals["no-observations"] = principal("user/Patient.crus")
    body = patient()
    for by, status in (("laboratory", 201), ("no-observations", 403)):
        headers = {"If-None-Exist": condition}
        answer = service.call("POST", "/fhir/R4/Patient", json=body, headers=headers, by=by)
        assert answer.status_code == status
    service.verifier.principals["only-observations"] = principal("user/Observation.rs")
    query = f"/fhir/R4/Observation/$lastn?patient={world['person']}&subject:Patient.name=x"
    assert service.call("GET", query, by="only-observations").status_code == 403


def test_conditional_reference_leads_to_nothing_that_the_scope_does_not_reach(
    service: Service, world: dict[str, str]
) -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"text": "report"},
        "subject": {"reference": f"Patient/{world['person']}"},
        "result": [{"reference": f"Observation?identifier=urn:test|{world['mark']}"}],
    }
    entry = {"resource": report, "request": {"method": "POST", "url": "DiagnosticReport"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    answer = service.call("POST", "/fhir/R4", json=bundle, by="laboratory")
    assert world["vital"] not in answer.text
    location = answer.json()["entry"][0]["response"]["location"].split("/_history")[0]
    kind, id = location.split("/")[-2:]
    made = service.call("GET", f"/fhir/R4/{kind}/{id}").json()
    assert "reference" not in made["result"][0]


def test_patients_login_learns_nothing_of_others_through_a_practitioner(service: Service) -> None:
    own, other = (str(service.create(patient())["id"]) for _ in range(2))
    doctor = str(service.create({"resourceType": "Practitioner"})["id"])
    performer = [{"reference": f"Practitioner/{doctor}"}]
    mark = secrets.token_hex(6)
    code = {"coding": [{"system": "urn:test", "code": mark}]}
    service.create(observation(own, performer=performer))
    service.create(observation(other, performer=performer, code=code))
    service.verifier.principals["own-reader"] = principal("patient/*.rs", patient_id=own)
    query = f"/fhir/R4/Practitioner?_id={doctor}&_has:Observation:performer:"
    assert ids(service.call("GET", f"{query}code={mark}")) == [doctor], "for who may see all"
    assert ids(service.call("GET", f"{query}code={mark}", by="own-reader")) == []
    assert ids(service.call("GET", f"{query}patient={other}", by="own-reader")) == []
    assert ids(service.call("GET", f"{query}patient={own}", by="own-reader")) == [doctor]


def test_finding_needs_the_scope_to_search_everywhere(service: Service, person: str) -> None:
    create_only = principal("user/Observation.c", "user/Patient.c")
    service.verifier.principals["create-only"] = create_only
    body = observation(person)
    made = service.call("POST", "/fhir/R4/Observation", json=body, by="create-only")
    assert (made.status_code, made.content) == (201, b"")
    for headers in ({"If-None-Exist": f"patient={person}"},):
        refused = service.call(
            "POST", "/fhir/R4/Observation", json=body, headers=headers, by="create-only"
        )
        assert refused.status_code == 403
    service.verifier.principals["search-only"] = principal("user/Observation.s")
    counted = service.call("GET", "/fhir/R4/Observation?_summary=count", by="search-only")
    assert counted.status_code == 200
    assert service.call("GET", "/fhir/R4/Observation", by="search-only").status_code == 403
    # A chain looks into patients.
    reader = principal("user/Observation.rs")
    service.verifier.principals["observations"] = reader
    chained = service.call("GET", "/fhir/R4/Observation?patient.name=x", by="observations")
    assert chained.status_code == 403


def test_scope_with_a_category_reaches_that_category_alone(service: Service, person: str) -> None:
    def of(category: str) -> str:
        coding = {"system": CATEGORY, "code": category}
        return str(service.create(observation(person, category=[{"coding": [coding]}]))["id"])

    laboratory, vital = of("laboratory"), of("vital-signs")
    scope = f"user/Observation.rs?category={CATEGORY}|laboratory"
    service.verifier.principals["laboratory"] = principal(scope)
    query = f"/fhir/R4/Observation?_id={laboratory},{vital}"
    assert ids(service.call("GET", query, by="laboratory")) == [laboratory]
    assert service.call("GET", f"/fhir/R4/Observation/{laboratory}", by="laboratory").is_success
    assert service.call("GET", f"/fhir/R4/Observation/{vital}", by="laboratory").status_code == 404


def test_patients_login_reads_what_its_record_refers_to(service: Service) -> None:
    own = service.create(patient())["id"]
    mine = service.create({"resourceType": "Practitioner", "name": [{"family": "Mine"}]})["id"]
    other = service.create({"resourceType": "Practitioner", "name": [{"family": "Other"}]})["id"]
    service.create(observation(own, performer=[{"reference": f"Practitioner/{mine}"}]))
    service.verifier.principals["own-reader"] = principal("patient/*.rs", patient_id=own)
    assert service.call("GET", f"/fhir/R4/Practitioner/{mine}", by="own-reader").is_success
    refused = service.call("GET", f"/fhir/R4/Practitioner/{other}", by="own-reader")
    assert refused.status_code == 404
    assert ids(service.call("GET", "/fhir/R4/Practitioner", by="own-reader")) == [mine]
