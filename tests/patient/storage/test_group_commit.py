"""Changes that come together share a commit; each has the answer that it would have alone."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from apps.kit.batches import Batches
from apps.patient.storage import group_commit, writing
from apps.patient.storage.group_commit import GroupCommit
from apps.patient.storage.versions import Change
from tests.patient.patient_service import Service, principal, wait_for
from tests.patient.storage.waiting import holding, observation
from tests.waiting import LOCK_WAITS

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]

leading = pytest.mark.usefixtures("unhurried_leader")

Call = Callable[[], httpx.Response]

# Nobody's write can end, but all of them can be checked.
_HELD = "LOCK TABLE resource IN SHARE MODE"


Arrived = list[str]


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> Arrived:
    """Yields the ids of the resources whose changes came to be written."""
    ids: Arrived = []
    write = GroupCommit.write

    async def noted(self: GroupCommit, change: Change, *more: Any) -> bool:
        ids.append(change.version.id)
        return await write(self, change, *more)

    monkeypatch.setattr(GroupCommit, "write", noted)
    return ids


@pytest.fixture
def unhurried_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test hold a write as long as it needs while the others wait behind it."""
    monkeypatch.setattr(group_commit, "GROUP_SECONDS", 30.0)


def waiting(
    pool: ThreadPoolExecutor, arrived: Arrived, calls: list[Call]
) -> list[Future[httpx.Response]]:
    """Starts calls; returns when their changes wait to be written, in this order."""
    futures = []
    for call in calls:
        count = len(arrived)
        futures.append(pool.submit(call))
        wait_for(lambda count=count: len(arrived) > count)  # type: ignore[misc]
    return futures


def together(service: Service, arrived: Arrived, calls: list[Call]) -> list[httpx.Response]:
    """Returns the answers of calls that waited, in this order, while another change was
    being written.
    """
    first = service.register()
    with ThreadPoolExecutor(len(calls) + 1) as pool:
        with holding(service, _HELD):
            leading = lead(service, pool, first)
            futures = waiting(pool, arrived, calls)
        assert leading.result().status_code == 200
        return [future.result() for future in futures]


def lead(service: Service, pool: ThreadPoolExecutor, patient_id: str) -> "Future[httpx.Response]":
    """Starts a change that waits for what the test holds."""
    leading = pool.submit(put, service, f"Patient/{patient_id}", resourceType="Patient")
    wait_for(lambda: service.sql(LOCK_WAITS))
    return leading


def put(service: Service, path: str, **body: Any) -> httpx.Response:
    headers = {"If-Match": body.pop("if_match")} if "if_match" in body else {}
    body = {"id": path.rpartition("/")[2], **body}
    return service.call("PUT", f"/fhir/R4/{path}", json=body, headers=headers)


def post(service: Service, body: dict[str, Any]) -> Call:
    return lambda: service.call("POST", f"/fhir/R4/{body['resourceType']}", json=body)


def transactions(service: Service, answers: list[httpx.Response]) -> list[Any]:
    """Returns the ids of the transactions that wrote what was answered, in its order."""
    ids = [answer.json()["id"] for answer in answers if answer.is_success]
    rows = service.sql("SELECT id, xmin::text FROM resource WHERE id = ANY ($1::text[])", ids)
    found = {row["id"]: row["xmin"] for row in rows}
    return [found[id] for id in ids]


@leading
def test_changes_that_wait_together_are_one_transaction(service: Service, arrived: Arrived) -> None:
    patient_id = service.register()
    known = service.create(observation(patient_id))["id"]
    for name in ("person-0", "person-1"):
        service.verifier.principals[name] = principal("system/*.cruds", subject=name)

    def send(number: int, method: str, path: str, body: dict[str, Any]) -> Call:
        headers = {"X-Request-Id": f"group-{number}"}
        return lambda: service.call(
            method, f"/fhir/R4/{path}", json=body, headers=headers, by=f"person-{number % 2}"
        )

    calls = [send(n, "POST", "Observation", observation(patient_id)) for n in range(4)]
    calls += [send(4, "POST", "Patient", {"resourceType": "Patient", "active": True})]
    changed = observation(patient_id, id=known, note=[{"text": "changed"}])
    calls += [send(5, "PUT", f"Observation/{known}", changed)]
    answers = together(service, arrived, calls)
    assert [answer.status_code for answer in answers] == [201] * 5 + [200]
    assert len(set(transactions(service, answers))) == 1
    # Each is in the audit as what its own caller did.
    rows = service.sql(
        "SELECT resource_id, request_id, actor_id, action FROM audit_event"
        " WHERE request_id LIKE 'group-%' AND action <> 'read'"
    )
    assert sorted(tuple(row) for row in rows) == sorted(
        (answer.json()["id"], f"group-{number}", f"person-{number % 2}", action)
        for number, (answer, action) in enumerate(
            zip(answers, ["create"] * 5 + ["update"], strict=True)
        )
    )


@leading
def test_one_that_is_refused_costs_the_others_nothing(service: Service, arrived: Arrived) -> None:
    patient_id = service.register()
    good, bad = observation(patient_id), observation("nobody-of-that-id")
    answers = together(service, arrived, [post(service, body) for body in (good, bad, good)])
    assert [answer.status_code for answer in answers] == [201, 422, 201]
    assert "there is no such patient" in answers[1].text


