"""Searches that were once silently wrong, and features of R4's search, a row each."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from apps.patient.storage import plans, scanning
from tests.patient.fhir.test_routes import ids, observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service, principal

pytestmark = pytest.mark.integration

BASE = f"{PUBLIC_URL}/fhir/R4"
ACTIVE = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def found(service: Service, query: str) -> list[str]:
    return ids(service.call("GET", f"/fhir/R4/{query}"))


@pytest.fixture(scope="module")
def person(service: Service) -> str:
    """A patient with one of each of what the rows below look for."""
    id = service.create(
        patient(
            identifier=[
                {
                    "type": {
                        "coding": [
                            {
                                "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                                "code": "SS",
                            }
                        ]
                    },
                    "system": "urn:cases:id",
                    "value": "SX\\",
                },
                {"system": "urn:cases:blank", "value": "AX "},
            ],
            name=[{"given": ["Ana", "Maria"], "family": "Zedcase"}, {"family": "Strøm-Łukasz"}],
            telecom=[{"system": "phone", "value": "(03) 5555 0123"}],
            gender="female",
            birthDate="1980-02-03",
        )
    )["id"]
    return str(id)


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("name=ana zedcase", True),
        ("name=zedcase ana", True),
        ("name=ana maria zedcase", True),
        ("name=ana nobody", False),
        ("family=strom", True),
        ("family=lukasz", True),
        ("family:exact=Zedcase", True),
        ("family:exact=zedcase", False),
        ("family:contains=edcas", True),
        ("family:contains=ana", False),
        ("phone=0355550123", True),
        (f"phone={quote('+61 3 5555 0123')}", True),
        ("phone=+61%203%205555%200123", True),
        ("telecom=phone|0355550123", True),
        ("telecom=email|0355550123", False),
        ("gender=http://hl7.org/fhir/administrative-gender|female", True),
        ("gender=http://wrong|female", False),
        ("gender:not=male", True),
        ("gender:not=female", False),
        ("identifier=urn:cases:id|", True),
        (r"identifier=SX\\,other", True),
        ("identifier=urn:cases:blank|AX%20", True),
        ("identifier=urn:cases:blank|AX", False),
        (
            r"identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|SS|SX\\",
            True,
        ),
        (r"identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|DL|SX\\", False),
        ("birthdate=ap1980-02-04", True),
        ("birthdate=sa1980", False),
        ("birthdate=eb1980-02-04", True),
        ("birthdate=ge1980-02-03&birthdate=le1980-02-03", True),
        ("death-date:missing=true", True),
        ("birthdate:missing=true", False),
        ("gender:in=http://hl7.org/fhir/ValueSet/administrative-gender", True),
        ("gender:not-in=http://hl7.org/fhir/ValueSet/administrative-gender", False),
    ],
)
def test_patient_is_found_or_not(service: Service, person: str, query: str, is_found: bool) -> None:
    assert found(service, f"Patient?_id={person}&{query}") == ([person] if is_found else []), query


@pytest.mark.parametrize(
    "reference", ["Patient/{id}", "{base}/Patient/{id}", "{base}/Patient/{id}/_history/1", "{id}"]
)
def test_reference_is_one_however_it_is_written(
    service: Service, person: str, reference: str
) -> None:
    made = service.create(
        observation(person, subject={"reference": f"{BASE}/Patient/{person}/_history/1"})
    )
    # It is kept as it was sent.
    assert made["subject"]["reference"] == f"{BASE}/Patient/{person}/_history/1"
    asked = reference.format(id=person, base=BASE)
    assert made["id"] in found(service, f"Observation?patient={asked}&_count=100")


def test_conditional_create_by_an_absolute_reference_makes_one(
    service: Service, person: str
) -> None:
    body = observation(person, code={"coding": [{"system": "urn:c", "code": "once"}]})
    statuses = [
        service.call(
            "POST",
            "/fhir/R4/Observation",
            json=body,
            headers={"If-None-Exist": f"patient={reference}&code=urn:c|once"},
        ).status_code
        for reference in (f"{BASE}/Patient/{person}", f"Patient/{person}")
    ]
    assert statuses == [201, 200]


def test_every_coding_of_every_repetition_counts_and_so_does_its_system(
    service: Service, person: str
) -> None:
    condition = {
        "resourceType": "Condition",
        "subject": {"reference": f"Patient/{person}"},
        "clinicalStatus": {
            "coding": [
                {"system": "urn:local", "code": "aktiv"},
                {"system": ACTIVE, "code": "active"},
            ]
        },
        "code": {"coding": [{"system": "urn:codes", "code": "casecode", "display": "A Rare Case"}]},
    }
    id = service.create(condition)["id"]
    for query, is_found in (
        ("clinical-status=active", True),
        (f"clinical-status={ACTIVE}|active", True),
        ("clinical-status=http://wrong|active", False),
        ("code=urn:codes|", True),
        ("code=|casecode", False),
        ("code:text=rare", True),
        ("code:text=common", False),
    ):
        answer = found(service, f"Condition?patient={person}&code=casecode&{query}")
        assert answer == ([id] if is_found else []), query


def test_time_is_compared_by_the_clock_or_as_an_instant(service: Service, person: str) -> None:
    encounter = {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": f"Patient/{person}"},
        "period": {"start": "2024-03-10T20:00:00-05:00", "end": "2024-03-10T21:00:00-05:00"},
    }
    id = service.create(encounter)["id"]
    for query, is_found in (
        ("date=2024-03-10", True),
        ("date=2024-03-11", False),
        ("date=ge2024-03-11T01:00:00Z", True),
        ("date=lt2024-03-11T01:00:00Z", False),
        ("date=sa2024-03-10", False),
    ):
        answer = found(service, f"Encounter?patient={person}&{query}")
        assert answer == ([id] if is_found else []), query


def test_own_last_update_is_equal_and_not_greater(service: Service) -> None:
    made = service.create(patient())
    moment = made["meta"]["lastUpdated"]
    for prefix, is_found in (
        ("eq", True),
        ("gt", False),
        ("ge", True),
        ("lt", False),
        ("ne", False),
    ):
        query = f"Patient?_id={made['id']}&_lastUpdated={prefix}{moment}"
        assert found(service, query) == ([made["id"]] if is_found else []), prefix


def test_allergy_is_found_by_the_paths_of_r4(service: Service, person: str) -> None:
    allergy = {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
                    "code": "active",
                }
            ]
        },
        "patient": {"reference": f"Patient/{person}"},
        "recordedDate": "2021-05-01",
        "onsetDateTime": "1999-01-01",
        "reaction": [
            {
                "substance": {"coding": [{"system": "urn:s", "code": "substance-1"}]},
                "manifestation": [{"text": "rash"}],
            }
        ],
    }
    id = service.create(allergy)["id"]
    query = f"AllergyIntolerance?patient={person}"
    assert found(service, f"{query}&date=2021-05") == [id]
    assert found(service, f"{query}&date=1999") == []
    assert found(service, f"{query}&code=substance-1") == [id]


@pytest.fixture(scope="module")
def clinic(service: Service) -> dict[str, str]:
    """Two patients with observations, an organization that runs the encounter of the first."""
    organization = service.create({"resourceType": "Organization", "name": "Featurehospital"})
    parent = {"reference": f"Organization/{organization['id']}"}
    ward = service.create({"resourceType": "Organization", "name": "Ward", "partOf": parent})
    first = service.create(patient(name=[{"family": "Chainedone"}], gender="male"))["id"]
    second = service.create(patient(name=[{"family": "Chainedtwo"}]))["id"]
    encounter = service.create(
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"system": "urn:x", "code": "AMB"},
            "subject": {"reference": f"Patient/{first}"},
            "serviceProvider": {"reference": f"Organization/{ward['id']}"},
        }
    )["id"]

    def reading(subject: str, value: float, day: str, **more: Any) -> str:
        made = service.create(
            observation(
                subject,
                code={"coding": [{"system": "urn:feature", "code": "glucose"}]},
                valueQuantity={
                    "value": value,
                    "unit": "mg",
                    "system": "http://unitsofmeasure.org",
                    "code": "mg",
                },
                effectiveDateTime=day,
                **more,
            )
        )
        return str(made["id"])

    return {
        "organization": organization["id"],
        "ward": ward["id"],
        "first": first,
        "second": second,
        "encounter": encounter,
        "low": reading(first, 5.4, "2020-01-03", encounter={"reference": f"Encounter/{encounter}"}),
        "high": reading(first, 9.1, "2020-01-01"),
        "other": reading(second, 7.0, "2020-01-02"),
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Observation?subject:Patient.family=chainedone&code=urn:feature|glucose", ["low", "high"]),
        ("Observation?patient.family=chainedtwo", ["other"]),
        ("Observation?encounter.service-provider.partof.name=featurehospital", ["low"]),
        ("Observation?encounter.service-provider.name=nowhere", []),
        ("Patient?_has:Observation:patient:value-quantity=gt9&family=chained", ["first"]),
        ("Patient?_has:Observation:subject:code=glucose&family=chainedtwo", ["second"]),
        ("Organization?_has:Encounter:service-provider:subject={first}", ["ward"]),
        ("Observation?code=urn:feature|glucose&value-quantity=5.4", ["low"]),
        ("Observation?code=urn:feature|glucose&value-quantity=lt6", ["low"]),
        ("Observation?code=urn:feature|glucose&value-quantity=ap9", ["high"]),
        ("Observation?value-quantity=5.4|http://unitsofmeasure.org|mg", ["low"]),
        ("Observation?value-quantity=5.4||mg", ["low"]),
        ("Observation?value-quantity=5.4||g", []),
        ("Observation?code-value-quantity=urn:feature|glucose$ge7", ["high", "other"]),
        ("Observation?code-value-quantity=other$ge7", []),
        ("Observation?combo-code=urn:feature|glucose&combo-value-quantity=gt8", ["high"]),
        ("Observation?combo-code-value-quantity=glucose$lt6", ["low"]),
        ("Observation?code=glucose&combo-code:not=glucose", []),
        ("Observation?code=glucose&combo-value-quantity:missing=true", []),
        ("Observation?code=glucose&_sort=-combo-value-quantity", ["high", "other", "low"]),
        ("Observation?code=urn:feature|glucose&_sort=date", ["high", "other", "low"]),
        ("Observation?code=urn:feature|glucose&_sort=-date", ["low", "other", "high"]),
        ("Observation?code=urn:feature|glucose&_sort=-value-quantity", ["high", "other", "low"]),
        ("Observation?code=urn:feature|glucose&_sort=patient,-date", ["low", "high", "other"]),
        ("Observation?date=2020-01-01,2020-01-02", ["high", "other"]),
        ("Observation?date=ge2020-01-02&date=lt2020-01-03&code=glucose", ["other"]),
        ("Observation?code=glucose&encounter:missing=true", ["high", "other"]),
        ("Organization?name:contains=eaturehosp", ["organization"]),
    ],
)
def test_features_of_search(
    service: Service, clinic: dict[str, str], query: str, expected: list[str]
) -> None:
    answer = found(service, query.format(**clinic))
    assert sorted(answer) == sorted(clinic[name] for name in expected), query
    if "_sort" in query:
        assert answer == [clinic[name] for name in expected]


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


@pytest.fixture(scope="module")
def sorted_people(service: Service) -> list[str]:
    """Patients with several names, by the least of them: Aa and Zz, Bb, Ee whose second
    word is Aaa, none.
    """
    names = [
        [{"family": "Sortby", "given": ["Zz", "Aa"]}],
        [{"family": "Sortby", "given": ["Bb"]}],
        [{"family": "Sortby", "given": ["Ee Aaa"]}],
        [{"family": "Sortby"}],
    ]
    return [str(service.create(patient(name=name))["id"]) for name in names]


@pytest.mark.parametrize("probed", [2000, -1], ids=["few", "many"])
@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("given", [0, 1, 2, 3]),
        ("-given", [0, 2, 1, 3]),
        ("given,_id", [0, 1, 2, 3]),
        ("-given,_id", [0, 2, 1, 3]),
        ("gender,-given", [0, 2, 1, 3]),
        ("-family,given", [0, 1, 2, 3]),
    ],
)
def test_order_is_of_the_value_that_comes_first(
    service: Service,
    sorted_people: list[str],
    sort: str,
    order: list[int],
    probed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plans, "PROBED_ROWS", probed)
    answer = found(service, f"Patient?family=sortby&_sort={sort}")
    assert [sorted_people.index(id) for id in answer] == order


@pytest.mark.parametrize("probed", [2000, -1], ids=["few", "many"])
def test_order_by_quantities_has_ranges_too(
    service: Service, person: str, probed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "PROBED_ROWS", probed)
    code = {"coding": [{"system": "urn:range", "code": f"range{probed}"}]}
    sampled = {
        "origin": {"value": 0},
        "period": 1,
        "dimensions": 1,
        "lowerLimit": 2,
        "upperLimit": 9,
    }
    values: list[dict[str, Any]] = [
        {"valueQuantity": {"value": 5}},
        {"valueSampledData": sampled},
        {"valueString": "none"},
        {"valueQuantity": {"value": 1}},
    ]
    made = []
    for value in values:
        body = {key: item for key, item in observation(person).items() if key[:5] != "value"}
        made.append(service.create({**body, "code": code, **value})["id"])
    for sort, order in (("value-quantity", [3, 1, 0, 2]), ("-value-quantity", [0, 1, 3, 2])):
        answer = found(service, f"Observation?code=range{probed}&_sort={sort}")
        assert [made.index(id) for id in answer] == order


def test_pages_of_any_order_go_on_behind_the_last_whatever_comes_before(
    service: Service, person: str
) -> None:
    """What is created or changed between two pages moves no other resource to another page."""
    code = {"coding": [{"system": "urn:page", "code": "page"}]}
    statuses = ("amended", "final", "final", "preliminary")
    made = [service.create(observation(person, code=code, status=each))["id"] for each in statuses]
    path = "/fhir/R4/Observation?code=urn:page|page&_sort=status&_count=2"
    first = service.call("GET", path)
    assert ids(first) == made[:2]
    service.create(observation(person, code=code, status="amended"))
    assert service.call("DELETE", f"/fhir/R4/Observation/{made[1]}").status_code == 204
    url = next(item["url"] for item in first.json()["link"] if item["relation"] == "next")
    assert ids(service.call("GET", url.removeprefix(PUBLIC_URL))) == made[2:]


def modes(service: Service, query: str) -> list[tuple[str, str]]:
    answer = service.call("GET", f"/fhir/R4/{query}")
    assert answer.status_code == 200, answer.text
    return [
        (entry["search"]["mode"], entry["resource"].get("id", ""))
        for entry in answer.json().get("entry", ())
    ]


def test_includes_bring_what_is_referred_to_each_once(
    service: Service, clinic: dict[str, str]
) -> None:
    low, first = clinic["low"], clinic["first"]
    query = f"Observation?_id={low}&_include=Observation:subject&_include=Observation:encounter"
    given = modes(service, f"{query}&_include:iterate=Encounter:service-provider")
    assert given[0] == ("match", low)
    assert sorted(given[1:]) == sorted(
        ("include", id) for id in (first, clinic["encounter"], clinic["ward"])
    )
    back = modes(service, f"Patient?_id={first}&_revinclude=Observation:patient")
    assert sorted(back[1:]) == sorted(("include", clinic[name]) for name in ("low", "high"))


def test_compartment_holds_the_patients_own(service: Service, clinic: dict[str, str]) -> None:
    first = clinic["first"]
    assert found(service, f"Patient/{first}/Observation?date=2020-01-01") == [clinic["high"]]
    everything = found(service, f"Patient/{first}/*")
    assert set(everything) == {clinic[name] for name in ("low", "high", "encounter")}
    assert service.call("GET", f"/fhir/R4/Patient/{first}/Practitioner").status_code == 404


def test_compartment_is_searched_by_post_too(service: Service, clinic: dict[str, str]) -> None:
    base = f"Patient/{clinic['first']}"
    for path, same in ((f"{base}/Observation", f"{base}/Observation"), (base, f"{base}/*")):
        form = {"_count": "1", "_sort": "-_lastUpdated"}
        posted = service.call("POST", f"/fhir/R4/{path}/_search", data=form)
        got = service.call("GET", f"/fhir/R4/{same}?_count=1&_sort=-_lastUpdated")
        assert ids(posted) == ids(got)
        for answer in (posted, got):
            links = {link["relation"]: link["url"] for link in answer.json()["link"]}
            assert links["self"].startswith(f"{BASE}/{same}?")
            following = service.call("GET", links["next"].removeprefix(PUBLIC_URL))
            assert len(ids(following)) == 1
            assert ids(following) != ids(posted)
    assert service.call("GET", f"/fhir/R4/{base}/_search").status_code == 405
    refused = service.call("POST", f"/fhir/R4/{base}/Observation/_search", data={"shoe": "44"})
    assert refused.status_code == 400


@pytest.mark.parametrize("probed", [2000, -1], ids=["few", "many"])
@pytest.mark.parametrize("sort", ["_lastUpdated", "-_lastUpdated"])
def test_several_types_are_sorted_together_by_their_last_update(
    service: Service, sort: str, probed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "PROBED_ROWS", probed)
    tag = {"tag": [{"system": "urn:mixed", "code": f"{sort}{probed}"}]}
    made = []
    for kind in ("Organization", "Location", "Organization", "Location", "Organization"):
        made.append(service.create({"resourceType": kind, "name": "x", "meta": tag})["id"])
    url = f"/fhir/R4?_type=Organization,Location&_tag={sort}{probed}&_sort={sort}&_count=2"
    seen: list[str] = []
    while url:
        answer = service.call("GET", url)
        seen += ids(answer)
        links = {link["relation"]: link["url"] for link in answer.json()["link"]}
        url = links.get("next", "").removeprefix(PUBLIC_URL)
    assert seen == (made if sort == "_lastUpdated" else made[::-1])
    refused = service.call("GET", "/fhir/R4?_type=Organization,Location&_sort=name")
    assert refused.status_code == 400


def test_system_search_takes_types(service: Service, clinic: dict[str, str]) -> None:
    answer = found(service, f"?_type=Patient,Organization&_id={clinic['ward']},{clinic['first']}")
    assert set(answer) == {clinic["ward"], clinic["first"]}
    assert service.call("GET", "/fhir/R4?_type=Nonsense").status_code == 400


def test_parts_of_resources_are_marked(service: Service, clinic: dict[str, str]) -> None:
    query = f"/fhir/R4/Patient?_id={clinic['first']}"
    part = service.call("GET", f"{query}&_elements=gender").json()["entry"][0]["resource"]
    assert set(part) == {"resourceType", "id", "meta", "gender"}
    assert part["meta"]["tag"][-1]["code"] == "SUBSETTED"
    summary = service.call("GET", f"{query}&_summary=true").json()["entry"][0]["resource"]
    assert "name" in summary
    assert service.call("GET", f"{query}&_count=0").json()["total"] == 1


@pytest.mark.parametrize(
    "query",
    [
        "Patient?shoe=44",
        "Patient?name:soundex=x",
        "Observation?value-quantity=much",
        "Observation?subject:Banana=1",
        "Observation?subject.subject.subject.subject.subject.name=x",
        "Observation?encounter.part-of.part-of.part-of.part-of.part-of.status=x",
        "Patient?_has:Observation:code=x",
        "Patient?_has:Observation:code:status=x",
        "Patient?_include=Patient:name",
        "Patient?_sort=shoe",
        "Patient?_total=many",
        "Patient?_cursor=AAAA",
        "Patient?name=",
        "Location?near=here",
        "Patient?_filter=name like x",
        "Patient?_filter=shoe eq 44",
        "Patient?_filter=name.family eq x",
        "Patient?_filter=gender co male",
        "Patient?_filter=general-practitioner eq Practitioner/1",
        "Patient?_filter=birthdate ge soon",
        "Patient?_filter=name pr maybe",
        "Patient?_filter=" + " and ".join(["name eq x"] * 31),
        "Observation?_filter=encounter.part-of.part-of.part-of.part-of.part-of.status eq x",
        "Patient?_text=(bone",
        "Patient?_content=" + "a " * 21,
        "Binary?_text=bone",
        "Condition?code:below=http://loinc.org|1",
        "Condition?code:below=1",
        "Patient?identifier:below=urn:x|1",
        "DocumentReference?contenttype:below=text/xml;charset=utf-8",
        "DocumentReference?contenttype:above=text/xml",
        "Observation?subject:below=1",
        "Patient?_query=newest",
        "Patient?_list=1",
        "Patient?_contained=true",
        "Patient?" + "&".join(f"name=a{number}" for number in range(31)),
        "Patient?name=" + ",".join(str(number) for number in range(101)),
        "Patient?name=" + "x" * 1001,
    ],
)
def test_search_that_makes_no_sense_is_refused_with_its_parameter(
    service: Service, query: str
) -> None:
    answer = service.call("GET", f"/fhir/R4/{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["issue"][0]["expression"]


def test_lenient_handling_skips_what_is_not_known(service: Service, person: str) -> None:
    path = f"/fhir/R4/Patient?_id={person}&shoe=44"
    answer = service.call("GET", path, headers={"Prefer": "handling=lenient"})
    assert ids(answer) == [person]
    link = next(link["url"] for link in answer.json()["link"] if link["relation"] == "self")
    assert "shoe" not in link


def test_named_query_and_filter_are_not_skipped(service: Service) -> None:
    for query in ("_query=newest", "_filter=shoe%20eq%2044"):
        answer = service.call(
            "GET", f"/fhir/R4/Patient?{query}", headers={"Prefer": "handling=lenient"}
        )
        assert answer.status_code == 400


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


def test_cursor_of_another_query_is_refused(service: Service, clinic: dict[str, str]) -> None:
    page = service.call("GET", "/fhir/R4/Observation?code=glucose&_count=1").json()
    url = next(link["url"] for link in page["link"] if link["relation"] == "next")
    cursor = url.partition("_cursor=")[2]
    assert service.call("GET", url.removeprefix(PUBLIC_URL)).status_code == 200
    for query in (
        f"code=other&_count=1&_cursor={cursor}",
        f"code=glucose&_count=1&_cursor={cursor}A",
    ):
        assert service.call("GET", f"/fhir/R4/Observation?{query}").status_code == 400


def test_deleted_and_changed_resources_are_found_as_they_are(service: Service, person: str) -> None:
    made = service.create(observation(person, status="preliminary"))
    query = f"Observation?_id={made['id']}"
    assert found(service, f"{query}&status=preliminary") == [made["id"]]
    service.call("PUT", f"/fhir/R4/Observation/{made['id']}", json={**made, "status": "final"})
    assert found(service, f"{query}&status=preliminary") == []
    assert found(service, f"{query}&status=final") == [made["id"]]
    service.call("DELETE", f"/fhir/R4/Observation/{made['id']}")
    assert found(service, f"{query}&status=final") == []
    assert found(service, query) == []


def test_finding_needs_the_scope_to_search_everywhere(service: Service, person: str) -> None:
    create_only = principal("user/Observation.c", "user/Patient.c")
    service.verifier.principals["create-only"] = create_only
    body = observation(person)
    made = service.call("POST", "/fhir/R4/Observation", json=body, by="create-only")
    assert (made.status_code, made.content) == (201, b"")
    for headers in ({"If-None-Exist": f"patient={person}"},):
        refused = service.call(
            "POST", "/fhir/R4/Observation", json=body, headers=headers, by="create-only"
        )
        assert refused.status_code == 403
    service.verifier.principals["search-only"] = principal("user/Observation.s")
    counted = service.call("GET", "/fhir/R4/Observation?_summary=count", by="search-only")
    assert counted.status_code == 200
    assert service.call("GET", "/fhir/R4/Observation", by="search-only").status_code == 403
    # A chain looks into patients.
    reader = principal("user/Observation.rs")
    service.verifier.principals["observations"] = reader
    chained = service.call("GET", "/fhir/R4/Observation?patient.name=x", by="observations")
    assert chained.status_code == 403


def test_scope_with_a_category_reaches_that_category_alone(service: Service, person: str) -> None:
    def of(category: str) -> str:
        coding = {"system": CATEGORY, "code": category}
        return str(service.create(observation(person, category=[{"coding": [coding]}]))["id"])

    laboratory, vital = of("laboratory"), of("vital-signs")
    scope = f"user/Observation.rs?category={CATEGORY}|laboratory"
    service.verifier.principals["laboratory"] = principal(scope)
    query = f"/fhir/R4/Observation?_id={laboratory},{vital}"
    assert ids(service.call("GET", query, by="laboratory")) == [laboratory]
    assert service.call("GET", f"/fhir/R4/Observation/{laboratory}", by="laboratory").is_success
    assert service.call("GET", f"/fhir/R4/Observation/{vital}", by="laboratory").status_code == 404


def test_patients_login_reads_what_its_record_refers_to(service: Service) -> None:
    own = service.create(patient())["id"]
    mine = service.create({"resourceType": "Practitioner", "name": [{"family": "Mine"}]})["id"]
    other = service.create({"resourceType": "Practitioner", "name": [{"family": "Other"}]})["id"]
    service.create(observation(own, performer=[{"reference": f"Practitioner/{mine}"}]))
    service.verifier.principals["own-reader"] = principal("patient/*.rs", patient_id=own)
    assert service.call("GET", f"/fhir/R4/Practitioner/{mine}", by="own-reader").is_success
    refused = service.call("GET", f"/fhir/R4/Practitioner/{other}", by="own-reader")
    assert refused.status_code == 404
    assert ids(service.call("GET", "/fhir/R4/Practitioner", by="own-reader")) == [mine]


def test_value_that_is_gone_leads_nowhere(service: Service, person: str) -> None:
    def coded(code: str) -> dict[str, Any]:
        return {"coding": [{"system": "urn:leads", "code": code}]}

    made = service.create(observation(person, code=coded("before")))
    service.call("PUT", f"/fhir/R4/Observation/{made['id']}", json={**made, "code": coded("after")})
    # The code alone leads: no other criterion would set it right.
    assert found(service, "Observation?code=before&_summary=count") == []
    for code, total in (("before", 0), ("after", 1)):
        query = f"/fhir/R4/Observation?code=urn:leads|{code}&_summary=count"
        bare = f"/fhir/R4/Observation?code={code}&_summary=count"
        assert service.call("GET", query).json()["total"] == total
        assert service.call("GET", bare).json()["total"] == total


def test_resource_with_several_values_comes_once(service: Service, person: str) -> None:
    def component(value: float) -> dict[str, Any]:
        quantity = {"value": value, "code": "once", "system": "urn:once"}
        return {"code": {"text": "part"}, "valueQuantity": quantity}

    id = service.create(observation(person, component=[component(51), component(52)]))["id"]
    namesake = service.create(
        patient(name=[{"given": ["Oncetwice", "Oncethrice"], "family": "Onceagain"}])
    )["id"]
    for query, expected in (
        ("Observation?component-value-quantity=gt50|urn:once|once", id),
        ("Observation?component-value-quantity=gt50|urn:once|once&_sort=date", id),
        ("Patient?name=once", namesake),
        ("Patient?name:contains=nce", namesake),
    ):
        answer = found(service, query)
        assert answer.count(expected) == 1, query
        total = service.call("GET", f"/fhir/R4/{query}&_summary=count").json()["total"]
        assert total == len(answer), query
