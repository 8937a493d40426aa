"""Searches of texts, of hierarchies and by `_filter`, and how much they may read."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from apps.patient.storage import scanning
from tests.patient.fhir.resources import ids, patient
from tests.patient.patient_service import Service, principal

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def words(service: Service) -> dict[str, str]:
    """Resources of one patient with narratives, media types, and places in a place."""
    subject = service.create(patient(name=[{"family": "Wordsone"}]))["id"]
    person = {"reference": f"Patient/{subject}"}

    def narrative(text: str) -> dict[str, str]:
        return {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>',
        }

    def condition(text: str, status: str, **more: Any) -> str:
        coding = {
            "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
            "code": status,
        }
        made = {
            "resourceType": "Condition",
            "subject": person,
            "clinicalStatus": {"coding": [coding]},
            "text": narrative(text),
            **more,
        }
        return str(service.create(made)["id"])

    def document(media: str) -> str:
        content = [{"attachment": {"contentType": media, "url": "http://e/1"}}]
        made = {"resourceType": "DocumentReference", "status": "current", "subject": person}
        return str(service.create({**made, "content": content})["id"])

    def place(name: str, within: str = "") -> str:
        made: dict[str, Any] = {"resourceType": "Location", "name": name}
        if within:
            made["partOf"] = {"reference": f"Location/{within}"}
        return str(service.create(made)["id"])

    house = place("House")
    floor = place("Floor", house)
    room = place("Room", floor)

    def procedure(location: str, **more: Any) -> str:
        made = {
            "resourceType": "Procedure",
            "status": "completed",
            "subject": person,
            "location": {"reference": f"Location/{location}"},
            **more,
        }
        return str(service.create(made)["id"])

    return {
        "subject": subject,
        "house": house,
        "floor": floor,
        "room": room,
        "bone": condition("Metastases in the bone", "active"),
        "liver": condition("Metástases <b>of</b> the liver", "relapse", note=[{"text": "rare"}]),
        "healed": condition("a broken bone", "resolved"),
        "xml": document("text/xml; charset=UTF-8"),
        "html": document("text/html"),
        "in room": procedure(room, instantiatesCanonical=["http://e/plan|1.0.2"]),
        "in floor": procedure(floor, instantiatesCanonical=["http://e/plan|2"]),
        "in house": procedure(house),
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Condition?_text=(bone OR liver) and metastases", ["bone", "liver"]),
        ('Condition?_text="broken bone",liver', ["liver", "healed"]),
        ("Condition?_text=rare", []),
        ("Condition?_content=rare liver", ["liver"]),
        ("Condition?_content=relapse&_sort=_id", ["liver"]),
        ("Condition?clinical-status:below=active", ["bone", "liver"]),
        ("Condition?clinical-status:above=relapse", ["bone", "liver"]),
        ("Condition?clinical-status:above=active", ["bone"]),
        (
            "Condition?clinical-status:below=http://terminology.hl7.org/CodeSystem/condition-clinical|inactive",
            ["healed"],
        ),
        ("DocumentReference?contenttype:below=text/xml", ["xml"]),
        ("DocumentReference?contenttype:below=text", ["xml", "html"]),
        ("Procedure?location:below={house}", ["in room", "in floor", "in house"]),
        ("Procedure?location:below=Location/{floor}", ["in room", "in floor"]),
        ("Procedure?location:above={floor}", ["in floor", "in house"]),
        ("Procedure?instantiates-canonical:below=http://e/plan", ["in room", "in floor"]),
        ("Procedure?instantiates-canonical:below=http://e/plan|1", ["in room"]),
        (
            'Condition?_filter=clinical-status sb relapse and patient.family co "one"',
            ["bone", "liver"],
        ),
        ("Condition?_filter=clinical-status ss active or _text pr true", None),
        (
            "Condition?_filter=clinical-status eq RELAPSE or clinical-status eq resolved",
            ["liver", "healed"],
        ),
        (
            "Procedure?_filter=location.name sw flo or location[name eq ROOM].partof pr true",
            ["in floor", "in room"],
        ),
        (
            "Procedure?_filter=not (location.name ew or) and location re Location/{house}",
            ["in house"],
        ),
        ("Procedure?_filter=location.name ge house and location.name lt room", ["in house"]),
    ],
)
def test_texts_hierarchies_and_filters(
    service: Service, words: dict[str, str], query: str, expected: list[str] | None
) -> None:
    path = f"/fhir/R4/{quote(query.format(**words), safe='?=&:,|/')}&patient={words['subject']}"
    if expected is None:
        assert service.call("GET", path).status_code == 400
    else:
        assert sorted(ids(service.call("GET", path))) == sorted(words[name] for name in expected)


def test_filter_and_hierarchy_look_no_further_than_the_scopes(
    service: Service, words: dict[str, str]
) -> None:
    service.verifier.principals["procedures"] = principal("user/Procedure.rs")
    for query in (
        f"Procedure?location:below={words['house']}",
        "Procedure?_filter=location.name%20eq%20room",
    ):
        narrow = service.call("GET", f"/fhir/R4/{query}", by="procedures")
        assert narrow.status_code == 403, narrow.text
        assert ids(service.call("GET", f"/fhir/R4/{query}"))


def test_text_is_compared_with_a_limited_number_of_resources(
    service: Service, words: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/fhir/R4/Condition?_text=bone&patient={words['subject']}"
    monkeypatch.setattr(scanning, "MAX_SCANNED", 3)
    assert len(ids(service.call("GET", path))) == 2
    assert service.call("GET", f"{path}&_count=1").json()["link"][-1]["relation"] == "next"
    for name, limit in (("MAX_SCANNED", 2), ("MAX_SCANNED_BYTES", 500)):
        with monkeypatch.context() as patched:
            patched.setattr(scanning, name, limit)
            refused = service.call("GET", path)
        assert (refused.status_code, refused.json()["issue"][0]["code"]) == (400, "too-costly")


def test_text_is_compared_for_a_limited_time(
    service: Service, words: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/fhir/R4/Condition?_text=bone&patient={words['subject']}"
    for seconds in (0.0, -60.0):
        monkeypatch.setattr(scanning, "SCAN_SECONDS", seconds)
        refused = service.call("GET", path)
        assert (refused.status_code, refused.json()["issue"][0]["code"]) == (400, "too-costly")


def test_types_and_criteria_of_a_request_share_what_may_be_read(
    service: Service, words: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three Conditions, two DocumentReferences and three Procedures."""
    limit = f"patient={words['subject']}"
    system = f"/fhir/R4?_type=Condition,DocumentReference,Procedure&_content=bone&{limit}"
    entry = {"request": {"method": "GET", "url": f"Condition?_content=bone&{limit}"}}
    entries: list[Any] = [entry] * 3
    batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    two = f"/fhir/R4/Condition?_text=bone&_content=healed&{limit}"

    def read(limits: int, path: str) -> httpx.Response:
        with monkeypatch.context() as patched:
            patched.setattr(scanning, "MAX_SCANNED", limits)
            return service.call("GET", path)

    for path, needed in ((system, 8), (f"{system}&_total=accurate", 8), (two, 5)):
        assert read(needed, path).status_code == 200, path
        refused = read(needed - 1, path)
        assert refused.json()["issue"][0]["code"] == "too-costly", path
    monkeypatch.setattr(scanning, "MAX_SCANNED", 3)
    answers = service.call("POST", "/fhir/R4", json=batch).json()["entry"]
    assert [answer["response"]["status"][:3] for answer in answers] == ["200"] * 3
    entry["request"]["url"] += "&_count=0"
    entries.append({"request": {"method": "GET", "url": f"Procedure?_text=bone&{limit}"}})
    answers = service.call("POST", "/fhir/R4", json=batch).json()["entry"]
    assert answers[-1]["response"]["status"].startswith("400")


def test_conditions_of_writes_share_what_may_be_read_and_see_what_was_written(
    service: Service, words: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = f"patient={words['subject']}"

    def batch(*conditions: str) -> list[Any]:
        condition = {
            "resourceType": "Condition",
            "subject": {"reference": f"Patient/{words['subject']}"},
            "code": {"text": "burnt"},
        }
        entries = [
            {
                "resource": condition,
                "request": {"method": "POST", "url": "Condition", "ifNoneExist": text},
            }
            for text in conditions
        ]
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        return [
            answer["response"]["status"][:3]
            for answer in service.call("POST", "/fhir/R4", json=bundle).json()["entry"]
        ]

    once = f"_content=burnt&{limit}"
    assert batch(once, once, once) == ["201", "200", "200"]
    # Four Conditions are there by now.
    monkeypatch.setattr(scanning, "MAX_SCANNED", 11)
    assert batch(once, once, once) == ["200", "200", "400"]
    monkeypatch.setattr(scanning, "MAX_SCANNED", 12)
    assert batch(once, once, once) == ["200", "200", "200"]
