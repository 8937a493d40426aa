"""FHIR over HTTP: what real clients send, and what R4's http page says, a row each."""

from typing import Any

import pytest

from tests.patient.fhir.resources import FHIR, ids, observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service, principal

pytestmark = pytest.mark.integration

BASE = f"{PUBLIC_URL}/fhir/R4"


@pytest.mark.parametrize(
    ("query", "accept", "status"),
    [
        ("_pretty=true", "", 200),
        ("_format=application/fhir+json", "", 200),
        ("_format=application/fhir%2Bjson;charset=utf-8", "", 200),
        ("_format=text/json", "", 200),
        ("_format=json", "application/fhir+xml", 200),
        ("_format=xml", "", 406),
        ("", "application/fhir+json;fhirVersion=4.0", 200),
        ("", "application/fhir+json;fhirVersion=5.0", 406),
        ("", "application/fhir+xml", 406),
        ("", "foobar", 406),
        ("", "APPLICATION/JSON", 200),
        ("", "text/html, */*;q=0.5", 200),
        ("_count=200", "", 200),
        ("_count=1000", "", 200),
    ],
)
def test_formats_and_page_sizes(service: Service, query: str, accept: str, status: int) -> None:
    headers = {"Accept": accept} if accept else {}
    answer = service.call("GET", f"/fhir/R4/Patient?{query}", headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == FHIR
    if "_count" in query:
        assert "_count=100" in answer.json()["link"][0]["url"]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/fhir+json; charset=UTF-8", 201),
        ("Application/FHIR+JSON", 201),
        ("text/json", 201),
        ("application/json;charset=utf-16", 415),
        ("application/fhir+xml", 415),
    ],
)
def test_media_types_of_bodies(service: Service, content_type: str, status: int) -> None:
    body = b'\xef\xbb\xbf{"resourceType":"Patient"}'
    headers = {"Content-Type": content_type}
    answer = service.call("POST", "/fhir/R4/Patient", content=body, headers=headers)
    assert answer.status_code == status, answer.text


def test_slash_behind_the_base_changes_nothing(service: Service) -> None:
    bundle = {"resourceType": "Bundle", "type": "batch"}
    assert service.call("POST", "/fhir/R4/", json=bundle).status_code == 200
    assert service.call("GET", "/fhir/R4/Patient/?_count=1").status_code == 200


def test_metadata_tells_clients_where_to_sign_in(service: Service) -> None:
    statement = service.client.get(f"{service.url}/fhir/R4/metadata").json()
    security = statement["rest"][0]["security"]
    urls = {item["url"]: item["valueUri"] for item in security["extension"][0]["extension"]}
    assert urls["token"] == f"{PUBLIC_URL}/oauth2/token"
    kinds = {resource["versioning"] for resource in statement["rest"][0]["resource"]}
    assert kinds == {"versioned"}


def test_update_creates_deletes_twice_and_restores(service: Service) -> None:
    path = "/fhir/R4/Patient/client-chosen-id"
    body = patient(id="client-chosen-id")
    made = service.call("PUT", path, json=body)
    assert (made.status_code, made.json()["id"]) == (201, "client-chosen-id")
    assert made.headers["location"] == f"{BASE}/Patient/client-chosen-id/_history/1"
    assert made.headers["content-location"] == made.headers["location"]
    assert service.call("PUT", path, json={**body, "id": "another"}).status_code == 400
    assert service.call("PUT", path, json=patient()).status_code == 400

    assert [service.call("DELETE", path).status_code for _ in range(2)] == [204, 204]
    assert service.call("DELETE", "/fhir/R4/Patient/never-there").status_code == 204
    assert service.call("GET", path).status_code == 410

    restored = service.call("PUT", path, json=body)
    assert (restored.status_code, restored.headers["etag"]) == (201, 'W/"3"')
    # It keeps the record number that it had.
    assert restored.json()["identifier"] == made.json()["identifier"]


def test_labels_stay_unless_they_are_changed(service: Service) -> None:
    tag = {"system": "urn:tags", "code": "vip"}
    made = service.create(patient(meta={"tag": [tag], "profile": ["http://p"]}))
    path = f"/fhir/R4/Patient/{made['id']}"
    bare = {name: value for name, value in made.items() if name != "meta"}
    kept = service.call("PUT", path, json=bare).json()["meta"]
    assert (kept["tag"], kept["profile"]) == ([tag], ["http://p"])
    other = {"system": "urn:tags", "code": "other"}
    changed = service.call("PUT", path, json={**bare, "meta": {"tag": [other]}}).json()["meta"]
    assert (changed["tag"], changed["profile"]) == ([other], ["http://p"])
    assert ids(service.call("GET", f"/fhir/R4/Patient?_id={made['id']}&_tag=urn:tags|vip")) == []


def test_prefer_says_what_comes_back(service: Service) -> None:
    for wish, kind in (
        ("return=minimal", None),
        ("return=representation", "Patient"),
        ("return=OperationOutcome", "OperationOutcome"),
        ("respond-async", "Patient"),
    ):
        answer = service.call("POST", "/fhir/R4/Patient", json=patient(), headers={"Prefer": wish})
        assert answer.status_code == 201
        assert (answer.json()["resourceType"] if answer.content else None) == kind, wish


