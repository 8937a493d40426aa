"""Chains look into contained resources; searches give none by itself
(https://hl7.org/fhir/R4/search.html#contained).
"""

from typing import Any

import pytest

from tests.patient.fhir.resources import patient
from tests.patient.patient_service import Service
from tests.patient.search.index.test_contained import entangled

pytestmark = pytest.mark.integration

SNOMED = "http://snomed.info/sct"


def coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": SNOMED, "code": code, "display": f"Drug {code}"}]}


def medication(id: str, code: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Medication", "id": id, "code": coded(code), **more}


def practitioner(id: str, family: str, *given: str, **more: Any) -> dict[str, Any]:
    name = {"name": [{"family": family, "given": list(given)}]} if family else {}
    return {"resourceType": "Practitioner", "id": id, **name, **more}


@pytest.fixture(scope="module")
def world(service: Service) -> dict[str, str]:
    """Resources of one patient, by a name each."""
    person = service.create(patient())["id"]
    subject = {"reference": f"Patient/{person}"}
    maker = service.create({"resourceType": "Organization", "name": "Outside Works"})["id"]
    kept = service.create({"resourceType": "Medication", "code": coded("111")})

    def request(*contained: dict[str, Any], reference: str = "#m") -> str:
        made = {
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            "subject": subject,
            "medicationReference": {"reference": reference},
        }
        return str(
            service.create({**made, **({"contained": [*contained]} if contained else {})})["id"]
        )

    def observation(*contained: dict[str, Any]) -> str:
        made = {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "subject": subject,
            "performer": [{"reference": f"#{item['id']}"} for item in contained],
            "contained": [*contained],
        }
        return str(service.create(made)["id"])

    def visit(*places: tuple[int, int]) -> str:
        locations = [
            {
                "resourceType": "Location",
                "id": f"l{number}",
                "position": {"latitude": latitude, "longitude": longitude},
            }
            for number, (latitude, longitude) in enumerate(places)
        ]
        made = {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"code": "AMB"},
            "subject": subject,
            "location": [{"location": {"reference": f"#{item['id']}"}} for item in locations],
            "contained": locations,
        }
        return str(service.create(made)["id"])

    inside = {"resourceType": "Organization", "id": "o", "name": "Inside Works"}
    return {
        "person": person,
        "kept": request(reference=f"Medication/{kept['id']}"),
        "same": request(medication("m", "111")),
        "other": request(
            medication("m", "222", status="active", manufacturer={"reference": "#o"}), inside
        ),
        "made": request(
            medication("m", "333", manufacturer={"reference": f"Organization/{maker}"})
        ),
        "one": observation(practitioner("a", "Grey", "Ana", gender="female")),
        "two": observation(
            practitioner("a", "Grey", "Bea", gender="male"),
            practitioner("b", "Black", "Ana", gender="female"),
        ),
        "near": visit((10, 10), (20, 20)),
        "mixed": visit((10, 20), (20, 10)),
        "nameless": observation(practitioner("a", "", gender="male")),
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("MedicationRequest?medication.code=111", ["kept", "same"]),
        (f"MedicationRequest?medication:Medication.code={SNOMED}|222", ["other"]),
        ("MedicationRequest?medication.code=urn:x|222", []),
        (f"MedicationRequest?medication.code={SNOMED}|", ["kept", "same", "other", "made"]),
        ("MedicationRequest?medication.code:text=drug 2", ["other"]),
        ("MedicationRequest?medication.code:not=111", ["other", "made"]),
        ("MedicationRequest?medication.status:missing=true", ["kept", "same", "made"]),
        ("MedicationRequest?medication.status:missing=false", ["other"]),
        ("MedicationRequest?medication.manufacturer.name=inside", ["other"]),
        ("MedicationRequest?medication.manufacturer.name=outside", ["made"]),
        ("MedicationRequest?medication.code=111&medication.code=222", []),
        ("MedicationRequest?medication._content=inside", []),
        ("MedicationRequest?medication._content=333", ["made"]),
        ("MedicationRequest?medication._id=m", []),
        ("MedicationRequest?medication:missing=true", []),
        (
            "MedicationRequest?_filter=medication.code eq 222 or medication.code eq 333",
            ["other", "made"],
        ),
        ("Observation?performer.family=grey", ["one", "two"]),
        ("Observation?performer:Practitioner.name=ana grey", ["one"]),
        ("Observation?performer.name:exact=Bea", ["two"]),
        ("Observation?performer.gender:not=male", ["one", "two"]),
        ("Observation?performer.gender:not=female", ["two", "nameless"]),
        ("Observation?performer.name:missing=true", ["nameless"]),
        ("Observation?_filter=performer[family eq grey].gender eq female", ["one"]),
        ("Observation?_filter=performer[family eq black].gender eq female", ["two"]),
        ("Observation?_filter=performer.family ew ack", ["two"]),
        ("Observation?performer:missing=true", []),
        ("Encounter?location.near=10|10|1|km", ["near"]),
        ("Encounter?location.near=20|10|1|km", ["mixed"]),
    ],
)
def test_chain_looks_into_contained_resources(
    service: Service, world: dict[str, str], query: str, expected: list[str]
) -> None:
    answer = service.call("GET", f"/fhir/R4/{query}&patient={world['person']}")
    assert answer.status_code == 200, answer.text
    found = sorted(entry["resource"]["id"] for entry in answer.json().get("entry", ()))
    assert found == sorted(world[name] for name in expected)


