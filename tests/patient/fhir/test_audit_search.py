"""The audit as AuditEvents: who saw and changed whose record."""

import secrets

import pytest

from tests.patient.fhir.test_bundles import bundle, history, locations
from tests.patient.patient_service import PUBLIC_URL, Service, principal

pytestmark = pytest.mark.integration


def events(service: Service, query: str, by: str = "all") -> list[tuple[str, str]]:
    """Returns (action, interaction) of each AuditEvent, the newest first."""
    answer = service.call("GET", f"/fhir/R4/AuditEvent?{query}", by=by)
    assert answer.status_code == 200, answer.text
    return [
        (entry["resource"]["action"], entry["resource"]["subtype"][0]["code"])
        for entry in answer.json().get("entry", ())
    ]


def test_audit_is_found_by_patient_agent_date_entity_and_type(service: Service) -> None:
    service.verifier.principals["doctor"] = principal("user/*.cruds", subject="doctor-1")
    id = service.register()
    service.call("GET", f"/fhir/R4/Patient/{id}", by="doctor")
    service.call("GET", f"/fhir/R4/Patient?_id={id}", by="doctor")

    whole = [("E", "search-type"), ("R", "read"), ("C", "create")]
    assert events(service, f"patient={id}") == whole
    assert events(service, f"entity=Patient/{id}&date=ge2020&type=rest") == whole
    assert events(service, f"patient=Patient/{id}&agent=doctor-1") == whole[:2]
    assert events(service, f"patient={id}&agent:not=doctor-1") == whole[2:]
    assert events(service, f"patient={id}&action=R") == [("R", "read")]
    assert events(service, f"patient={id}&subtype=create") == [("C", "create")]
    assert events(service, f"patient={id}&date=lt2020") == []
    assert events(service, f"patient={id}&_lastUpdated=lt2020") == []
    assert events(service, f"patient={id}&action=http://hl7.org/fhir/audit-event-action|R") != []
    assert events(service, f"patient={id}&action=http://wrong|R") == []
    assert events(service, f"patient={id}&agent=http://wrong|doctor-1") == []
    assert events(service, f"patient={id}&_sort=-date") == whole
    for query in ("_summary=count", "_count=0"):
        counted = service.call("GET", f"/fhir/R4/AuditEvent?patient={id}&{query}").json()
        assert counted["total"] == 3 and "entry" not in counted


def test_audit_is_found_by_id(service: Service) -> None:
    path = f"/fhir/R4/AuditEvent?patient={service.register()}"
    [entry] = service.call("GET", path).json()["entry"]
    id = entry["resource"]["id"]
    for ids, count in (
        (f"_id={id}", 1),
        (f"_id=1,{id}&_id={id}", 1),
        (f"_id={id}&_id=1", 0),
        (f"_id={'9' * 19}", 0),
        (f"_id={'9' * 900}", 0),
        ("_id=x", 0),
    ):
        answer = service.call("GET", f"{path}&{ids}")
        assert answer.status_code == 200, answer.text
        assert len(answer.json().get("entry", ())) == count


def test_audit_of_a_compartment_is_of_that_patient(service: Service) -> None:
    own, other = service.register(), service.register()
    found = service.call("GET", f"/fhir/R4/Patient/{own}/AuditEvent?action=C").json()
    [event] = [entry["resource"] for entry in found["entry"]]
    assert event["entity"][0]["what"]["reference"].startswith(f"Patient/{own}")
    link = found["link"][0]["url"].removeprefix(PUBLIC_URL)
    assert service.call("GET", link).json()["entry"] == found["entry"]
    assert events(service, f"patient={other}") == [("C", "create")]


def test_audit_is_read_in_a_bundle_and_joined_to_by_nothing(service: Service) -> None:
    id = service.register()
    found = service.call("GET", f"/fhir/R4/AuditEvent?patient={id}").json()["entry"][0]
    reference = f"AuditEvent/{found['resource']['id']}"
    entry = {"request": {"method": "GET", "url": reference}}
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
    [answer] = service.call("POST", "/fhir/R4", json=batch).json()["entry"]
    assert answer["resource"] == found["resource"]
    for path in (
        "Patient?_has:AuditEvent:patient:action=C",
        "Patient?_revinclude=AuditEvent:patient",
        "?_type=AuditEvent",
    ):
        assert service.call("GET", f"/fhir/R4/{path}").status_code == 400
    for path in ("AuditEvent/_history", f"{reference}/_history", f"{reference}/_history/1"):
        assert service.call("GET", f"/fhir/R4/{path}").status_code == 404


