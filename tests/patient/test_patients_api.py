"""`/api/patients` on a real database."""

import json
from typing import Any

import asyncpg
import pytest

from apps.patient.operate import HANDLERS
from tests.idempotency import in_flight
from tests.patient.patient_service import PERSON, Service, make_settings, principal, wait_for

pytestmark = pytest.mark.integration


def test_registered_patient_is_read_as_it_was_sent(service: Service) -> None:
    created = service.call("POST", "/api/patients", json={**PERSON, "registeredDate": "2024-01-01"})
    assert created.status_code == 201
    id = created.json()["id"]
    assert created.headers["location"] == f"/api/patients/{id}"
    assert created.headers["etag"] == 'W/"1"'
    read = service.call("GET", f"/api/patients/{id}")
    expected = {"id": id, **PERSON, "registeredDate": "2024-01-01"}
    assert read.json() == created.json() == expected
    assert read.headers["etag"] == 'W/"1"'


def test_registered_patient_is_the_same_record_under_fhir(service: Service) -> None:
    id = service.register(name="Same Record")
    patient = service.call("GET", f"/fhir/R4/Patient/{id}").json()
    assert patient["name"] == [{"use": "official", "text": "Same Record"}]
    assert patient["meta"]["versionId"] == "1"
    assert [identifier["system"] for identifier in patient["identifier"]] == [
        "urn:patient-management:mrn"
    ]


async def test_operators_search_the_audit_by_client_and_outcome(service: Service) -> None:
    id = service.register()
    settings = make_settings(service.database_url)
    for filters, actions in (
        ({}, ["create"]),
        ({"client": "client-1", "outcome": "success"}, ["create"]),
        ({"client": "another"}, []),
        # Only what succeeded is kept.
        ({"outcome": "failure"}, []),
    ):
        rows: Any = await HANDLERS["audit search"](settings, {"subject": id, **filters})
        assert [row["action"] for row in rows] == actions


def test_one_transaction_leaves_row_history_audit_and_outbox(service: Service) -> None:
    id = service.register()
    assert service.sql("SELECT version_id, method FROM resource WHERE id = $1", id) == [(1, "POST")]
    audit = service.sql(
        "SELECT action, actor_id, client_id FROM audit_event WHERE resource_id = $1", id
    )
    assert audit == [("create", "user-1", "client-1")]
    wait_for(lambda: service.billing.patients().count(id) == 1)
    event = service.events(id, 1)[0]
    assert (event.event_type, event.version_id, event.demographics.birth_year) == (
        "patient.created",
        1,
        1990,
    )
    wait_for(lambda: not service.sql("SELECT FROM outbox WHERE patient_id = $1", id))


def test_event_carries_no_name_address_or_email(service: Service) -> None:
    id = service.register(
        name="Unmistakable", email="unmistakable@example.com", address="Unmistakable 1"
    )
    event = service.events(id, 1)[0]
    assert b"nmistakable" not in event.SerializeToString()


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"name": None}, "/name", "required"),
        ({"name": "  "}, "/name", "blank"),
        ({"name": "x" * 256}, "/name", "too_long"),
        ({"name": "nul\x00"}, "/name", "control_character"),
        ({"name": 1}, "/name", "not_a_string"),
        ({"email": "nobody"}, "/email", "not_an_email"),
        ({"address": "x" * 1001}, "/address", "too_long"),
        ({"dateOfBirth": "2024-02-30"}, "/dateOfBirth", "not_a_date"),
        ({"dateOfBirth": "20240101"}, "/dateOfBirth", "not_a_date"),
        ({"dateOfBirth": "2999-01-01"}, "/dateOfBirth", "in_the_future"),
        ({"surname": "x"}, "/surname", "unknown_field"),
    ],
)
def test_bad_field_is_named(
    service: Service, change: dict[str, object], pointer: str, code: str
) -> None:
    answer = service.call("POST", "/api/patients", json={**PERSON, **change})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [
        (pointer, code)
    ]


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"name": "\xff"}', "application/json", 400),
        (b'{"name": "\\ud800"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b"name=x", "application/x-www-form-urlencoded", 415),
        (b" " * (1024 * 1024 + 1), "application/json", 413),
    ],
)
def test_bad_body_is_refused(
    service: Service, content: bytes, content_type: str, status: int
) -> None:
    answer = service.call(
        "POST", "/api/patients", content=content, headers={"Content-Type": content_type}
    )
    assert answer.status_code == status