def test_pages_of_both_come_in_the_order_of_creation(
    service: Service, world: dict[str, str]
) -> None:
    path = f"/fhir/R4/MedicationRequest?medication.code=111,333&patient={world['person']}&_count=1"
    found = []
    while path:
        page = service.call("GET", path).json()
        found += [entry["resource"]["id"] for entry in page["entry"]]
        urls = [link["url"] for link in page["link"] if link["relation"] == "next"]
        path = "/fhir/R4/" + urls[0].partition("/fhir/R4/")[2] if urls else ""
    assert found == [world["kept"], world["same"], world["made"]]


def test_reverse_chain_ends_in_a_contained_resource(
    service: Service, world: dict[str, str]
) -> None:
    query = "_has:MedicationRequest:patient:medication.code=222"
    answer = service.call("GET", f"/fhir/R4/Patient?{query}&_id={world['person']}").json()
    assert [entry["resource"]["id"] for entry in answer["entry"]] == [world["person"]]
    answer = service.call("GET", f"/fhir/R4/Patient?{query[:-3]}444&_id={world['person']}")
    assert "entry" not in answer.json()


def test_contained_resource_is_no_result_of_its_own(
    service: Service, world: dict[str, str]
) -> None:
    assert "entry" not in service.call("GET", "/fhir/R4/Medication?code=222").json()
    assert "entry" not in service.call("GET", "/fhir/R4/Practitioner?family=black").json()


@pytest.mark.parametrize(
    "query", ["_contained=true", "_contained=both", "_containedType=container"]
)
@pytest.mark.parametrize("handling", ["lenient", "strict"])
def test_contained_resources_as_results_are_refused(
    service: Service, query: str, handling: str
) -> None:
    path = f"/fhir/R4/Medication?{query}"
    answer = service.call("GET", path, headers={"Prefer": f"handling={handling}"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["issue"][0]["expression"] == [f"http.{query.partition('=')[0]}"]


def test_contained_false_is_what_is_done_anyway(service: Service) -> None:
    answer = service.call("GET", "/fhir/R4/Medication?_contained=false")
    assert answer.status_code == 200
    assert "_contained=false" in answer.json()["link"][0]["url"]


def test_changed_contained_resource_is_found_as_it_is_now(
    service: Service, world: dict[str, str]
) -> None:
    path = f"/fhir/R4/MedicationRequest/{world['other']}"
    resource = service.call("GET", path).json()
    changed = {**resource, "contained": [medication("m", "555")]}
    assert service.call("PUT", path, json=changed).status_code == 200
    for code, count in (("222", 0), ("555", 1)):
        query = f"/fhir/R4/MedicationRequest?medication.code={code}&patient={world['person']}"
        assert len(service.call("GET", query).json().get("entry", ())) == count
    assert service.call("PUT", path, json=resource).status_code == 200


@pytest.mark.parametrize("level", ["root", "contained"])
def test_reference_to_what_is_not_there_is_refused_at_either_level(
    service: Service, world: dict[str, str], level: str
) -> None:
    path = f"/fhir/R4/MedicationRequest/{world['made']}"
    resource = service.call("GET", path).json()
    if level == "contained":
        resource["contained"][0]["manufacturer"] = {"reference": "Organization/none"}
    else:
        resource["requester"] = {"reference": "Organization/none"}
    answer = service.call("PUT", path, json=resource)
    assert answer.status_code == 422, answer.text
    issue = answer.json()["issue"][0]
    assert issue["code"] == "not-found"
    element = "contained[0].manufacturer" if level == "contained" else "requester"
    assert issue["expression"] == [f"MedicationRequest.{element}.reference"]


def test_contained_resources_of_too_many_paths_are_refused(
    service: Service, world: dict[str, str]
) -> None:
    resource = entangled(20, 100) | {"subject": {"reference": f"Patient/{world['person']}"}}
    del resource["id"], resource["performer"]
    entry = {"resource": resource, "request": {"method": "POST", "url": "Observation"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    for answer, at in (
        (service.call("POST", "/fhir/R4/Observation", json=resource), "Observation"),
        (service.call("POST", "/fhir/R4", json=bundle), "Bundle.entry[0].resource"),
    ):
        assert answer.status_code == 422, answer.text
        issue = answer.json()["issue"][0]
        assert (issue["code"], issue["expression"]) == ("too-costly", [f"{at}.contained"])


def test_cursor_is_refused_where_the_search_goes_another_way(service: Service) -> None:
    """An alternative of the chain that comes or goes moves the steps of the search."""
    person = service.create(patient(name=[{"family": "Wayward"}]))["id"]
    other = service.create({"resourceType": "Practitioner", "name": [{"family": "Wayward"}]})["id"]

    def procedure(reference: str, **more: Any) -> str:
        made = {
            "resourceType": "Procedure",
            "status": "completed",
            "subject": {"reference": f"Patient/{person}"},
            "performer": [{"actor": {"reference": reference}}],
        }
        return str(service.create({**made, **more})["id"])

    made = [procedure(f"Practitioner/{other}") for _ in range(3)]

    def following(page: Any) -> str:
        url = next(link["url"] for link in page["link"] if link["relation"] == "next")
        return "/fhir/R4/" + str(url).partition("/fhir/R4/")[2]

    path = "/fhir/R4/Procedure?performer:Practitioner.family=wayward&_count=1"
    before = following(service.call("GET", path).json())
    second = service.call("GET", before)
    assert [entry["resource"]["id"] for entry in second.json()["entry"]] == made[1:2]
    inside = procedure("#p", contained=[practitioner("p", "Wayward", "Ana")])
    refused = service.call("GET", before)
    assert refused.status_code == 400, refused.text
    assert "begin with its first page" in refused.json()["issue"][0]["diagnostics"]
    between = following(service.call("GET", path).json())
    assert service.call("GET", between).status_code == 200
    assert service.call("DELETE", f"/fhir/R4/Procedure/{inside}").status_code == 204
    assert service.call("GET", between).status_code == 400
