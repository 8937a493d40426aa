"""Transactions and batches as other programs write them, a row each."""

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.patient.fhir.resources import ids, observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service, principal

pytestmark = pytest.mark.integration

BASE = f"{PUBLIC_URL}/fhir/R4"
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


def entry(method: str, url: str, resource: Any = None, full_url: str = "", **more: Any) -> Any:
    made: dict[str, Any] = {"request": {"method": method, "url": url, **more}}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made


def exchange(service: Service, *entries: Any, kind: str = "transaction", by: str = "all") -> Any:
    body = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
    return service.call("POST", "/fhir/R4", json=body, by=by)


def made(answer: Any) -> list[str]:
    """Returns `Type/id` of each entry."""
    assert answer.status_code == 200, answer.text
    return [
        item["response"]["location"].removeprefix(f"{BASE}/").partition("/_history")[0]
        for item in answer.json()["entry"]
    ]


def read(service: Service, reference: str) -> Any:
    return service.call("GET", f"/fhir/R4/{reference}").json()


def test_relative_reference_is_resolved_by_the_root_of_the_full_url(service: Service) -> None:
    root = "http://e.example/fhir"
    answer = exchange(
        service,
        entry("POST", "/Patient", patient(), f"{root}/Patient/abc"),
        entry("POST", "Observation", observation("abc"), f"{root}/Observation/o"),
    )
    person, reading = made(answer)
    assert read(service, reading)["subject"]["reference"] == person


def test_urn_is_replaced_in_every_uri_and_narrative_and_nowhere_else(service: Service) -> None:
    urn = "urn:uuid:11111111-1111-4111-8111-111111111111"
    photo = {"contentType": "image/png", "url": urn}
    link = f'<div {XHTML}><a href="{urn}">x</a><img src="{urn}" alt="y"/> {urn}</div>'
    body = patient(
        photo=[photo],
        text={"status": "generated", "div": link},
        extension=[{"url": "http://x", "valueUri": urn}, {"url": "http://y", "valueString": urn}],
        identifier=[{"system": "urn:ietf:rfc:3986", "value": urn}],
    )
    binary = {"resourceType": "Binary", "contentType": "image/png", "data": "eA=="}
    person, picture = made(
        exchange(service, entry("POST", "Patient", body), entry("POST", "Binary", binary, urn))
    )
    stored = read(service, person)
    assert stored["photo"][0]["url"] == picture
    assert stored["text"]["div"] == (
        f'<div {XHTML}><a href="{picture}">x</a><img src="{picture}" alt="y"/> {urn}</div>'
    )
    assert stored["extension"][0]["valueUri"] == picture
    assert stored["extension"][1]["valueString"] == urn
    assert stored["identifier"][0]["value"] == urn


@pytest.mark.parametrize(
    "condition",
    [
        "identifier=urn:why?|a?b",
        "identifier=urn:blank|a%20b",
        "identifier=urn:blank|a+b",
        "identifier=urn:comma|a\\,b",
        "Patient?identifier=urn:type|1",
    ],
)
def test_condition_is_taken_as_it_is_written(service: Service, condition: str) -> None:
    system = condition.removeprefix("Patient?").partition("=")[2].partition("|")[0]
    value = condition.partition("|")[2].replace("%20", " ").replace("+", " ").replace("\\,", ",")
    body = patient(identifier=[{"system": system, "value": value}])
    one = entry("POST", "Patient", body, ifNoneExist=condition)
    first, second = exchange(service, one), exchange(service, one)
    assert made(first) == made(second)
    # Two entries with a condition that somebody meets lead to that one.
    both = exchange(service, one, one)
    assert made(both) == made(first) * 2