def test_put_merges_and_keeps_all_else(service: Service) -> None:
    created = service.create(
        {
            "resourceType": "Patient",
            "name": [
                {"use": "old", "text": "Old Name"},
                {"use": "official", "family": "Roe", "given": ["Jane"]},
            ],
            "telecom": [
                {"system": "phone", "value": "555-0100"},
                {"system": "email", "value": "first@example.com"},
                {"system": "email", "value": "second@example.com"},
            ],
            "gender": "female",
        }
    )
    path = f"/api/patients/{created['id']}"
    assert service.call("GET", path).json() == {
        "id": created["id"],
        "name": "Jane Roe",
        "address": None,
        "email": "first@example.com",
        "dateOfBirth": None,
    }
    change = {
        "name": "Jane Doe",
        "email": "new@example.com",
        "address": "2 Test Street",
        "dateOfBirth": "1980-02-29",
    }
    put = service.call("PUT", path, json=change)
    assert put.status_code == 200
    assert put.headers["etag"] == 'W/"2"'
    assert put.json() == service.call("GET", path).json() == {"id": created["id"], **change}
    patient = service.call("GET", f"/fhir/R4/Patient/{created['id']}").json()
    assert patient["name"][1] == {
        "use": "official",
        "family": "Roe",
        "given": ["Jane"],
        "text": "Jane Doe",
    }
    assert patient["name"][0] == {"use": "old", "text": "Old Name"}
    assert [contact["value"] for contact in patient["telecom"]] == [
        "555-0100",
        "new@example.com",
        "second@example.com",
    ]
    assert patient["gender"] == "female"


def test_what_is_put_back_unchanged_loses_no_structure(service: Service) -> None:
    address = {"line": ["815 Test Lane"], "city": "Duxbury", "state": "MA", "postalCode": "02332"}
    created = service.create(
        {"resourceType": "Patient", "name": [{"family": "Roe"}], "address": [address]}
    )
    path = f"/api/patients/{created['id']}"
    read = service.call("GET", path).json()
    assert read["address"] == "815 Test Lane, Duxbury, MA 02332"
    assert service.call("PUT", path, json=read).status_code == 200
    assert service.call("GET", f"/fhir/R4/Patient/{created['id']}").json()["address"] == [address]


def test_stale_if_match_is_refused(service: Service) -> None:
    id = service.register()
    path = f"/api/patients/{id}"
    fresh = service.call("PUT", path, json={"name": "Second"}, headers={"If-Match": 'W/"1"'})
    assert fresh.status_code == 200
    for method, body in (("PUT", {"name": "Third"}), ("DELETE", None)):
        stale = service.call(method, path, json=body, headers={"If-Match": 'W/"1"'})
        assert stale.status_code == 412
    for etag in ('W/"99999999999999999999"', '"of another"', 'W/""'):
        assert (
            service.call("PUT", path, json={"name": "x"}, headers={"If-Match": etag}).status_code
            == 412
        )
    for text in ("nonsense", "", 'W/"1", W/"2"'):
        assert (
            service.call("PUT", path, json={"name": "x"}, headers={"If-Match": text}).status_code
            == 400
        )
    assert service.call("GET", path).json()["name"] == "Second"


def test_deleted_patient_is_gone_and_keeps_its_history(service: Service) -> None:
    id = service.register()
    path = f"/api/patients/{id}"
    assert service.call("DELETE", path).status_code == 204
    assert service.call("DELETE", path).status_code == 204
    for method, body in (("GET", None), ("PUT", {"name": "x"})):
        assert service.call(method, path, json=body).status_code == 410
    assert service.call("GET", f"/fhir/R4/Patient/{id}/_history/1").status_code == 200
    assert service.call("GET", f"/fhir/R4/Patient?_id={id}").json().get("entry") is None


@pytest.mark.parametrize("id", ["no-such-id", "a%00b", "x" * 65, "%2e%2e"])
def test_unknown_id_is_not_found(service: Service, id: str) -> None:
    assert service.call("GET", f"/api/patients/{id}").status_code == 404


def test_wrong_method_names_those_allowed(service: Service) -> None:
    answer = service.call("PATCH", "/api/patients")
    assert answer.status_code == 405
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))


def test_list_pages_by_its_links_and_shows_everybody_once(service: Service) -> None:
    made = {service.register(name=f"Page {number}") for number in range(5)}
    path, seen, pages = "/api/patients?limit=2", [], 0
    while path:
        answer = service.call("GET", path)
        assert isinstance(answer.json(), list)
        assert len(answer.json()) <= 2
        seen += [patient["id"] for patient in answer.json()]
        path = answer.links["next"]["url"] if "next" in answer.links else ""
        pages += 1
    assert len(seen) == len(set(seen))
    assert made <= set(seen)
    assert pages >= 3
    audited = service.sql(
        "SELECT returned_ids FROM audit_event WHERE action = 'search' ORDER BY id DESC LIMIT 1"
    )
    assert audited[0]["returned_ids"] == [patient["id"] for patient in answer.json()]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=0" + "0" * 9 + "1",
        "limit=" + "9" * 5000,
        "limit=x",
        "limit=",
        "limit=1&limit=2",
        "foo=1",
        "cursor=%00",
        "cursor=Ly4u",
    ],
)
def test_bad_paging_is_refused(service: Service, query: str) -> None:
    answer = service.call("GET", f"/api/patients?{query}")
    assert answer.status_code == 400


def test_reads_are_audited(service: Service) -> None:
    id = service.register()
    service.call("GET", f"/api/patients/{id}", headers={"X-Request-Id": "who-reads-1"})
    query = "SELECT action, resource_id, actor_id FROM audit_event WHERE request_id = 'who-reads-1'"
    assert service.sql(query) == [("read", id, "user-1")]