def test_writer_without_read_gets_no_body_anywhere(service: Service) -> None:
    service.verifier.principals["writer"] = principal("user/Patient.cu")
    made = service.call("POST", "/fhir/R4/Patient", json=patient(), by="writer")
    assert (made.status_code, made.content) == (201, b"")
    id = made.headers["location"].split("/")[-3]
    put = service.call("PUT", f"/api/patients/{id}", json={"name": "New"}, by="writer")
    assert (put.status_code, put.content) == (200, b"")
    entry = {"request": {"method": "POST", "url": "Patient"}, "resource": patient()}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    headers = {"Prefer": "return=representation"}
    answer = service.call("POST", "/fhir/R4", json=bundle, by="writer", headers=headers)
    assert "resource" not in answer.json()["entry"][0]


def test_history_of_a_type_and_the_system_pages_and_has_a_beginning(service: Service) -> None:
    made = service.create({"resourceType": "HealthcareService", "name": "first"})
    path = f"/fhir/R4/HealthcareService/{made['id']}"
    second = service.call("PUT", path, json={**made, "name": "second"}).json()
    service.call("DELETE", path)
    url, seen = "/fhir/R4/HealthcareService/_history?_count=1", list[str]()
    while url:
        bundle = service.call("GET", url).json()
        seen += [entry["request"]["method"] for entry in bundle["entry"]]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        url = links.get("next", "").removeprefix(PUBLIC_URL)
    assert seen == ["DELETE", "PUT", "POST"]

    since = second["meta"]["lastUpdated"]
    later = service.call("GET", f"/fhir/R4/HealthcareService/_history?_since={since}").json()
    assert len(later["entry"]) == 2
    at = service.call("GET", f"{path}/_history?_at={since}").json()["entry"]
    assert 'W/"2"' in [entry["response"]["etag"] for entry in at]
    system = service.call("GET", "/fhir/R4/_history?_count=2").json()
    assert system["entry"][0]["request"]["method"] in ("DELETE", "PUT", "POST")
    assert service.call("GET", "/fhir/R4/Patient/_history?shoe=1").status_code == 400


@pytest.mark.parametrize(
    ("resource_type", "minimal"),
    [
        ("Practitioner", {}),
        ("Organization", {"name": "x"}),
        ("Location", {}),
        ("HealthcareService", {}),
        ("Medication", {}),
        ("PractitionerRole", {}),
        ("Device", {}),
        ("Binary", {"contentType": "text/plain", "data": "eA=="}),
    ],
)
def test_resources_outside_a_record_need_no_patient(
    service: Service, resource_type: str, minimal: dict[str, Any]
) -> None:
    made = service.create({"resourceType": resource_type, **minimal})
    assert service.call("GET", f"/fhir/R4/{resource_type}/{made['id']}").json() == made
    assert ids(service.call("GET", f"/fhir/R4/{resource_type}?_id={made['id']}")) == [made["id"]]
    # Events are keyed by patient: there is none.
    assert service.sql("SELECT FROM outbox WHERE event_id = $1", made["id"]) == []


def test_reference_to_what_is_not_there_is_refused_and_named(service: Service) -> None:
    id = service.create(patient())["id"]
    body = observation(id, performer=[{"reference": "Practitioner/nobody"}])
    answer = service.call("POST", "/fhir/R4/Observation", json=body)
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Observation.performer[0].reference"]


def test_count_as_fhirpy_asks_for_it(service: Service) -> None:
    answer = service.call("GET", "/fhir/R4/Patient?_totalMethod=count&_count=0")
    assert answer.json()["total"] >= 0
    assert service.call("GET", "/fhir/R4/Patient?_totalMethod=guess").status_code == 400


def test_read_gives_the_part_that_is_asked_for(service: Service) -> None:
    made = service.create(patient(gender="female"))
    path = f"/fhir/R4/Patient/{made['id']}"
    for url in (path, f"{path}/_history/1"):
        part = service.call("GET", f"{url}?_elements=gender")
        assert set(part.json()) == {"resourceType", "id", "meta", "gender"}
        assert part.headers["etag"] == 'W/"1"'
        assert "gender" in service.call("GET", f"{url}?_summary=true").json()
        for query in ("_elements=bogus", "_summary=count", "_summary=maybe", "shoe=44"):
            assert service.call("GET", f"{url}?{query}").status_code == 400
    lenient = service.call("GET", f"{path}?shoe=44", headers={"Prefer": "handling=lenient"})
    assert lenient.json() == made


