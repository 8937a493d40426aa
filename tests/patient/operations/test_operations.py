"""`$everything`, `$lastn`, `$summary` and `$match` on a running service."""

import secrets
from typing import Any

import pytest

from apps.patient.definitions.validation import find_faults
from apps.patient.operations.scoring import compare, person_of
from tests.patient.fhir.resources import ids, observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service, principal

BASE = f"{PUBLIC_URL}/fhir/R4"
LOINC = "http://loinc.org"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def condition(patient_id: str, text: str, status: str = "active") -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "subject": {"reference": f"Patient/{patient_id}"},
        "clinicalStatus": {"coding": [{"system": CLINICAL, "code": status}]},
        "code": {"text": text},
    }


def measured(patient_id: str, code: str, day: str) -> dict[str, Any]:
    return {
        **observation(patient_id),
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "effectiveDateTime": day,
    }


@pytest.mark.integration
def test_everything_has_the_record_and_what_it_refers_to_and_nothing_else(service: Service) -> None:
    doctor = service.create({"resourceType": "Practitioner", "name": [{"family": "House"}]})["id"]
    mine = service.create(patient(generalPractitioner=[{"reference": f"Practitioner/{doctor}"}]))[
        "id"
    ]
    other = service.create(patient())["id"]
    own = [service.create(condition(mine, f"one {number}"))["id"] for number in range(3)]
    service.create(condition(other, "of another"))
    seen = service.create(measured(mine, "8867-4", "2024-05-01"))["id"]

    answer = service.call("GET", f"/fhir/R4/Patient/{mine}/$everything")

    assert answer.status_code == 200
    assert set(ids(answer)) == {mine, doctor, seen, *own}
    assert answer.json()["entry"][0]["resource"]["id"] == mine


@pytest.mark.integration
def test_everything_is_paged_and_limited(service: Service) -> None:
    mine = service.create(patient())["id"]
    own = {service.create(condition(mine, f"c {number}"))["id"] for number in range(5)}
    old = service.create(measured(mine, "8867-4", "2001-05-01"))["id"]
    new = service.create(measured(mine, "8867-4", "2024-05-01"))["id"]

    found: list[str] = []
    path = f"/fhir/R4/Patient/{mine}/$everything?_count=2"
    for _ in range(10):
        answer = service.call("GET", path)
        assert answer.status_code == 200, answer.text
        found += ids(answer)
        following = [link["url"] for link in answer.json()["link"] if link["relation"] == "next"]
        if not following:
            break
        path = following[0].removeprefix(PUBLIC_URL)
    assert sorted(found) == sorted([mine, *own, old, new])

    limited = service.call(
        "GET", f"/fhir/R4/Patient/{mine}/$everything?_type=Observation&start=2020-01-01"
    )
    assert ids(limited) == [new]
    ended = service.call(
        "GET", f"/fhir/R4/Patient/{mine}/$everything?_type=Observation&end=2020-01-01"
    )
    assert ids(ended) == [old]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("Patient/nobody/$everything", 404),
        ("Patient/nobody/$summary", 404),
        ("Observation/$lastn", 400),
        ("Observation/$lastn?patient=x&max=0", 400),
        ("Observation/$lastn?patient=x&max=101", 400),
        ("Observation/$lastn?patient=x&color=red", 400),
    ],
)
def test_bad_call_is_refused(service: Service, path: str, status: int) -> None:
    assert service.call("GET", f"/fhir/R4/{path}").status_code == status


