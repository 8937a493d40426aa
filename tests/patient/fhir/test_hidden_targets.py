"""Scopes of one patient learn nothing of others, and reach nothing by a reference of theirs."""

from typing import Any

import httpx
import pytest

from tests.patient.fhir.resources import patient
from tests.patient.patient_service import Service, principal

pytestmark = pytest.mark.integration


@pytest.fixture
def own(service: Service) -> str:
    """A patient whose app may change the whole record."""
    id = str(service.create(patient())["id"])
    service.verifier.principals["own-app"] = principal("patient/*.cruds", patient_id=id)
    return id


@pytest.fixture(params=["Binary", "Device"])
def hidden(service: Service, request: pytest.FixtureRequest) -> str:
    """What belongs to no record, and is of somebody else."""
    more = {"contentType": "text/plain", "data": "eA=="} if request.param == "Binary" else {}
    return f"{request.param}/{service.create({'resourceType': request.param, **more})['id']}"


def document(own: str, *related: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": f"Patient/{own}"},
        "content": [{"attachment": {"title": "x"}}],
        **({"context": {"related": [{"reference": text} for text in related]}} if related else {}),
        **more,
    }


def written(service: Service, body: dict[str, Any], by: str) -> list[httpx.Response]:
    """Returns what a create, an update and a transaction with the body are answered with."""
    plain = service.create(document(body["subject"]["reference"].partition("/")[2]))
    entry = {"resource": body, "request": {"method": "POST", "url": "DocumentReference"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    path = f"/fhir/R4/DocumentReference/{plain['id']}"
    return [
        service.call("POST", "/fhir/R4/DocumentReference", json=body, by=by),
        service.call("PUT", path, json={**body, "id": plain["id"]}, by=by),
        service.call("POST", "/fhir/R4", json=bundle, by=by),
    ]


def test_reference_opens_nothing_that_its_writer_may_not_read(
    service: Service, own: str, hidden: str
) -> None:
    inner = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "focus": [{"reference": hidden}],
    }
    direct, within = document(own, hidden), document(own, "#o", contained=[inner])
    for body in (direct, within):
        for answer in written(service, body, "own-app"):
            assert answer.status_code == 422, answer.text
    kind = hidden.partition("/")[0]
    absent = service.call(
        "POST", "/fhir/R4/DocumentReference", json=document(own, f"{kind}/none"), by="own-app"
    )
    refused = written(service, direct, "own-app")[0]
    assert refused.text == absent.text.replace("none", hidden.partition("/")[2])
    assert service.call("GET", f"/fhir/R4/{hidden}", by="own-app").status_code in (403, 404)


def test_contained_reference_waits_for_nothing_to_come(service: Service, own: str) -> None:
    """An app may not name what is not there yet, and read it once staff make it."""
    inner = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "focus": [{"reference": "Device/pump-7"}],
    }
    body = document(own, "#o", contained=[inner])
    for answer in written(service, body, "own-app"):
        assert answer.status_code == 422, answer.text
        assert answer.json()["issue"][0]["code"] == "not-found"
    made = service.call(
        "PUT", "/fhir/R4/Device/pump-7", json={"resourceType": "Device", "id": "pump-7"}
    )
    assert made.status_code == 201
    assert service.call("GET", "/fhir/R4/Device/pump-7", by="own-app").status_code in (403, 404)


def test_reference_that_staff_wrote_opens_it_and_may_be_repeated(
    service: Service, own: str, hidden: str
) -> None:
    assert [answer.status_code for answer in written(service, document(own, hidden), "all")] == [
        201,
        200,
        200,
    ]
    assert service.call("GET", f"/fhir/R4/{hidden}", by="own-app").status_code == 200
    answers = written(service, document(own, hidden), "own-app")
    assert [answer.status_code for answer in answers] == [201, 200, 200]


@pytest.mark.parametrize("path", ["", "/$everything", "/$summary", "/_history"])
def test_another_patient_is_as_one_that_is_not_there(service: Service, own: str, path: str) -> None:
    other, gone = (str(service.create(patient())["id"]) for _ in range(2))
    service.call("DELETE", f"/fhir/R4/Patient/{gone}")
    answers = [
        service.call("GET", f"/fhir/R4/Patient/{id}{path}", by="own-app")
        for id in (other, gone, "none")
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
    issues = [answer.json()["issue"] for answer in answers]
    assert issues[0] == issues[1] == issues[2]
    assert service.call("GET", f"/fhir/R4/Patient/{own}{path}", by="own-app").status_code == 200
