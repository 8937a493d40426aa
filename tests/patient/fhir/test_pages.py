"""Pages: each is as long as was asked for, and the last has no next."""

from typing import Any

import pytest

from apps.patient.storage import includes, resolving, sorting
from tests.patient.fhir.resources import ids, observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service, principal

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def record(service: Service) -> str:
    """A patient with four Observations, changed to a fifth version."""
    made = service.create(patient())
    for _ in range(4):
        service.create(observation(made["id"]))
        service.call("PUT", f"/fhir/R4/Patient/{made['id']}", json=made)
    return str(made["id"])


def pages(service: Service, url: str) -> list[int]:
    """Returns how many entries each page has."""
    lengths = []
    while url:
        answer = service.call("GET", url)
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        lengths.append(len(bundle.get("entry", ())))
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        url = links.get("next", "").removeprefix(PUBLIC_URL)
    return lengths


@pytest.mark.parametrize(
    ("path", "total"),
    [
        ("Observation?patient={id}", 4),
        ("Observation?patient={id}&_sort=date", 4),
        ("Observation?patient={id}&_sort=-_lastUpdated", 4),
        ("Observation?patient={id}&_sort=status,-date", 4),
        ("Observation?patient={id}&_sort=code", 4),
        ("?_type=Observation,Condition&patient={id}", 4),
        ("?_type=Observation,Condition&patient={id}&_sort=_lastUpdated", 4),
        ("Patient/{id}/Observation?status=final", 4),
        ("Patient/{id}/_history?_since=2020", 5),
        ("AuditEvent?patient={id}&action=C,U", 9),
    ],
)
def test_last_page_has_no_next(service: Service, record: str, path: str, total: int) -> None:
    url = f"/fhir/R4/{path.format(id=record)}"
    for count in (1, 2, total - 1, total, total + 1):
        expected = [count] * (total // count) + ([total % count] if total % count else [])
        assert pages(service, f"{url}&_count={count}") == expected, count


def test_list_of_patients_has_a_next_only_before_its_end(service: Service, record: str) -> None:
    service.verifier.principals["owner"] = principal("patient/*.rs", patient_id=record)
    own = service.call("GET", "/api/patients?limit=1", by="owner")
    assert [item["id"] for item in own.json()] == [record]
    assert "link" not in own.headers
    url, seen = "/api/patients?limit=100", list[str]()
    while url:
        answer = service.call("GET", url)
        seen += [item["id"] for item in answer.json()]
        url = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
    (row,) = service.sql(
        "SELECT count(*) FROM resource WHERE type = 'Patient' AND method <> 'DELETE'"
    )
    assert len(seen) == len(set(seen)) == row["count"]


def test_as_many_as_a_page_takes_are_included(
    service: Service, record: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = f"/fhir/R4/Patient?_id={record}&_revinclude=Observation:subject"
    for most, expected in ((5, 4), (4, 4), (3, 3), (1, 1)):
        monkeypatch.setattr(includes, "MAX_INCLUDED", most)
        answer = service.call("GET", query)
        modes = [entry["search"]["mode"] for entry in answer.json()["entry"]]
        assert modes.count("include") == expected
        assert modes.count("outcome") == (expected < 4)


def organizations(service: Service, count: int) -> list[str]:
    """Returns the ids of so many, each a part of the one before it."""
    made: list[str] = []
    for _ in range(count):
        body: dict[str, Any] = {"resourceType": "Organization", "name": "Part"}
        if made:
            body["partOf"] = {"reference": f"Organization/{made[-1]}"}
        made.append(str(service.create(body)["id"]))
    return made


def test_includes_are_followed_for_five_rounds(service: Service) -> None:
    made = organizations(service, 7)
    for start, expected, is_cut in ((made[1], 5, True), (made[2], 4, False)):
        answer = service.call(
            "GET", f"/fhir/R4/Organization?_id={start}&_revinclude:iterate=Organization:partof"
        )
        modes = [entry["search"]["mode"] for entry in answer.json()["entry"]]
        assert (modes.count("include"), modes.count("outcome")) == (expected, is_cut)


def test_include_is_of_the_matches_unless_it_iterates(service: Service) -> None:
    made = organizations(service, 4)
    path = f"/fhir/R4/Organization?_id={made[3]}"
    for include, expected in (
        ("_include=Organization:partof", [made[3], made[2]]),
        ("_include:iterate=Organization:partof", made[::-1]),
        ("_include=Organization:partof&_include:iterate=Organization:endpoint", [made[3], made[2]]),
    ):
        assert ids(service.call("GET", f"{path}&{include}")) == expected


def test_hierarchy_is_followed_up_to_its_limit(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = organizations(service, 3)
    for query in (f"partof:below={made[0]}", f"partof:above={made[2]}"):
        path = f"/fhir/R4/Organization?{query}"
        monkeypatch.setattr(resolving, "MAX_TARGETS", 3)
        assert set(ids(service.call("GET", path))) == set(made[1:])
        monkeypatch.setattr(resolving, "MAX_TARGETS", 2)
        assert service.call("GET", path).status_code == 400


def test_so_many_matches_are_sorted(
    service: Service, record: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/fhir/R4/Observation?patient={record}&_sort=code"
    monkeypatch.setattr(sorting, "MAX_SORTED", 4)
    assert len(ids(service.call("GET", path))) == 4
    monkeypatch.setattr(sorting, "MAX_SORTED", 3)
    answer = service.call("GET", path)
    assert (answer.status_code, answer.json()["issue"][0]["expression"]) == (400, ["http._sort"])


def test_several_types_are_sorted_by_their_last_update_alone(service: Service) -> None:
    for sort, status in (("_lastUpdated", 200), ("-_lastUpdated", 200), ("date", 400)):
        path = f"/fhir/R4/?_type=Observation,Encounter&_sort={sort}"
        assert service.call("GET", path).status_code == status
    both = "/fhir/R4/?_type=Observation,Encounter&_sort=date,_lastUpdated"
    assert service.call("GET", both).status_code == 400
