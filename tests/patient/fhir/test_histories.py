"""Histories of a resource, a type and the system: what they take, and whom they tell."""

from typing import Any

import pytest

from tests.patient.fhir.resources import observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service, principal

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def changed(service: Service) -> str:
    """A patient with two versions."""
    made = service.create(patient())
    answer = service.call("PUT", f"/fhir/R4/Patient/{made['id']}", json={**made, "gender": "other"})
    assert answer.status_code == 200
    return str(made["id"])


@pytest.mark.parametrize("path", ["Patient/{id}/_history", "Patient/_history", "_history"])
def test_history_takes_its_parameters_and_no_others(
    service: Service, changed: str, path: str
) -> None:
    url = f"/fhir/R4/{path.format(id=changed)}"
    for query in ("_since=soon", "_at=x", "shoe=1", "_count=x", "_count=-1", "_cursor=AAAA"):
        answer = service.call("GET", f"{url}?{query}")
        assert answer.status_code == 400, query
        name = query.partition("=")[0]
        assert answer.json()["issue"][0]["expression"] == [f"http.{name}"]
    query = "_since=2020-01-01T00:00:00+01:00&_at=2999&_format=json&_pretty=true&_count=0"
    answer = service.call("GET", f"{url}?{query}")
    assert answer.status_code == 200
    assert len(answer.json()["entry"]) == 1
    assert service.call("GET", f"{url}?_since=2999").json().get("entry") is None


def versions(service: Service, url: str, by: str = "all") -> list[tuple[str, str]]:
    """Returns (type and id, ETag) of each entry of all pages."""
    found: list[Any] = []
    while url:
        answer = service.call("GET", url, by=by)
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        found += bundle.get("entry", ())
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        url = links.get("next", "").removeprefix(PUBLIC_URL)
    return [
        ("/".join(entry["fullUrl"].split("/")[-2:]), entry["response"]["etag"]) for entry in found
    ]


def test_cursor_is_of_its_history_alone(service: Service, changed: str) -> None:
    url = f"/fhir/R4/Patient/{changed}/_history?_count=1"
    link = service.call("GET", url).json()["link"][1]["url"].removeprefix(PUBLIC_URL)
    assert service.call("GET", link).status_code == 200
    for path in (link.replace("_count=1", "_count=2"), link.replace(f"/{changed}", "")):
        assert service.call("GET", path).status_code == 400


def test_history_of_nobody_is_not_found(service: Service, changed: str) -> None:
    assert service.call("GET", "/fhir/R4/Patient/nobody/_history").status_code == 404
    assert service.call("GET", f"/fhir/R4/Observation/{changed}/_history").status_code == 404


def test_caller_sees_the_versions_that_the_scopes_reach(service: Service, changed: str) -> None:
    other = str(service.create(patient())["id"])
    own = str(service.create(observation(changed))["id"])
    service.create(observation(other))
    service.verifier.principals["owner"] = principal("patient/*.rs", patient_id=changed)
    both = [(f"Patient/{changed}", 'W/"2"'), (f"Patient/{changed}", 'W/"1"')]
    assert versions(service, f"/fhir/R4/Patient/{changed}/_history", "owner") == both
    refused = service.call("GET", f"/fhir/R4/Patient/{other}/_history", by="owner")
    assert refused.status_code == 404
    for count in (1, 2, 100):
        url = f"/fhir/R4/Patient/_history?_count={count}"
        assert versions(service, url, "owner") == both
    everything = versions(service, "/fhir/R4/_history?_count=100", "owner")
    assert everything == [(f"Observation/{own}", 'W/"1"'), *both]
    service.verifier.principals["observer"] = principal("user/Observation.rs")
    kinds = {
        name.partition("/")[0] for name, _ in versions(service, "/fhir/R4/_history", "observer")
    }
    assert kinds == {"Observation"}
    assert service.call("GET", "/fhir/R4/Patient/_history", by="observer").status_code == 403


def test_versions_that_are_given_are_recorded_as_read(service: Service, changed: str) -> None:
    request_id = f"history-{changed}"
    url = f"/fhir/R4/Patient/{changed}/_history?_count=1"
    service.call("GET", url, headers={"X-Request-Id": request_id})
    sql = "SELECT action, resource_id, version_id FROM audit_event WHERE request_id = $1"
    assert service.sql(sql, request_id) == [("history", changed, 2)]