def test_every_verb_in_the_order_of_r4(service: Service) -> None:
    gone = service.create(patient())["id"]
    changed = service.create(patient(gender="male"))["id"]
    patch = base64.b64encode(b'[{"op":"replace","path":"/gender","value":"other"}]').decode()
    binary = {
        "resourceType": "Binary",
        "contentType": "application/json-patch+json",
        "data": patch,
    }
    answer = exchange(
        service,
        entry("GET", f"Patient/{changed}"),
        entry("GET", "Patient?identifier=urn:order|new&_total=accurate"),
        entry("PATCH", f"Patient/{changed}", binary),
        entry("PUT", "Patient/order-put", patient(id="order-put")),
        entry("PUT", "Patient?identifier=urn:order|put", patient()),
        entry("POST", "Patient", patient(identifier=[{"system": "urn:order", "value": "new"}])),
        entry("DELETE", f"Patient/{gone}"),
        entry("HEAD", f"Patient/{changed}"),
    )
    assert answer.status_code == 200, answer.text
    entries = answer.json()["entry"]
    statuses = [item["response"]["status"][:3] for item in entries]
    assert statuses == ["200", "200", "200", "201", "201", "201", "204", "200"]
    # What is read is what the others have written.
    assert entries[0]["resource"]["gender"] == "other"
    assert entries[1]["resource"]["total"] == 1
    assert "resource" not in entries[7]
    assert service.call("GET", f"/fhir/R4/Patient/{gone}").status_code == 410


def test_conditional_reference_finds_what_is_there_and_what_the_bundle_makes(
    service: Service,
) -> None:
    def doctor(value: str) -> dict[str, Any]:
        return {
            "resourceType": "Practitioner",
            "identifier": [{"system": "urn:npi", "value": value}],
        }

    there = service.create(doctor("there"))["id"]
    person = service.create(patient())["id"]

    def reading(value: str) -> Any:
        performer = {"reference": f"Practitioner?identifier=urn:npi|{value}"}
        return entry("POST", "Observation", observation(person, performer=[performer]))

    answer = exchange(
        service,
        reading("there"),
        reading("new"),
        reading("absent"),
        entry("POST", "Practitioner", doctor("new")),
    )
    found = made(answer)
    performers = [read(service, reference)["performer"][0] for reference in found[:3]]
    assert performers[0] == {"reference": f"Practitioner/{there}"}
    assert performers[1] == {"reference": found[3]}
    # Whom nobody here knows is named by the identifier.
    identifier = {"system": "urn:npi", "value": "absent"}
    assert performers[2] == {"type": "Practitioner", "identifier": identifier}
    query = "Observation?performer:identifier=urn:npi|absent"
    assert ids(service.call("GET", f"/fhir/R4/{query}")) == [found[2].partition("/")[2]]

    service.create(doctor("there"))
    assert exchange(service, reading("there")).status_code == 412


@pytest.mark.parametrize(
    "entries",
    [
        [entry("DELETE", "Patient/same"), entry("PUT", "Patient/same", patient(id="same"))],
        [entry("PUT", "Patient/same", patient(id="same"))] * 2,
        [entry("POST", "Patient", patient(), ifNoneExist="identifier=urn:twice|1")] * 2,
        [entry("PUT", "Patient/same", patient(id="other"))],
        [entry("POST", "Patient/same", patient())],
        [entry("DELETE", "Patient")],
        [entry("DELETE", "Patient/same?identifier=1")],
        [entry("PUT", "Patient/same?_cascade=x", patient(id="same"))],
        [entry("PUT", "Patient/same", patient(id="same"), ifNoneMatch='W/"1"')],
        [entry("PUT", "Patient/same", patient(id="same"), ifNoneExist="identifier=1")],
        [entry("POST", "Patient", patient(), ifMatch='W/"1"')],
        [entry("POST", "Patient", patient(), ifNoneMatch="*")],
        [entry("POST", "AuditEvent", {"resourceType": "AuditEvent"})],
        [entry("POST", "http://elsewhere.example/Patient", patient())],
    ],
)
def test_entries_that_contradict_are_refused_whole(service: Service, entries: list[Any]) -> None:
    before = service.sql("SELECT count(*) FROM resource")
    answer = exchange(service, entry("POST", "Patient", patient()), *entries)
    assert answer.status_code == 422, answer.text
    assert service.sql("SELECT count(*) FROM resource") == before


def test_transaction_is_undone_by_a_late_failure(service: Service) -> None:
    before = service.sql("SELECT count(*) FROM resource")
    existing = service.create(patient())["id"]
    stale = patient(id=existing)
    answer = exchange(
        service,
        entry("POST", "Patient", patient()),
        entry("PUT", f"Patient/{existing}", stale, ifMatch='W/"9"'),
    )
    assert answer.status_code == 412
    assert service.sql("SELECT count(*) FROM resource") == [(before[0][0] + 1,)]


