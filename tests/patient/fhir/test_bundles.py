"""`POST /fhir/R4`: transaction Bundles on a real database."""

import json
from typing import Any

import pytest

from tests.patient.patient_service import Service, open_service, principal, wait_for

pytestmark = pytest.mark.integration

PATIENT, ENCOUNTER = (
    "urn:uuid:00000000-0000-4000-8000-000000000001",
    "urn:uuid:00000000-0000-4000-8000-000000000002",
)


def entry(resource: dict[str, Any], full_url: str = "", **request: Any) -> dict[str, Any]:
    made = {
        "resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"], **request},
    }
    return {"fullUrl": full_url, **made} if full_url else made


def history(identifier: str = "") -> list[dict[str, Any]]:
    identifiers = (
        {"identifier": [{"system": "http://test/bundle", "value": identifier}]}
        if identifier
        else {}
    )
    condition = {"ifNoneExist": f"identifier=http://test/bundle|{identifier}"} if identifier else {}

    return [
        # Before its patient, on purpose.
        entry(
            {
                "resourceType": "Encounter",
                "status": "finished",
                "class": {"code": "AMB"},
                "subject": {"reference": PATIENT},
                "serviceProvider": {"display": "A hospital"},
            },
            ENCOUNTER,
        ),
        entry(
            {"resourceType": "Patient", "name": [{"family": "Bundled"}], **identifiers},
            PATIENT,
            **condition,
        ),
        entry(
            {
                "resourceType": "Condition",
                "code": {"text": "test"},
                "subject": {"reference": PATIENT},
                "encounter": {"reference": ENCOUNTER},
            }
        ),
    ]


def bundle(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def total(service: Service) -> int:
    return int(service.sql("SELECT count(*) FROM resource")[0]["count"])


def locations(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["response"]["location"].split("/fhir/R4/")[1] for item in answer.json()["entry"]]


def test_transaction_creates_all_and_rewrites_its_references(service: Service) -> None:
    answer = service.call("POST", "/fhir/R4", json=bundle(history()))
    encounter, patient, condition = (
        location.split("/_history")[0] for location in locations(answer)
    )
    assert [item["response"]["status"] for item in answer.json()["entry"]] == ["201 Created"] * 3
    assert service.call("GET", f"/fhir/R4/{encounter}").json()["subject"] == {"reference": patient}
    read = service.call("GET", f"/fhir/R4/{condition}").json()
    assert (read["subject"]["reference"], read["encounter"]["reference"]) == (patient, encounter)
    id = patient.removeprefix("Patient/")
    events = service.events(id, 3)
    assert [event.event_type for event in events] == [
        "patient.created",
        "clinical.recorded",
        "clinical.recorded",
    ]
    wait_for(lambda: service.billing.patients().count(id) == 1)


@pytest.mark.parametrize(
    ("spoil", "expression"),
    [
        (lambda entries: entries[2]["resource"].pop("subject"), "Bundle.entry[2].resource.subject"),
        (
            lambda entries: entries[1]["resource"].update(gender="banana"),
            "Bundle.entry[1].resource.gender",
        ),
        (
            lambda entries: entries[2]["resource"]["encounter"].update(reference="urn:uuid:nobody"),
            "Bundle.entry[2].resource.encounter.reference",
        ),
        (
            lambda entries: entries[2]["resource"]["subject"].update(reference="Patient/nobody"),
            "Bundle.entry[2].resource.subject.reference",
        ),
        (
            lambda entries: entries[2]["resource"]["subject"].update(
                reference="Patient?identifier=x"
            ),
            "Bundle.entry[2].resource.subject.reference",
        ),
        (
            lambda entries: entries[2]["request"].update(method="TRACE"),
            "Bundle.entry[2].request.method",
        ),
        (
            lambda entries: entries[2]["request"].update(url="Group"),
            "Bundle.entry[2].request.url",
        ),
        (lambda entries: entries[2].update(fullUrl=PATIENT), "Bundle.entry[2].fullUrl"),
        (lambda entries: entries.append("nonsense"), "Bundle.entry[3].request"),
    ],
)
def test_one_bad_entry_refuses_all_and_is_named(
    service: Service, spoil: Any, expression: str
) -> None:
    entries = history()
    spoil(entries)
    before = total(service)
    answer = service.call("POST", "/fhir/R4", json=bundle(entries))
    assert answer.status_code == 422
    assert any(expression in issue["expression"] for issue in answer.json()["issue"]), answer.text
    assert total(service) == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resourceType": "Patient"}, 422),
        ({"resourceType": "Bundle", "type": "collection", "entry": history()}, 422),
        ({"resourceType": "Bundle", "type": "transaction", "entry": []}, 422),
        (bundle([{}] * 5001), 413),
    ],
)
def test_what_is_no_transaction_is_refused(
    service: Service, body: dict[str, Any], status: int
) -> None:
    assert service.call("POST", "/fhir/R4", json=body).status_code == status


