"""Reads, writes and histories of `/fhir/R4` on a real database."""

from typing import Any

import pytest

from apps.patient.definitions.model import search_parameters, served_types
from apps.patient.search.index.kinds_of_values import is_boolean
from tests.patient.fhir.resources import FHIR, observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service

pytestmark = pytest.mark.integration


def test_body_is_given_back_as_it_came_numbers_exact(service: Service) -> None:
    patient_id = service.create(patient())["id"]
    body = (
        '{"resourceType":"Observation","contained":[{"resourceType":"Device","id":"d"}],"device":{"reference":"#d"},'
        '"status":"final","code":{"text":"x"},'
        f'"subject":{{"reference":"Patient/{patient_id}"}},'
        '"effectiveDateTime":"2022-03-18T15:57:43+00:00","valueQuantity":{"value":5.840,"unit":"%"},'
        '"component":[{"code":{"text":"c"},"valueQuantity":{"value":0.1000000000000000055511151231257827}}]}'
    )
    made = service.call(
        "POST", "/fhir/R4/Observation", content=body, headers={"Content-Type": FHIR}
    )
    assert made.status_code == 201
    id = made.json()["id"]
    assert made.headers["location"] == f"{PUBLIC_URL}/fhir/R4/Observation/{id}/_history/1"
    read = service.call("GET", f"/fhir/R4/Observation/{id}")
    assert read.text == made.text
    assert read.headers["content-type"].startswith(FHIR)
    assert body.removeprefix('{"resourceType":"Observation",') in read.text


def test_update_makes_a_version_and_the_old_one_stays(service: Service) -> None:
    created = service.create(patient(gender="female"))
    path = f"/fhir/R4/Patient/{created['id']}"
    put = service.call(
        "PUT", path, json={**created, "gender": "other"}, headers={"If-Match": 'W/"1"'}
    )
    assert (put.status_code, put.headers["etag"]) == (200, 'W/"2"')
    assert service.call("GET", path).json()["gender"] == "other"
    assert service.call("GET", f"{path}/_history/1").json() == created
    assert service.call("PUT", path, json=created, headers={"If-Match": 'W/"1"'}).status_code == 412
    assert service.call("DELETE", path, headers={"If-Match": 'W/"2"'}).status_code == 204
    history = service.call("GET", f"{path}/_history").json()["entry"]
    assert [entry["request"]["method"] for entry in history] == ["DELETE", "PUT", "POST"]
    assert [entry["response"]["etag"] for entry in history] == ['W/"3"', 'W/"2"', 'W/"1"']
    assert "resource" not in history[0]
    gone = service.call("GET", path)
    assert gone.status_code == 410
    assert gone.json()["issue"][0]["code"] == "deleted"
    assert service.call("GET", f"{path}/_history/3").status_code == 410
    events = service.events(created["id"], 3)
    assert [event.event_type for event in events] == [
        "patient.created",
        "patient.updated",
        "patient.deleted",
    ]
    assert [event.version_id for event in events] == [1, 2, 3]


def test_history_pages_by_its_links(service: Service) -> None:
    created = service.create(patient())
    path = f"/fhir/R4/Patient/{created['id']}"
    for _ in range(3):
        assert service.call("PUT", path, json=created).status_code == 200
    first = service.call("GET", f"{path}/_history?_count=3").json()
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    rest = service.call("GET", following.removeprefix(PUBLIC_URL)).json()
    assert [entry["response"]["etag"] for entry in first["entry"] + rest["entry"]] == [
        f'W/"{version}"' for version in (4, 3, 2, 1)
    ]


def test_mrn_is_issued_here_and_outlives_an_update_without_it(service: Service) -> None:
    created = service.create(patient(identifier=[{"system": "http://test/id", "value": "1"}]))
    mrn = created["identifier"][1]
    without = {**created, "identifier": created["identifier"][:1]}
    put = service.call("PUT", f"/fhir/R4/Patient/{created['id']}", json=without)
    assert put.json()["identifier"][1] == mrn
    claimed = service.call(
        "POST", "/fhir/R4/Patient", json=patient(identifier=[{**mrn, "value": "000000000"}])
    )
    assert claimed.status_code == 422
    assert service.create(patient())["identifier"][0]["value"] != mrn["value"]