@pytest.mark.parametrize(
    ("scopes", "method", "path", "status"),
    [
        (("user/Patient.rs",), "GET", "/api/patients", 200),
        (("user/Patient.r",), "GET", "/api/patients", 403),
        (("user/Patient.rs",), "POST", "/api/patients", 403),
        (("user/Observation.cruds",), "GET", "/fhir/R4/Patient", 403),
        (("analytics.read",), "GET", "/api/patients", 403),
    ],
)
def test_scope_is_needed(
    service: Service, scopes: tuple[str, ...], method: str, path: str, status: int
) -> None:
    service.verifier.principals["some"] = principal(*scopes)
    options = {"json": PERSON} if method == "POST" else {}
    assert service.call(method, path, by="some", **options).status_code == status


def test_token_is_needed(service: Service) -> None:
    assert service.client.get(f"{service.url}/api/patients").status_code == 401
    assert (
        service.call("GET", "/api/patients", by="forged")
        .headers["www-authenticate"]
        .startswith("Bearer")
    )


def test_patients_own_login_sees_that_record_alone(service: Service) -> None:
    own, other = service.register(name="Own"), service.register(name="Other")
    service.verifier.principals["own"] = principal("patient/*.rs", patient_id=own)
    assert [patient["id"] for patient in service.call("GET", "/api/patients", by="own").json()] == [
        own
    ]
    assert service.call("GET", f"/api/patients/{own}", by="own").status_code == 200
    for path in (
        f"/api/patients/{other}",
        f"/fhir/R4/Patient/{other}",
        f"/fhir/R4/Patient/{other}/_history",
    ):
        assert service.call("GET", path, by="own").status_code == 404
    assert (
        service.call("PUT", f"/api/patients/{own}", by="own", json={"name": "x"}).status_code == 403
    )


def test_same_key_and_body_gives_the_first_answer(service: Service) -> None:
    headers = {"Idempotency-Key": "register-once"}
    first = service.call("POST", "/api/patients", json=PERSON, headers=headers)
    service.call("PUT", first.headers["location"], json={"name": "Changed Since"})
    again = service.call("POST", "/api/patients", json=PERSON, headers=headers)
    assert (again.status_code, again.json(), again.headers["location"], again.headers["etag"]) == (
        first.status_code,
        first.json(),
        first.headers["location"],
        first.headers["etag"],
    )
    other = service.call(
        "POST", "/api/patients", json={**PERSON, "name": "Another"}, headers=headers
    )
    assert other.status_code == 422
    service.verifier.principals["another"] = principal("system/*.cruds", client_id="client-2")
    theirs = service.call("POST", "/api/patients", by="another", json=PERSON, headers=headers)
    assert theirs.json()["id"] != first.json()["id"]


def test_nothing_is_kept_of_the_body_beside_the_record(service: Service) -> None:
    headers = {"Idempotency-Key": "no-body-kept"}
    service.call("POST", "/api/patients", json={**PERSON, "name": "Nowhere Else"}, headers=headers)
    rows = service.sql(
        "SELECT to_json(k)::text AS row FROM idempotency_key k WHERE key = 'no-body-kept'"
    )
    assert "Nowhere" not in json.dumps([row["row"] for row in rows])


def test_key_of_yesterday_is_forgotten(service: Service) -> None:
    first = service.call(
        "POST", "/api/patients", json=PERSON, headers={"Idempotency-Key": "today"}
    ).json()["id"]
    service.sql(
        """
        INSERT INTO idempotency_key
        SELECT client_id, subject, method, path, 'yesterday', body_sha256, reference, now() -
            interval '25 hours'
        FROM idempotency_key WHERE key = 'today'"""
    )
    for key, same in (("yesterday", False), ("today", True)):
        again = service.call("POST", "/api/patients", json=PERSON, headers={"Idempotency-Key": key})
        assert (again.json()["id"] == first) is same


def test_request_in_flight_is_a_conflict(service: Service) -> None:
    with in_flight(
        service.database_url, "client-1", "user-1", "POST", "/api/patients", "in-flight"
    ):
        answer = service.call(
            "POST", "/api/patients", json=PERSON, headers={"Idempotency-Key": "in-flight"}
        )
    assert answer.status_code == 409
    answer = service.call(
        "POST", "/api/patients", json=PERSON, headers={"Idempotency-Key": "in-flight"}
    )
    assert answer.status_code == 201


@pytest.mark.parametrize("table", ["audit_event", "resource_history"])
def test_service_cannot_rewrite_what_happened(service: Service, table: str) -> None:
    for statement in ("DELETE FROM {}", "UPDATE {} SET patient_id = ''", "TRUNCATE {}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            service.sql(statement.format(table))


def test_list_gives_only_what_may_be_read_as_well_as_found(service: Service) -> None:
    own, other = service.register(), service.register()
    service.verifier.principals["finds"] = principal(
        "user/Patient.s", "patient/Patient.r", patient_id=own
    )
    answer = service.call("GET", "/api/patients?limit=100", by="finds")
    assert [each["id"] for each in answer.json()] == [own]
    assert service.call("GET", f"/api/patients/{other}", by="finds").status_code == 404
