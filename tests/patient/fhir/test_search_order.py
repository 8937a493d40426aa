"""The order of what a search finds, and its pages."""

from typing import Any

import pytest

from apps.patient.storage import plans
from tests.patient.fhir.resources import found, ids, observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service

pytestmark = pytest.mark.integration


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