@pytest.mark.parametrize(
    ("change", "expression"),
    [
        ({"gender": "banana"}, "Patient.gender"),
        ({"active": "true"}, "Patient.active"),
        ({"name": [{"family": "nul\x00"}]}, "Patient.name[0].family"),
        ({"name": [{}]}, "Patient.name[0]"),
        ({"shoeSize": 44}, "Patient.shoeSize"),
        (
            {"text": {"status": "generated", "div": "<div><script>alert(1)</script></div>"}},
            "Patient.text.div",
        ),
    ],
)
def test_invalid_resource_is_refused_by_an_outcome_that_names_the_element(
    service: Service, change: dict[str, Any], expression: str
) -> None:
    answer = service.call("POST", "/fhir/R4/Patient", json=patient(**change))
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith(FHIR)
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["expression"] == [expression]


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/fhir/R4/Patient/no-such-id", {}, 404),
        ("GET", "/fhir/R4/Group/x", {}, 404),
        ("GET", "/fhir/R4/Patient?shoe-size=44", {}, 400),
        ("GET", "/fhir/R4/Patient?birthdate=soon", {}, 400),
        ("GET", "/fhir/R4/Patient?name=%00", {}, 400),
        ("GET", "/fhir/R4/Patient?_count=many", {}, 400),
        ("GET", "/fhir/R4/Patient/x/$everything", {}, 404),
        ("GET", "/fhir/R4/$export", {}, 501),
        ("PATCH", "/fhir/R4/Patient/x", {"json": []}, 415),
        ("POST", "/fhir/R4/Patient", {"content": b"{", "headers": {"Content-Type": FHIR}}, 400),
        (
            "POST",
            "/fhir/R4/Patient",
            {"content": b"x", "headers": {"Content-Type": "text/xml"}},
            415,
        ),
        ("POST", "/fhir/R4/Patient", {"json": {"resourceType": "Observation"}}, 422),
        ("PUT", "/fhir/R4/Patient/no-such-id", {"json": {**patient(), "id": "another"}}, 400),
        ("PUT", "/fhir/R4/Patient/no-such-id", {"json": patient()}, 400),
    ],
)
def test_errors_are_operation_outcomes(
    service: Service, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer = service.call(method, path, **options)
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("path", ["/fhir/R4/Patient", "/fhir/R4", "/fhir/R4/Patient/x"])
def test_missing_token_is_an_outcome_too(service: Service, path: str) -> None:
    answer = service.client.request("POST" if path == "/fhir/R4" else "GET", service.url + path)
    assert answer.status_code == 401
    assert answer.json()["issue"][0]["code"] == "login"


def test_record_belongs_to_a_patient_that_is_there(service: Service) -> None:
    answer = service.call("POST", "/fhir/R4/Observation", json=observation("no-such-patient"))
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Observation.subject.reference"]
    first, second = service.create(patient()), service.create(patient())
    made = service.create(observation(first["id"]))
    moved = {**made, "subject": {"reference": f"Patient/{second['id']}"}}
    assert service.call("PUT", f"/fhir/R4/Observation/{made['id']}", json=moved).status_code == 422
    service.call("DELETE", f"/fhir/R4/Patient/{first['id']}")
    assert (
        service.call("POST", "/fhir/R4/Observation", json=observation(first["id"])).status_code
        == 422
    )


def test_clinical_event_tells_code_status_and_time_alone(service: Service) -> None:
    patient_id = service.create(patient())["id"]
    made = service.create(observation(patient_id, note=[{"text": "Unmistakable"}]))
    event = service.events(patient_id, 2)[1]
    assert event.event_type == "clinical.recorded"
    fact = event.clinical
    assert (fact.resource_type, fact.resource_id, fact.code.code) == (
        "Observation",
        made["id"],
        "4548-4",
    )
    assert (fact.category, fact.status, fact.effective_at.ToJsonString()) == (
        "laboratory",
        "final",
        "2022-03-18T15:57:43Z",
    )
    assert b"nmistakable" not in event.SerializeToString()


def test_conditional_create_makes_one(service: Service) -> None:
    body = patient(identifier=[{"system": "http://test/conditional", "value": "one"}])
    headers = {"If-None-Exist": "identifier=http://test/conditional|one"}
    written_out = f"{PUBLIC_URL}/fhir/R4/Patient?identifier=http://test/conditional|one"
    first = service.call("POST", "/fhir/R4/Patient", json=body, headers=headers)
    second = service.call("POST", "/fhir/R4/Patient", json=body, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    third = service.call(
        "POST", "/fhir/R4/Patient", json=body, headers={"If-None-Exist": written_out}
    )
    assert (third.status_code, third.json()["id"]) == (200, first.json()["id"])
    service.create(body)
    assert service.call("POST", "/fhir/R4/Patient", json=body, headers=headers).status_code == 412


def is_true_or_false(resource_type: str, parameter: str) -> bool:
    return parameter in search_parameters(resource_type) and is_boolean(resource_type, parameter)


def test_metadata_is_public_and_tells_what_is_served(service: Service) -> None:
    statement = service.client.get(f"{service.url}/fhir/R4/metadata").json()
    resources = {resource["type"]: resource for resource in statement["rest"][0]["resource"]}
    assert set(resources) == set(served_types())
    samples = {
        "date": "2020",
        "number": "1",
        "quantity": "1",
        "composite": "x$1",
        "special": "1|1",
        "reference": "x",
    }
    for name, resource in resources.items():
        for parameter in resource["searchParam"]:
            value = samples.get(parameter["type"], "x")
            if parameter["type"] == "composite" and "date" in parameter["name"]:
                value = "x$2020"
            if parameter["name"] == "_filter":
                value = "_id eq x"
            elif parameter["name"] == "entity":
                value = "Patient/x"
            elif is_true_or_false(name, parameter["name"]):
                value = "true"
            query = f"{parameter['name']}={value}"
            answer = service.call("GET", f"/fhir/R4/{name}?{query}")
            assert answer.status_code == 200, f"{name}?{query}: {answer.text}"