def test_batch_does_each_by_itself_and_tells_each_outcome_in_its_place(service: Service) -> None:
    answer = exchange(
        service,
        entry("POST", "Patient", patient(gender="banana")),
        entry("POST", "Patient", patient()),
        entry("GET", "Patient/nobody"),
        "nonsense",
        entry("GET", "Patient?_count=1"),
        kind="batch",
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["type"] == "batch-response"
    entries = answer.json()["entry"]
    statuses = [item["response"]["status"][:3] for item in entries]
    assert statuses == ["422", "201", "404", "422", "200"]
    assert entries[0]["response"]["outcome"]["issue"][0]["code"] == "code-invalid"


def test_bundle_for_another_patients_record_is_refused(service: Service) -> None:
    own, other = service.create(patient())["id"], service.create(patient())["id"]
    service.verifier.principals["own-cruds"] = principal("patient/*.cruds", patient_id=own)
    for subject, status in ((own, 200), (other, 403)):
        one = entry("POST", "Observation", observation(subject))
        assert exchange(service, one, by="own-cruds").status_code == status


def test_scopes_of_one_patient_read_what_patients_share_and_change_none(service: Service) -> None:
    shared = service.create({"resourceType": "Organization", "name": "Shared", "active": True})
    url = f"Organization/{shared['id']}"
    own = service.create(patient(managingOrganization={"reference": url}))["id"]
    service.verifier.principals["own-cruds"] = principal("patient/*.cruds", patient_id=own)
    assert service.call("GET", f"/fhir/R4/{url}", by="own-cruds").status_code == 200
    for method, path in (
        ("PUT", url),
        ("PUT", f"Organization?_id={shared['id']}"),
        ("DELETE", url),
    ):
        json = {"json": shared} if method == "PUT" else {}
        changed = service.call(method, f"/fhir/R4/{path}", by="own-cruds", **json)
        assert changed.status_code == 403, changed.text
    patch = entry("PATCH", url, {"resourceType": "Parameters"})
    assert exchange(service, patch, by="own-cruds").status_code == 403
    service.verifier.principals["both"] = principal(
        "patient/*.cruds", "user/Organization.u?active=true", patient_id=own
    )
    changed = service.call("PUT", f"/fhir/R4/{url}", by="both", json=shared)
    assert changed.status_code == 200, changed.text


@pytest.mark.usefixtures("unhurried_pool")
def test_bundles_in_opposite_order_do_not_wait_for_each_other(service: Service) -> None:
    first, second = service.create(patient()), service.create(patient())
    conditions = ["identifier=urn:lock|1", "identifier=urn:lock|2"]

    def send(number: int) -> int:
        people = [first, second] if number % 2 else [second, first]
        asked = conditions if number % 2 else conditions[::-1]
        updates = [entry("PUT", f"Patient/{one['id']}", {**one, "active": True}) for one in people]
        creates = [
            entry(
                "POST",
                "Patient",
                patient(identifier=[{"system": "urn:lock", "value": text[-1]}]),
                ifNoneExist=text,
            )
            for text in asked
        ]
        return int(exchange(service, *updates, *creates).status_code)

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(send, range(48)))
    # Of two writers of one version one may be told to try again; nobody hangs or fails.
    assert set(statuses) <= {200, 409}
    assert 200 in statuses


@pytest.mark.usefixtures("unhurried_pool")
def test_nothing_is_written_for_a_patient_who_is_being_deleted(service: Service) -> None:
    for _ in range(10):
        id = service.create(patient())["id"]

        def write(number: int, id: str = id) -> int:
            if number == 4:
                return int(service.call("DELETE", f"/fhir/R4/Patient/{id}").status_code)
            body = observation(id)
            return int(service.call("POST", "/fhir/R4/Observation", json=body).status_code)

        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(write, range(8)))
        assert set(statuses) <= {201, 204, 409, 422}
        late = service.sql(
            "SELECT count(*) FROM resource o, resource p WHERE p.id = $1 AND p.type = 'Patient'"
            " AND o.patient_id = $1 AND o.type = 'Observation' AND o.last_updated > p.last_updated"
            " + interval '1 second'",
            id,
        )
        assert late == [(0,)]
        assert service.call("POST", "/fhir/R4/Observation", json=observation(id)).status_code == 422