@leading
def test_changes_of_one_resource_follow_one_another(service: Service, arrived: Arrived) -> None:
    patient_id = service.register()
    id = service.create(observation(patient_id))["id"]
    change: Call = lambda: put(service, f"Observation/{id}", **observation(patient_id))  # noqa: E731
    create = post(service, observation(patient_id))
    # The second change begins a group, and conflicts there with the first: it is made again.
    answers = together(service, arrived, [create, change, change, create])
    assert [answer.status_code for answer in answers] == [201, 200, 200, 201]
    made = {answer.json()["meta"]["versionId"] for answer in answers[1:3]}
    assert made == {"2", "3"}
    history = service.call("GET", f"/fhir/R4/Observation/{id}/_history").json()
    assert len(history["entry"]) == 3


@leading
def test_two_that_create_one_id_are_two_versions(service: Service, arrived: Arrived) -> None:
    body = {"resourceType": "Practitioner", "active": True}
    calls: list[Call] = [lambda: put(service, "Practitioner/group-twice", **body)] * 2
    answers = together(service, arrived, calls)
    assert sorted(answer.status_code for answer in answers) == [200, 201]


@leading
def test_deletion_shares_the_commit(service: Service, arrived: Arrived) -> None:
    patient_id = service.register()
    id = service.create(observation(patient_id))["id"]
    calls = [
        lambda: service.call("DELETE", f"/fhir/R4/Observation/{id}"),
        post(service, observation(patient_id)),
    ]
    deleted, created = together(service, arrived, calls)
    assert (deleted.status_code, created.status_code) == (204, 201)
    rows = service.sql(
        "SELECT xmin::text FROM resource WHERE id = ANY ($1::text[])", [id, created.json()["id"]]
    )
    assert len({row["xmin"] for row in rows}) == 1


def test_change_that_waits_for_a_lock_keeps_nobody_back(service: Service) -> None:
    patient_id = service.register()
    locked = service.create(observation(patient_id))["id"]
    lock = "SELECT FROM resource WHERE id = %s FOR UPDATE"
    with ThreadPoolExecutor(8) as pool:
        with holding(service, lock, locked):
            behind = pool.submit(put, service, f"Observation/{locked}", **observation(patient_id))
            wait_for(lambda: service.sql(LOCK_WAITS))
            calls = [post(service, observation(patient_id)) for _ in range(6)]
            answers = [future.result(8) for future in [pool.submit(call) for call in calls]]
            assert [answer.status_code for answer in answers] == [201] * 6
            assert not behind.done()
        assert behind.result(10).status_code == 200


@leading
def test_group_does_not_wait_for_a_lock(service: Service, arrived: Arrived) -> None:
    patient_id = service.register()
    locked = service.create(observation(patient_id))["id"]
    first = service.register()
    with ThreadPoolExecutor(6) as pool:
        with holding(service, "SELECT FROM resource WHERE id = %s FOR UPDATE", locked):
            with holding(service, _HELD):
                leading = lead(service, pool, first)
                blocked: Call = lambda: put(  # noqa: E731
                    service, f"Observation/{locked}", **observation(patient_id)
                )
                calls = [blocked, *[post(service, observation(patient_id))] * 3]
                behind, *others = waiting(pool, arrived, calls)
            assert leading.result(5).status_code == 200
            # They were in one group with it.
            assert [other.result(5).status_code for other in others] == [201] * 3
            assert not behind.done()
        assert behind.result(10).status_code == 200


@pytest.fixture
def unhurried_group(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets a group wait for a lock as long as a test holds it."""
    monkeypatch.setattr(writing, "LOCK_TIMEOUT", "30s")
    writing._statement.cache_clear()
    yield
    writing._statement.cache_clear()


@leading
@pytest.mark.usefixtures("unhurried_group")
def test_lost_connection_is_told_to_all_and_writes_nothing(
    service: Service, arrived: Arrived
) -> None:
    patient_id, first = service.register(), service.register()
    with ThreadPoolExecutor(4) as pool, holding(service, _HELD):
        leading = lead(service, pool, first)
        lost = service.sql(LOCK_WAITS)[0]["pid"]
        futures = waiting(pool, arrived, [post(service, observation(patient_id))] * 3)
        service.sql("SELECT pg_terminate_backend($1)", lost)
        assert leading.result(10).status_code == 503

        group = wait_for(lambda: [row for row in service.sql(LOCK_WAITS) if row["pid"] != lost])
        assert len(group) == 1
        service.sql("SELECT pg_terminate_backend($1)", group[0]["pid"])
        # At once: none of them is tried again.
        assert [future.result(5).status_code for future in futures] == [503] * 3
    written = "SELECT count(*) FROM resource WHERE patient_id = $1"
    assert service.sql(written, patient_id)[0][0] == 1


@leading
def test_change_whose_caller_is_cancelled_is_not_written(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[asyncio.Future[bool]] = []
    put_item = Batches.put

    async def noted(self: Batches[Any, Any], item: Any) -> Any:
        started.append(asyncio.current_task())  # type: ignore[arg-type]
        return await put_item(self, item)

    patient_id = service.register()
    id = service.create(observation(patient_id))["id"]
    monkeypatch.setattr(Batches, "put", noted)
    with ThreadPoolExecutor(1) as pool:
        with holding(service, _HELD):
            future = pool.submit(put, service, f"Observation/{id}", **observation(patient_id))
            wait_for(lambda: service.sql(LOCK_WAITS))
            started[-1].get_loop().call_soon_threadsafe(started[-1].cancel)
            wait_for(lambda: not service.sql(LOCK_WAITS), seconds=5)
        with contextlib.suppress(httpx.HTTPError):
            assert future.result(10).status_code >= 500
    versions = service.sql("SELECT version_id FROM resource WHERE id = $1", id)
    assert versions == [(1,)]
