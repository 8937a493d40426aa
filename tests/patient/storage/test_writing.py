"""What is written with a change, and what must be there for it."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import asyncpg
import psycopg
import pytest

from apps.kit.context import new_id
from apps.kit.errors import Conflict
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.versions import Author, change_of
from apps.patient.storage.writing import TextCache, Writer
from tests.patient.patient_service import PUBLIC_URL, Service
from tests.patient.storage.failing import Failing

pytestmark = pytest.mark.integration


def condition(patient_id: str, code: dict[str, Any]) -> dict[str, Any]:
    subject = {"reference": f"Patient/{patient_id}"}
    return {"resourceType": "Condition", "code": code, "subject": subject}


def found(service: Service, query: str) -> list[str]:
    answer = service.call("GET", f"/fhir/R4/Condition?{query}")
    assert answer.status_code == 200, answer.text
    return [entry["resource"]["id"] for entry in answer.json().get("entry", ())]


def test_text_is_found_whether_a_code_comes_with_it_or_not(service: Service) -> None:
    patient_id = service.register()
    coding = {"system": "urn:test:writing", "code": "rare-code"}
    coded = condition(patient_id, {"coding": [coding], "text": "Rarely seen"})
    alone = condition(patient_id, {"text": "Rarely seen"})
    id = service.create(coded)["id"]
    path = f"/fhir/R4/Condition/{id}"
    for resource, by_code in ((coded, [id]), (alone, []), (coded, [id]), (alone, [])):
        answer = service.call("PUT", path, json={**resource, "id": id})
        assert answer.status_code == 200, answer.text
        assert found(service, "code:text=rarely") == [id]
        assert found(service, "code=rare-code") == by_code
        assert found(service, "code=urn:test:writing|") == by_code


def test_system_without_a_code_is_found(service: Service) -> None:
    patient_id = service.register()
    coding = {"system": "urn:test:no-code", "display": "only shown"}
    alone = condition(patient_id, {"coding": [coding]})
    coded = condition(patient_id, {"coding": [{**coding, "code": "some-code"}]})
    id = service.create(alone)["id"]
    assert found(service, "code=urn:test:no-code|") == [id]
    for resource in (coded, alone, alone, coded):
        answer = service.call("PUT", f"/fhir/R4/Condition/{id}", json={**resource, "id": id})
        assert answer.status_code == 200, answer.text
        assert found(service, "code=urn:test:no-code|") == [id]


def test_deleted_resource_has_no_rows(service: Service) -> None:
    id = service.create(condition(service.register(), {"text": "gone"}))["id"]
    rows = (
        "SELECT count(*) FROM resource_value v JOIN resource r USING (number) WHERE r.id = $1",
        id,
    )
    assert service.sql(*rows)[0][0] > 0
    service.call("DELETE", f"/fhir/R4/Condition/{id}")
    assert service.sql(*rows) == [(0,)]


def test_contacts_are_found_by_their_system(service: Service) -> None:
    id = service.register(name="Systematic Contact", email="systematic@example.com")
    for query in ("email=email|", "telecom=email|", "email=email|systematic@example.com"):
        answer = service.call("GET", f"/fhir/R4/Patient?{query}&name=systematic").json()
        assert [entry["resource"]["id"] for entry in answer["entry"]] == [id], query


def test_patients_are_sorted_by_a_parameter_that_is_another(service: Service) -> None:
    ids = [service.register(name=f"Zzsorted {letter}") for letter in "ba"]
    answer = service.call("GET", "/fhir/R4/Patient?phonetic=zzsorted&_sort=phonetic").json()
    assert [entry["resource"]["id"] for entry in answer["entry"]] == ids[::-1]


def rows_written(service: Service) -> Any:
    return service.sql(
        "SELECT (SELECT count(*) FROM resource), (SELECT count(*) FROM resource_value),"
        " (SELECT count(*) FROM audit_event WHERE action = 'create')"
    )


def test_nothing_is_written_where_a_reference_leads_nowhere(service: Service) -> None:
    patient_id, deleted = service.register(), service.register()
    assert service.call("DELETE", f"/fhir/R4/Patient/{deleted}").status_code == 204
    unknown = condition(patient_id, {"text": "x"}) | {"encounter": {"reference": "Encounter/none"}}
    before = rows_written(service)
    for resource in (condition("none", {"text": "x"}), condition(deleted, {"text": "x"}), unknown):
        answer = service.call("POST", "/fhir/R4/Condition", json=resource)
        assert answer.status_code == 422, answer.text
        assert "there is no" in answer.text
    assert rows_written(service) == before


def test_patient_may_refer_to_itself(service: Service) -> None:
    path = f"/fhir/R4/Patient/{service.register()}"
    patient = service.call("GET", path).json()
    link = {"other": {"reference": f"Patient/{patient['id']}"}, "type": "seealso"}
    answer = service.call("PUT", path, json={**patient, "link": [link]})
    assert answer.status_code == 200, answer.text


@contextmanager
def create_during(service: Service, change: str) -> Iterator[tuple[Any, Future[Any]]]:
    """Yields a transaction that has done `change` to a patient, and a create that refers to it."""
    id = service.register()
    with psycopg.connect(service.database_url) as other, ThreadPoolExecutor(1) as pool:
        other.execute(change, {"id": id})
        body = condition(id, {"text": "x"})
        created = pool.submit(service.call, "POST", "/fhir/R4/Condition", json=body)
        with pytest.raises(TimeoutError):
            created.result(timeout=0.5)
        yield other, created


def test_change_waits_for_who_changes_its_patient(service: Service) -> None:
    with create_during(service, "SELECT FROM resource WHERE id = %(id)s FOR UPDATE") as found:
        other, created = found
        other.rollback()
        assert created.result(timeout=10).status_code == 201


def test_change_is_refused_once_its_patient_is_deleted(service: Service) -> None:
    delete = (
        "UPDATE resource SET method = 'DELETE', version_id = version_id + 1, body = NULL,"
        " packed = NULL WHERE id = %(id)s"
    )
    with create_during(service, delete) as (other, created):
        other.commit()
        assert created.result(timeout=10).status_code == 422


async def test_change_and_what_it_refers_to_are_one_statement(service: Service) -> None:
    id = service.register()
    writer = Writer(NumberBlocks("resource_number"), TextCache())
    statements: list[Any] = []
    connection = await asyncpg.connect(service.database_url)
    try:
        for referred, is_written in (("none", False), (id, True), (id, True)):
            change = change_of(
                condition(id, {"text": "x"}), id=new_id(), method="POST", base_url=PUBLIC_URL
            )
            statements.clear()
            connection.add_query_logger(statements.append)
            done = await writer.write(
                connection, [change], Author("a", "c", "r", ""), [("Patient", referred)]
            )
            connection.remove_query_logger(statements.append)
            assert done is is_written
        (statement,) = statements
        # The row of the resource is sent as values, those of the index as arrays.
        row, _, others = statement.query.partition("part_1")
        assert "INSERT INTO resource " in row and "unnest(" not in row
        assert "unnest(" in others
    finally:
        await connection.close()


def violation(kind: type[asyncpg.PostgresError], **fields: str) -> asyncpg.PostgresError:
    error = kind("refused")
    for name, value in fields.items():
        setattr(error, name, value)
    return error


async def rewrite(error: Exception) -> None:
    resource = {"resourceType": "Organization", "name": "Hospital"}
    change = change_of(resource, id="g", method="POST", base_url=f"{PUBLIC_URL}/fhir/R4")
    writer = Writer(NumberBlocks("resource_number"), TextCache())
    connection: Any = Failing(error)
    await writer.rewrite(connection, [change])


@pytest.mark.parametrize(
    "error",
    [
        violation(asyncpg.UniqueViolationError, constraint_name="resource_reference_hash_key"),
        violation(asyncpg.UniqueViolationError, constraint_name="resource_value_pkey"),
        violation(asyncpg.NotNullViolationError, column_name="version_id"),
        asyncpg.SerializationError("refused"),
        asyncpg.DeadlockDetectedError("refused"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_another_writer_caused_is_a_conflict(error: Exception) -> None:
    with pytest.raises(Conflict, match="version_conflict"):
        await rewrite(error)


@pytest.mark.parametrize(
    "error",
    [
        violation(asyncpg.UniqueViolationError, constraint_name="outbox_pkey"),
        violation(asyncpg.NotNullViolationError, column_name="type"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_violation_of_any_other_constraint_is_no_conflict(error: Exception) -> None:
    with pytest.raises(type(error)):
        await rewrite(error)
