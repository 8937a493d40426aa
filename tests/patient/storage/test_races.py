"""Several at once."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.patient.fhir.test_bundles import bundle, history
from tests.patient.patient_service import PERSON, PUBLIC_URL, Service

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]

AT_ONCE = 8


def at_once(call: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(call, range(AT_ONCE)))


def test_two_loads_of_one_file_make_one(service: Service) -> None:
    def load(number: int) -> int:
        headers = {"Idempotency-Key": "one-file"}
        return service.call(
            "POST", "/fhir/R4", json=bundle(history("one-file")), headers=headers
        ).status_code

    statuses = Counter(at_once(load))
    assert set(statuses) <= {200, 409}
    found = service.call("GET", "/fhir/R4/Patient?identifier=one-file").json()["entry"]
    assert len(found) == 1
    id = found[0]["resource"]["id"]
    assert service.sql("SELECT count(*) FROM resource WHERE patient_id = $1", id) == [(3,)]


def test_condition_makes_one_patient_whoever_asks(service: Service) -> None:
    answers = at_once(
        lambda number: service.call("POST", "/fhir/R4", json=bundle(history("one-person")))
    )
    statuses = Counter(answer.json()["entry"][1]["response"]["status"] for answer in answers)
    assert statuses == {"201 Created": 1, "200 OK": AT_ONCE - 1}


def test_writers_at_once_make_a_version_each_or_are_told(service: Service) -> None:
    path = f"/api/patients/{service.register()}"
    answers = at_once(lambda number: service.call("PUT", path, json={"name": f"Writer {number}"}))
    made = sorted(answer.headers["etag"] for answer in answers if answer.status_code == 200)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert made == [f'W/"{version}"' for version in range(2, 2 + len(made))]
    last = next(answer for answer in answers if answer.headers.get("etag") == made[-1])
    assert service.call("GET", path).json() == last.json()


def test_few_of_many_writers_of_one_resource_are_told_to_try_again(service: Service) -> None:
    body = {"resourceType": "Practitioner", "active": True}
    path = f"/fhir/R4/Practitioner/{service.create(body)['id']}"
    body["id"] = path.rpartition("/")[2]
    statuses: Counter[int] = Counter()
    with ThreadPoolExecutor(20) as pool:
        for _ in range(3):
            answers = pool.map(lambda number: service.call("PUT", path, json=body), range(20))
            statuses.update(answer.status_code for answer in answers)
    assert set(statuses) <= {200, 409}
    # Two of three where each try waits for its turn again.
    assert statuses[409] <= 20


def test_one_of_many_wins_with_if_match(service: Service) -> None:
    path = f"/api/patients/{service.register()}"
    headers = {"If-Match": 'W/"1"'}
    answers = at_once(
        lambda n: service.call("PUT", path, json={"name": f"Writer {n}"}, headers=headers)
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: AT_ONCE - 1}


def test_numbers_are_given_once(service: Service) -> None:
    def register(number: int) -> list[str]:
        return [service.register(**PERSON) for _ in range(20)]

    ids = [id for made in at_once(register) for id in made]
    numbers = service.sql(
        "SELECT count(DISTINCT mrn) FROM resource WHERE id = ANY($1::text[])", ids
    )
    assert numbers == [(AT_ONCE * 20,)]


@pytest.mark.parametrize("seed", range(3))
def test_any_interleaving_of_changes_gives_a_gapless_history(service: Service, seed: int) -> None:
    """Writers that update, patch, delete and restore by random versions, each in its own order."""
    id = service.create({"resourceType": "Patient", "name": [{"family": "Interleaved"}]})["id"]
    path = f"/fhir/R4/Patient/{id}"

    def change(number: int) -> list[int]:
        choose = random.Random(seed * AT_ONCE + number)
        made = []
        for _ in range(12):
            headers = (
                {"If-Match": f'W/"{choose.randrange(1, 12)}"'} if choose.random() < 0.5 else {}
            )
            kind = choose.choice(("PUT", "PUT", "PATCH", "DELETE"))
            body: dict[str, Any] = {"resourceType": "Patient", "id": id, "active": True}
            if kind == "PATCH":
                body = {"active": choose.random() < 0.5}
            options: dict[str, Any] = {} if kind == "DELETE" else {"json": body}
            answer = service.call(kind, path, headers=headers, **options)
            assert answer.status_code in (200, 201, 204, 404, 409, 410, 412), answer.text
            if answer.status_code in (200, 201):
                made.append(int(answer.json()["meta"]["versionId"]))
        return made

    made = [version for versions in at_once(change) for version in versions]
    assert len(made) == len(set(made)), "one version was given to two writers"
    entries: list[dict[str, Any]] = []
    page = f"{path}/_history?_count=100"
    while page:
        answer = service.call("GET", page).json()
        entries += answer["entry"]
        following = [link["url"] for link in answer["link"] if link["relation"] == "next"]
        page = following[0].removeprefix(PUBLIC_URL) if following else ""
    tags = [entry["response"]["etag"] for entry in entries]
    assert tags == [f'W/"{version}"' for version in range(len(tags), 0, -1)]
    assert set(made) <= set(range(1, len(tags) + 1))