def test_audit_pages_from_the_newest_on(service: Service) -> None:
    id = service.register()
    for _ in range(4):
        service.call("GET", f"/fhir/R4/Patient/{id}")
    path, seen = f"/fhir/R4/AuditEvent?patient={id}&_count=2", list[str]()
    while path:
        bundle = service.call("GET", path).json()
        seen += [entry["resource"]["id"] for entry in bundle["entry"]]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        path = links.get("next", "").partition("http://platform.test")[2]
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, key=int, reverse=True)


def test_changes_of_one_transaction_are_one_entry_found_by_each_resource(service: Service) -> None:
    made = locations(service.call("POST", "/fhir/R4", json=bundle(history())))
    for location in made:
        reference = location.split("/_history")[0]
        assert events(service, f"entity={reference}") == [("C", "create")]


def test_patient_reads_the_own_audit_alone_and_nobody_writes_it(service: Service) -> None:
    own, other = service.register(), service.register()
    service.verifier.principals["me"] = principal("patient/*.rs", patient_id=own)
    assert events(service, f"patient={own}", by="me") == [("C", "create")]
    assert events(service, f"patient={other}", by="me") == []
    event = service.call("GET", f"/fhir/R4/AuditEvent?patient={other}").json()["entry"][0]
    id = event["resource"]["id"]
    assert service.call("GET", f"/fhir/R4/AuditEvent/{id}").json() == event["resource"]
    # Of the own record it tells all that it tells others.
    mine, theirs = (
        service.call("GET", f"/fhir/R4/AuditEvent?patient={own}", by=by).json()["entry"][0]
        for by in ("me", "all")
    )
    assert mine == theirs
    assert service.call("GET", f"/fhir/R4/AuditEvent/{id}", by="me").status_code == 404
    body = event["resource"]
    assert service.call("POST", "/fhir/R4/AuditEvent", json=body).status_code == 405
    assert service.call("PUT", f"/fhir/R4/AuditEvent/{id}", json=body).status_code == 405
    assert service.call("DELETE", f"/fhir/R4/AuditEvent/{id}").status_code == 405


def test_event_that_cannot_be_is_not_found(service: Service) -> None:
    service.verifier.principals["narrow"] = principal("user/AuditEvent.rs?action=C")
    found = service.call("GET", f"/fhir/R4/AuditEvent?patient={service.register()}").json()
    id = found["entry"][0]["resource"]["id"]
    for path, by in ((id, "narrow"), ("x", "all"), ("9" * 18, "all"), ("9" * 19, "all")):
        assert service.call("GET", f"/fhir/R4/AuditEvent/{path}", by=by).status_code == 404


def test_patient_learns_nothing_of_others_from_searches_that_found_both(service: Service) -> None:
    own, other = service.register(), service.register()
    service.verifier.principals["me"] = principal("patient/*.rs", patient_id=own)
    service.call("GET", f"/fhir/R4/Patient?_id={own},{other}")
    service.call("GET", f"/fhir/R4/Patient?_id={own}&_id:not={other}")
    found = service.call("GET", f"/fhir/R4/AuditEvent?patient={own}&action=E", by="me").json()
    told = [entry["resource"] for entry in found["entry"]]
    entities = [each["what"]["reference"] for event in told for each in event["entity"]]
    assert entities == [f"Patient/{own}"] * 2
    for event in told:
        path = f"/fhir/R4/AuditEvent/{event['id']}"
        assert service.call("GET", path, by="me").json() == event
        assert [each for each in service.call("GET", path).json()["entity"] if "query" in each]


@pytest.mark.parametrize("path", ["AuditEvent?agent=", "Patient?identifier="])
def test_search_is_recorded_by_the_beginning_of_its_query(service: Service, path: str) -> None:
    values = ",".join(["x" * 60] * 60)
    request_id = secrets.token_hex(8)
    answer = service.call("GET", f"/fhir/R4/{path}{values}", headers={"X-Request-Id": request_id})
    assert answer.status_code == 200
    sql = "SELECT query FROM audit_event WHERE request_id = $1"
    ((told,),) = service.sql(sql, request_id)
    assert len(told) == 2_000


@pytest.mark.parametrize(
    "query",
    [
        "site=x",
        "date=soon",
        "date:not=2020",
        "entity=nonsense",
        "_cursor=AAAA",
        "_tag=x",
        "_sort=agent",
        "_include=AuditEvent:patient",
        "_filter=date%20ge%202020",
        "action:identifier=R",
        "_elements=bogus",
    ],
)
def test_what_the_audit_is_not_searched_by_is_refused(service: Service, query: str) -> None:
    assert service.call("GET", f"/fhir/R4/AuditEvent?{query}").status_code == 400