def test_bundle_that_is_there_whole_is_answered_again(service: Service) -> None:
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": "http://test/again", "value": "1"}],
    }
    body = bundle([entry(patient, ifNoneExist="identifier=http://test/again|1")])
    first, second = (service.call("POST", "/fhir/R4", json=body) for _ in range(2))
    assert [answer.json()["entry"][0]["response"]["status"][:3] for answer in (first, second)] == [
        "201",
        "200",
    ]


def test_bounds_are_settings(patient_database: str) -> None:
    with open_service(
        patient_database, max_body_bytes=1024, max_bundle_bytes=4096, max_bundle_entries=3
    ) as service:
        assert service.call("POST", "/fhir/R4", json=bundle(history())).status_code == 200
        assert (
            service.call("POST", "/fhir/R4", json=bundle(history() + history())).status_code == 413
        )
        padded = bundle(history()) | {"id": "x" * 4096}
        assert service.call("POST", "/fhir/R4", json=padded).status_code == 413
        patient = {"resourceType": "Patient", "name": [{"family": "y" * 1024}]}
        assert service.call("POST", "/fhir/R4/Patient", json=patient).status_code == 413


def test_bundle_over_a_mebibyte_is_taken_and_one_over_sixteen_is_not(service: Service) -> None:
    padding = {
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{"x" * 900_000}</div>',
        }
    }
    large = [entry({"resourceType": "Patient", **padding}) for _ in range(3)]
    assert len(locations(service.call("POST", "/fhir/R4", json=bundle(large)))) == 3
    content = json.dumps(bundle(history())).encode() + b" " * (16 * 1024 * 1024)
    headers = {"Content-Type": "application/fhir+json"}
    assert service.call("POST", "/fhir/R4", content=content, headers=headers).status_code == 413


def test_same_key_gives_the_first_answer_and_creates_nothing(service: Service) -> None:
    headers = {"Idempotency-Key": "file-hash"}
    first = service.call("POST", "/fhir/R4", json=bundle(history()), headers=headers)
    before = total(service)
    again = service.call("POST", "/fhir/R4", json=bundle(history()), headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert total(service) == before


def test_patient_that_is_there_is_not_made_again_and_gets_the_rest(service: Service) -> None:
    first = service.call("POST", "/fhir/R4", json=bundle(history("there")))
    second = service.call("POST", "/fhir/R4", json=bundle(history("there")))
    assert locations(second)[1] == locations(first)[1]
    assert [item["response"]["status"] for item in second.json()["entry"]] == [
        "201 Created",
        "200 OK",
        "201 Created",
    ]
    patient = locations(first)[1].split("/_history")[0]
    condition = service.call("GET", f"/fhir/R4/{locations(second)[2]}").json()
    assert condition["subject"]["reference"] == patient


def test_each_entry_needs_its_own_scope(service: Service) -> None:
    service.verifier.principals["patients"] = principal("user/Patient.cruds")
    before = total(service)
    assert (
        service.call("POST", "/fhir/R4", by="patients", json=bundle(history())).status_code == 403
    )
    assert (
        service.call("POST", "/fhir/R4", by="patients", json=bundle(history()[1:2])).status_code
        == 200
    )
    assert total(service) == before + 1


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("identifier", {"shoe": "44"}, "Bundle.identifier.shoe"),
        ("implicitRules", 7, "Bundle.implicitRules"),
        ("shoe", "44", "Bundle.shoe"),
        ("total", 3, "bdl-1"),
    ],
)
def test_bundle_itself_is_checked(service: Service, name: str, value: Any, told: str) -> None:
    bundle = {"resourceType": "Bundle", "type": "transaction", name: value}
    answer = service.call("POST", "/fhir/R4", json=bundle)
    assert answer.status_code == 422, answer.text
    (issue,) = answer.json()["issue"]
    assert told in json.dumps(issue)


def test_bundle_may_say_what_r4_lets_it_say(service: Service) -> None:
    bundle = {
        "resourceType": "Bundle",
        "id": "one",
        "meta": {"lastUpdated": "2024-01-02T03:04:05Z", "tag": [{"code": "x"}]},
        "language": "en",
        "identifier": {"system": "urn:bundles", "value": "1"},
        "type": "transaction",
        "timestamp": "2024-01-02T03:04:05Z",
        "link": [{"relation": "self", "url": "http://test/bundle"}],
        "entry": [entry({"resourceType": "Patient", "name": [{"family": "Bundled"}]})],
    }
    assert service.call("POST", "/fhir/R4", json=bundle).status_code == 200