@pytest.mark.integration
def test_everything_refuses_an_unknown_parameter_and_a_foreign_record(service: Service) -> None:
    mine = service.create(patient())["id"]
    other = service.create(patient())["id"]
    assert service.call("GET", f"/fhir/R4/Patient/{mine}/$everything?color=red").status_code == 400
    for name in ("start", "end", "_since"):
        for value in ("abc", "ge2024", "2024,2020", "2024-02-31T", ""):
            answer = service.call("GET", f"/fhir/R4/Patient/{mine}/$everything?{name}={value}")
            assert answer.status_code == 400, f"{name}={value}"
            assert answer.json()["issue"][0]["expression"] == [f"http.{name}"]
    since = f"/fhir/R4/Patient/{mine}/$everything?_since=2020-01-01T00:00:00%2B01:00&start=2020"
    assert service.call("GET", since).status_code == 200
    service.verifier.principals["own"] = principal("patient/*.rs", patient_id=mine)
    assert set(ids(service.call("GET", f"/fhir/R4/Patient/{mine}/$everything", by="own"))) == {mine}
    foreign = service.call("GET", f"/fhir/R4/Patient/{other}/$everything", by="own")
    assert foreign.status_code in (403, 404) or ids(foreign) == []
    assert service.call("GET", f"/fhir/R4/Patient/{other}/$summary", by="own").status_code == 404


@pytest.mark.integration
def test_lastn_gives_the_newest_of_each_code(service: Service) -> None:
    mine = service.create(patient())["id"]
    made = {
        (code, day): service.create(measured(mine, code, day))["id"]
        for code in ("8867-4", "8310-5")
        for day in ("2024-01-01", "2024-03-01", "2024-02-01")
    }

    one = service.call("GET", f"/fhir/R4/Observation/$lastn?patient={mine}")
    two = service.call("GET", f"/fhir/R4/Observation/$lastn?patient={mine}&max=2&code=8867-4")

    assert set(ids(one)) == {made["8867-4", "2024-03-01"], made["8310-5", "2024-03-01"]}
    assert ids(two) == [made["8867-4", "2024-03-01"], made["8867-4", "2024-02-01"]]


@pytest.mark.integration
def test_summary_is_a_valid_document_with_what_counts_now(service: Service) -> None:
    mine = service.create(patient())["id"]
    active = service.create(condition(mine, "Asthma <severe>"))["id"]
    service.create(condition(mine, "Broken arm", "resolved"))

    answer = service.call("GET", f"/fhir/R4/Patient/{mine}/$summary")

    assert answer.status_code == 200
    document = answer.json()
    assert document["type"] == "document" and find_faults(document, "Bundle") == ()
    composition = document["entry"][0]["resource"]
    assert composition["resourceType"] == "Composition"
    sections = {section["title"]: section for section in composition["section"]}
    assert list(sections) == ["Problems", "Allergies and intolerances", "Medication"]
    assert [each["reference"] for each in sections["Problems"]["entry"]] == [
        f"{BASE}/Condition/{active}"
    ]
    assert "Asthma &lt;severe&gt;" in sections["Problems"]["text"]["div"]
    assert sections["Medication"]["emptyReason"]["coding"][0]["code"] == "unavailable"
    full_urls = {entry["fullUrl"] for entry in document["entry"]}
    assert composition["subject"]["reference"] in full_urls
    assert composition["author"][0]["reference"] in full_urls


def described(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "name": [{"family": "Sandoval", "given": ["Elizabeth", "Ann"]}],
        "birthDate": "1984-03-07",
        "gender": "female",
        "telecom": [{"system": "phone", "value": "+1 617 555 0142"}],
        "address": [{"line": ["12 Elm Street"], "postalCode": "02139"}],
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({}, "certain"),
        ({"name": [{"family": "Sandovál", "given": ["Liz"]}]}, "certain"),
        ({"name": [{"family": "Snadoval", "given": ["Elizabeth"]}]}, "certain"),
        ({"name": [{"family": "Elizabeth", "given": ["Sandoval"]}], "telecom": []}, "probable"),
        ({"birthDate": "1984-07-03", "telecom": [], "address": []}, "possible"),
        ({"birthDate": "1984-03-70", "telecom": [], "address": []}, "possible"),
        ({"name": [{"family": "Smith", "given": ["John"]}], "gender": "male"}, "certainly-not"),
        ({"birthDate": "1951-12-30", "telecom": [], "address": []}, "certainly-not"),
        # A daughter at the same address, with the same telephone.
        (
            {"birthDate": "2012-11-21", "name": [{"family": "Sandoval", "given": ["Mia"]}]},
            "certainly-not",
        ),
        # Another person of the same name and birthday is for a human to judge.
        ({"telecom": [], "address": []}, "probable"),
    ],
)
def test_likeness_of_two_descriptions(changes: dict[str, Any], grade: str) -> None:
    likeness = compare(person_of(described(**changes)), person_of(described()))
    assert likeness.grade == grade, likeness