def test_elements_are_not_left_out_of_what_is_included(service: Service) -> None:
    made = service.create(patient(gender="female"))
    id = service.create(observation(made["id"]))["id"]
    query = f"_id={id}&_include=Observation:subject&_elements=status"
    first, second = service.call("GET", f"/fhir/R4/Observation?{query}").json()["entry"]
    assert "code" in first["resource"]
    assert "valueQuantity" not in first["resource"]
    assert second["resource"] == made


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/Patient/{id}?identifier=1"),
        ("PATCH", "/Patient/{id}?_cascade=delete"),
        ("DELETE", "/Patient/{id}?_cascade=delete"),
        ("POST", "/?_type=Patient"),
        ("POST", "/Patient?_pretty=maybe"),
        ("DELETE", "/Patient/{id}?_pretty=maybe"),
        ("POST", "/Patient/$match?count=5"),
        ("POST", "/Patient/$validate?strict=true"),
        ("GET", "/metadata?mode=terminology"),
        ("GET", "/metadata?shoe=44"),
        ("GET", "/Patient/{id}/_history?shoe=44"),
        ("GET", "/Patient/{id}/$everything?shoe=44"),
        ("GET", "/Patient/{id}/$summary?shoe=44"),
        ("GET", "/Observation/$lastn?patient={id}&_count=5"),
        ("GET", "/Observation/$lastn?patient={id}&_include=Observation:subject"),
    ],
)
def test_parameter_that_an_interaction_does_not_take_is_refused_and_nothing_done(
    service: Service, method: str, path: str
) -> None:
    id = service.create(patient())["id"]
    family = f"Untaken{id}"
    answer = service.call(
        method, f"/fhir/R4{path.format(id=id)}", json=patient(name=[{"family": family}])
    )
    assert answer.status_code == 400, answer.text
    assert answer.json()["issue"][0]["expression"]
    assert service.call("GET", f"/fhir/R4/Patient/{id}").json()["meta"]["versionId"] == "1"
    found = service.call("GET", f"/fhir/R4/Patient?family={family}&_summary=count")
    assert found.json()["total"] == 0


def test_what_is_only_read_allows_no_other_method(service: Service) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in ("AuditEvent", "AuditEvent/", "AuditEvent/1"):
            answer = service.call(method, f"/fhir/R4/{path}?_summary=true", json={})
            assert answer.status_code == 405, path
            assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/Patient/1", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("/Patient", {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}),
        ("/Patient/1/_history", {"GET", "HEAD"}),
        ("/Patient/1/_history/1", {"GET", "HEAD"}),
        ("/Patient/$match", {"POST"}),
        ("/AuditEvent", {"GET", "HEAD"}),
        ("/AuditEvent/1", {"GET", "HEAD"}),
        ("/metadata", {"GET", "HEAD"}),
        ("/_history", {"GET", "HEAD"}),
        ("/Patient/_history", {"GET", "HEAD"}),
        ("/_search", {"GET", "HEAD", "POST"}),
        ("/Patient/_search", {"GET", "HEAD", "POST"}),
        ("/Observation/$lastn", {"GET", "HEAD", "POST"}),
        ("/Patient/1/$everything", {"GET", "HEAD", "POST"}),
        ("/Patient/1/$validate", {"POST"}),
        ("", {"GET", "HEAD", "POST"}),
    ],
)
def test_allow_names_the_methods_of_the_path(
    service: Service, path: str, allowed: set[str]
) -> None:
    for method in {"OPTIONS", "PUT", "PATCH", "DELETE", "POST"} - allowed:
        answer = service.call(method, f"/fhir/R4{path}?_count=1")
        assert answer.status_code == 405, f"{method}: {answer.text}"
        assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    ("path", "parameters", "query"),
    [
        ("/Patient/{id}/$everything", {"_count": ("valueInteger", 2)}, "_count=2"),
        ("/Patient/{id}/$everything", {"start": ("valueDate", "2024-01-01")}, "start=2024-01-01"),
        ("/Patient/{id}/$summary", {}, ""),
        ("/Observation/$lastn", {"patient": ("valueString", "{id}")}, "patient={id}"),
    ],
)
def test_operation_is_called_by_post_as_by_get(
    service: Service, path: str, parameters: dict[str, tuple[str, Any]], query: str
) -> None:
    id = service.create(patient())["id"]
    service.create(observation(id))
    url = f"/fhir/R4{path.format(id=id)}"
    given = [
        {"name": name, kind: value.format(id=id) if isinstance(value, str) else value}
        for name, (kind, value) in parameters.items()
    ]
    body = {"resourceType": "Parameters", **({"parameter": given} if given else {})}
    got = service.call("GET", f"{url}?{query.format(id=id)}").json()
    posted = service.call("POST", url, json=body)
    assert posted.status_code == 200, posted.text
    expected, found = ([e["fullUrl"] for e in each["entry"]] for each in (got, posted.json()))
    assert expected == found or path.endswith("summary")
    for wrong in (
        {"resourceType": "Patient"},
        {**body, "parameter": [{"name": "shoe", "valueString": "44"}]},
        {**body, "parameter": [{"name": "start", "valuePeriod": {"start": "2024"}}]},
        {**body, "parameter": [{"name": "start"}]},
    ):
        assert service.call("POST", url, json=wrong).status_code in (400, 422)
