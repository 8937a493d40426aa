"""FHIR over HTTP: what real clients send, and what R4's http page says, a row each."""

import json
import secrets
from typing import Any

import pytest

from tests.patient.fhir.resources import FHIR, ids, observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service, principal

pytestmark = pytest.mark.integration

BASE = f"{PUBLIC_URL}/fhir/R4"
JSON_PATCH = "application/json-patch+json"


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


def test_conditions_of_reads_and_updates(service: Service) -> None:
    made = service.call("POST", "/fhir/R4/Patient", json=patient())
    path = f"/fhir/R4/Patient/{made.json()['id']}"
    modified = made.headers["last-modified"]
    for headers, status in (
        ({"If-None-Match": 'W/"1"'}, 304),
        ({"If-None-Match": 'W/"2"'}, 200),
        ({"If-Modified-Since": modified}, 304),
        ({"If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"}, 200),
        ({"If-Modified-Since": "soon"}, 200),
    ):
        assert service.call("GET", path, headers=headers).status_code == status, headers
        assert service.call("GET", f"{path}?_summary=no", headers=headers).status_code == 400
    for headers, status in (
        ({"If-None-Match": "*"}, 412),
        ({"If-Match": 'W/"7"'}, 412),
        ({"If-Match": "*"}, 200),
        ({"If-Match": 'W/"2"'}, 200),
    ):
        answer = service.call("PUT", path, json=made.json(), headers=headers)
        assert answer.status_code == status, headers
    absent = "/fhir/R4/Patient/not-there-at-all"
    body = patient(id="not-there-at-all")
    for condition in ("*", 'W/"1"'):
        answer = service.call("PUT", absent, json=body, headers={"If-Match": condition})
        assert answer.status_code == 412


def test_change_that_names_versions_that_it_must_not_find_is_refused(service: Service) -> None:
    made = service.create(patient())
    path = f"/fhir/R4/Patient/{made['id']}"
    for headers in ({"If-None-Match": 'W/"7"'}, {"If-Match": 'W/"1", W/"2"'}, {"If-Match": "1"}):
        assert service.call("PUT", path, json=made, headers=headers).status_code == 400
        assert service.call("DELETE", path, headers=headers).status_code == 400
    assert service.call("GET", path).json() == made


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


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (JSON_PATCH, [{"op": "replace", "path": "/gender", "value": "other"}], "other"),
        ("application/merge-patch+json", {"gender": "male", "active": None}, "male"),
        (
            FHIR,
            {
                "resourceType": "Parameters",
                "parameter": [
                    {
                        "name": "operation",
                        "part": [
                            {"name": "type", "valueCode": "replace"},
                            {"name": "path", "valueString": "Patient.gender"},
                            {"name": "value", "valueCode": "unknown"},
                        ],
                    }
                ],
            },
            "unknown",
        ),
    ],
)
def test_patch_in_three_ways(service: Service, content_type: str, body: Any, expected: str) -> None:
    made = service.create(patient(gender="female", active=True))
    answer = service.call(
        "PATCH",
        f"/fhir/R4/Patient/{made['id']}",
        content=json.dumps(body),
        headers={"Content-Type": content_type, "If-Match": 'W/"1"'},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["gender"] == expected
    assert answer.headers["etag"] == 'W/"2"'
    assert answer.json()["identifier"] == made["identifier"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([{"op": "test", "path": "/gender", "value": "male"}], 422),
        ([{"op": "remove", "path": "/nothing"}], 422),
        ([{"op": "replace", "path": "/gender", "value": "banana"}], 422),
        ([{"op": "replace", "path": "/id", "value": "x"}], 422),
        ([{"op": "nonsense"}], 400),
        ({"op": "remove"}, 400),
    ],
)
def test_patch_that_cannot_be_made_is_refused(service: Service, body: Any, status: int) -> None:
    id = service.create(patient(gender="female"))["id"]
    answer = service.call(
        "PATCH",
        f"/fhir/R4/Patient/{id}",
        content=json.dumps(body),
        headers={"Content-Type": JSON_PATCH},
    )
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_conditional_update_patch_and_delete_meet_one(service: Service) -> None:
    criteria = "identifier=urn:conditional|one"
    body = patient(identifier=[{"system": "urn:conditional", "value": "one"}])
    path = f"/fhir/R4/Patient?{criteria}"
    first = service.call("PUT", path, json=body)
    assert first.status_code == 201, first.text
    second = service.call("PUT", path, json={**body, "gender": "male"})
    assert (second.status_code, second.headers["etag"]) == (200, 'W/"2"')
    assert second.json()["id"] == first.json()["id"]
    assert service.call("PUT", path, json={**body, "id": "another"}).status_code == 400

    headers = {"Content-Type": "application/merge-patch+json"}
    patched = service.call("PATCH", path, content='{"active": true}', headers=headers)
    assert patched.json()["active"] is True
    nobody = "/fhir/R4/Patient?identifier=urn:conditional|nobody"
    assert service.call("PATCH", nobody, content="{}", headers=headers).status_code == 404

    service.create(body)
    assert service.call("DELETE", path).status_code == 412
    assert service.call("DELETE", nobody).status_code == 204
    assert service.call("DELETE", f"{path}&gender=male").status_code == 204
    assert service.call("GET", f"/fhir/R4/Patient/{first.json()['id']}").status_code == 410
    assert service.call("DELETE", "/fhir/R4/Patient").status_code == 422


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


def test_criteria_in_the_url_of_a_create_are_its_condition(service: Service) -> None:
    value = secrets.token_hex(6)
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:url", "value": value}]}
    path = f"/fhir/R4/Patient?identifier=urn:url|{value}"
    first = service.call("POST", path, json=body)
    second = service.call("POST", path, json=body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert service.call("POST", "/fhir/R4/Patient?color=red", json=body).status_code == 400


def test_patch_without_a_patch_media_type_is_merged(service: Service) -> None:
    made = service.create({"resourceType": "Patient", "gender": "male"})
    headers = {"Content-Type": "application/fhir+json"}
    answer = service.call(
        "PATCH", f"/fhir/R4/Patient/{made['id']}", content=b'{"gender": "female"}', headers=headers
    )
    assert answer.status_code == 200 and answer.json()["gender"] == "female"


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