def test_likeness_is_the_same_both_ways() -> None:
    one = person_of(described())
    other = person_of(described(name=[{"family": "Sandoval", "given": ["Beth"]}]))
    assert compare(one, other) == compare(other, one)


def asked(resource: dict[str, Any], **values: Any) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [{"name": "resource", "resource": resource}]
    if "count" in values:
        parameters.append({"name": "count", "valueInteger": values["count"]})
    if "certain" in values:
        parameters.append({"name": "onlyCertainMatches", "valueBoolean": values["certain"]})
    return {"resourceType": "Parameters", "parameter": parameters}


@pytest.mark.integration
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"given": "Bob"},
        {"family": "{family}x", "given": "Robert"},
        {"birthDate": "1977-12-03"},
        {"swapped": True},
        {"phone": "(617) 555-{digits}", "family": "Maiden"},
    ],
)
def test_match_finds_the_person_however_it_was_typed(
    service: Service, changes: dict[str, Any]
) -> None:
    family = "Zz" + "".join(secrets.choice("aeioulmnrst") for _ in range(8))
    digits = f"{secrets.randbelow(10_000):04}"
    known = {
        "resourceType": "Patient",
        "name": [{"family": family, "given": ["Robert"]}],
        "birthDate": "1977-03-12",
        "gender": "male",
        "telecom": [{"system": "phone", "value": f"+1 617 555 {digits}"}],
    }
    id = service.create(known)["id"]
    typed_family = changes.get("family", family).format(family=family)
    given = changes.get("given", "Robert")
    name = {"family": typed_family, "given": [given]}
    if changes.get("swapped"):
        name = {"family": given, "given": [typed_family]}
    typed = {
        "resourceType": "Patient",
        "name": [name],
        "birthDate": changes.get("birthDate", "1977-03-12"),
        "gender": "male",
    }
    if "phone" in changes:
        phone = changes["phone"].format(digits=digits)
        typed["telecom"] = [{"system": "phone", "value": phone}]

    answer = service.call("POST", "/fhir/R4/Patient/$match", json=asked(typed))

    assert answer.status_code == 200, answer.text
    entries = answer.json()["entry"]
    assert entries[0]["resource"]["id"] == id
    assert entries[0]["search"]["score"] >= 0.5
    assert entries[0]["search"]["extension"][0]["valueCode"] in ("certain", "probable", "possible")


@pytest.mark.integration
def test_match_gives_nobody_for_a_stranger(service: Service) -> None:
    stranger = described(name=[{"family": "Qxzzyqx", "given": ["Wqxz"]}], birthDate="1901-01-01")
    answer = service.call(
        "POST", "/fhir/R4/Patient/$match", json=asked({**stranger, "telecom": []})
    )
    assert answer.json()["total"] == 0


@pytest.mark.integration
@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Patient"},
        {"resourceType": "Parameters"},
        asked({"resourceType": "Observation"}),
        asked(described(), count=0),
        asked(described(), count=51),
        asked(described(), certain="yes"),
    ],
)
def test_match_refuses_what_it_cannot_read(service: Service, body: dict[str, Any]) -> None:
    assert service.call("POST", "/fhir/R4/Patient/$match", json=body).status_code == 422


@pytest.mark.integration
def test_match_needs_to_find_and_to_read(service: Service) -> None:
    service.verifier.principals["finds"] = principal("user/Patient.s")
    service.verifier.principals["reads"] = principal("user/Patient.r")
    for by in ("finds", "reads"):
        answer = service.call("POST", "/fhir/R4/Patient/$match", by=by, json=asked(described()))
        assert answer.status_code == 403
