"""Searches of `/fhir/R4` on a real database."""

import pytest

from tests.patient.fhir.resources import ids, observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service, principal

pytestmark = pytest.mark.integration


def test_patient_is_found_by_what_is_served(service: Service) -> None:
    id = service.create(
        patient(
            identifier=[{"system": "http://test/ssn", "value": "999-77-1234"}],
            name=[{"family": "García Márquez", "given": ["Zoë", "Quirina"]}],
            telecom=[
                {"system": "phone", "value": "555-0177"},
                {"system": "email", "value": "Zoe@Example.com"},
            ],
            gender="female",
            birthDate="1971-05-17",
            active=True,
            address=[{"postalCode": "02332"}],
        )
    )["id"]
    for query in (
        f"_id={id}",
        "identifier=http://test/ssn|999-77-1234",
        "identifier=999-77-1234",
        "family=GARCIA",
        "family=marquez",
        "given=zoe",
        "name=quir",
        "name=Garc&birthdate=1971-05-17&gender=female&active=true",
        "name=zo%C3%AB&birthdate=1971-05",
        "name=zoe&birthdate=ge1971-05-17&birthdate=lt1971-05-18",
        "name=zoe&birthdate=ne1980",
        "telecom=555-0177",
        "telecom=email|zoe@example.com",
        "name=zoe&address-postalcode=023",
        "name=nobody,zoe",
        f"_id={id}&_lastUpdated=gt2020-01-01",
    ):
        assert ids(service.call("GET", f"/fhir/R4/Patient?{query}")) == [id], query
    for query in (
        "identifier=http://other|999-77-1234",
        "identifier=999-77-123",
        "name=zoe&birthdate=lt1971-05-17",
        "name=zoe&birthdate=gt1971-05-17",
        "name=zoe&birthdate=1972",
        "name=zoe&gender=male",
        "telecom=phone|zoe@example.com",
        f"_id={id}&_lastUpdated=lt2020-01-01",
    ):
        assert ids(service.call("GET", f"/fhir/R4/Patient?{query}")) == [], query


def test_old_name_is_not_found_any_more(service: Service) -> None:
    created = service.create(patient(name=[{"family": "Beforewedding"}]))
    service.call(
        "PUT",
        f"/fhir/R4/Patient/{created['id']}",
        json={**created, "name": [{"family": "Afterwedding"}]},
    )
    assert ids(service.call("GET", "/fhir/R4/Patient?name=Beforewedding")) == []
    assert ids(service.call("GET", "/fhir/R4/Patient?name=Afterwedding")) == [created["id"]]


def test_history_is_found_by_patient_code_date_category_and_status(service: Service) -> None:
    patient_id = service.create(patient())["id"]
    id = service.create(observation(patient_id))["id"]
    other = service.create(observation(patient_id, status="amended", effectiveDateTime="2023"))[
        "id"
    ]
    by_patient = f"/fhir/R4/Observation?patient={patient_id}"
    assert ids(service.call("GET", by_patient)) == [id, other]
    assert ids(service.call("GET", f"/fhir/R4/Observation?subject=Patient/{patient_id}")) == [
        id,
        other,
    ]
    for query in (
        "code=http://loinc.org|4548-4",
        "code=4548-4",
        "category=laboratory",
        "category=x,laboratory",
        "subject:not=Patient/another",
    ):
        assert ids(service.call("GET", f"{by_patient}&{query}")) == [id, other], query
    for query in ("status=final", "date=2022-03", "date=le2022-12-31", "date=2022-03-18T15:57:43Z"):
        assert ids(service.call("GET", f"{by_patient}&{query}")) == [id], query
    for query in (
        "code=http://other|4548-4",
        "code=|4548-4",
        "date=gt2024",
        "status=unknown",
        f"subject:not=Patient/{patient_id}",
    ):
        assert ids(service.call("GET", f"{by_patient}&{query}")) == [], query


def test_search_pages_by_its_links_counts_when_asked_and_is_audited(service: Service) -> None:
    patient_id = service.create(patient())["id"]
    made = [service.create(observation(patient_id))["id"] for _ in range(5)]
    url, seen = f"/fhir/R4/Observation?patient={patient_id}&_count=2", list[str]()
    while url:
        answer = service.call("GET", url, headers={"X-Request-Id": f"page-{len(seen)}"})
        assert "total" not in answer.json()
        seen += ids(answer)
        links = {link["relation"]: link["url"] for link in answer.json()["link"]}
        url = links.get("next", "").removeprefix(PUBLIC_URL)
    assert seen == made
    audited = service.sql(
        "SELECT action, query, returned_ids FROM audit_event WHERE request_id = 'page-0'"
    )
    assert audited == [("search", f"patient={patient_id}&_count=2", made[:2])]
    counted = service.call(
        "GET", f"/fhir/R4/Observation?patient={patient_id}&_total=accurate&_count=1"
    ).json()
    assert (counted["total"], len(counted["entry"])) == (5, 1)
    summary = service.call(
        "GET", f"/fhir/R4/Observation?patient={patient_id}&_summary=count"
    ).json()
    assert summary["total"] == 5
    assert "entry" not in summary


def test_search_by_post_is_the_same_search(service: Service) -> None:
    id = service.create(patient(name=[{"family": "Postsearch"}]))["id"]
    assert ids(service.call("POST", "/fhir/R4/Patient/_search", data={"family": "postsearch"})) == [
        id
    ]
    assert service.call("POST", "/fhir/R4/Patient/_search", json={}).status_code == 415
    # HAPI's client can write a GET so.
    assert ids(service.call("GET", "/fhir/R4/Patient/_search?family=postsearch")) == [id]
    assert ids(service.call("GET", f"/fhir/R4/_search?_type=Patient&_id={id}")) == [id]


def test_patients_own_login_finds_that_history_alone(service: Service) -> None:
    own, other = service.create(patient())["id"], service.create(patient())["id"]
    mine, theirs = service.create(observation(own))["id"], service.create(observation(other))["id"]
    service.verifier.principals["own"] = principal("patient/*.rs", patient_id=own)
    assert ids(service.call("GET", "/fhir/R4/Observation", by="own")) == [mine]
    assert ids(service.call("GET", f"/fhir/R4/Observation?patient={other}", by="own")) == []
    total = service.call("GET", "/fhir/R4/Observation?_summary=count", by="own").json()["total"]
    assert total == 1
    assert service.call("GET", f"/fhir/R4/Observation/{mine}", by="own").status_code == 200
    for path in (
        f"Observation/{theirs}",
        f"Observation/{theirs}/_history",
        f"Observation/{theirs}/_history/1",
    ):
        assert service.call("GET", f"/fhir/R4/{path}", by="own").status_code == 404
    # What was not given out is not recorded as read.
    assert service.sql("SELECT action FROM audit_event WHERE resource_id = $1", theirs) == [
        ("create",)
    ]
    service.verifier.principals["own-writer"] = principal("patient/*.cruds", patient_id=own)
    refused = service.call("POST", "/fhir/R4/Observation", by="own-writer", json=observation(other))
    assert refused.status_code == 403
