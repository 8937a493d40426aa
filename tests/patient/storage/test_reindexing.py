"""A database in the layout of the previous release: searched, written to and rewritten
while it is served.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg import sql

from apps.kit.errors import Conflict
from apps.patient.operate import HANDLERS
from apps.patient.search.index.index_rows import INDEX_VERSION
from apps.patient.storage import reindexing
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.reading import select_stored
from apps.patient.storage.reindexing import Step, reindex_batch
from apps.patient.storage.versions import Author, change_of
from apps.patient.storage.writing import TextCache, Writer
from apps.release.bootstrap import DatabaseRoles, bootstrap, drop_databases
from apps.release.migrate import migrate
from infrastructure.local.postgres import Postgres
from tests.bench.record import BASE
from tests.patient.patient_service import Service, make_settings, open_service, run_sql, wait_for
from tests.patient.storage.test_backfill import migration

pytestmark = pytest.mark.integration

AUTHOR = Author("actor", "client", "request", "")

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
# An hour after the first replica of this release began.
BEGIN = (
    "UPDATE record_layout SET compact_from = now(), starts_at = now(),"  # noqa: S608
    f" target_version = {INDEX_VERSION}"
)
# What the stored resources are found by: (query, ids).
SEARCHES: tuple[tuple[str, list[str]], ...] = (
    ("Patient?family=garcia", ["p0"]),
    ("Patient?identifier=urn:test|", ["p0", "p1"]),
    ("Patient?identifier=urn:test|id-1", ["p1"]),
    ("Condition?code=44054006", ["c0"]),
    (f"Condition?code={SNOMED}|", ["c0"]),
    ("Condition?code:text=sore", ["c1"]),
    (f"Observation?code={LOINC}|", ["o0", "o1", "o2"]),
    ("Observation?code:not=8302-2", ["o0", "o2"]),
    ("Observation?_profile:below=http://hl7.org/fhir/us/core", ["o0"]),
    ("Observation?_profile:below=http://hl7.org/fhir/us/cor", []),
    ("Observation?code-value-quantity=8302-2$gt180", ["o1"]),
    (f"Observation?code-value-quantity={LOINC}|8302-2$gt180", ["o1"]),
    ("Observation?code-value-quantity=urn:other|8302-2$gt180", []),
    (f"Observation?component-code-value-quantity={LOINC}|8480-6$131", ["o0"]),
    (f"Observation?combo-code-value-quantity={LOINC}|8480-6$131", ["o0"]),
    (f"Observation?code-value-concept={LOINC}|72166-2${SNOMED}|266919005", ["o2"]),
    ("Observation?code-value-concept=urn:other|72166-2$266919005", []),
    ("Observation?code-value-concept=72166-2$urn:other|266919005", []),
    ("Observation?date=2024-03-11&patient=p0", ["o0"]),
    ("Observation?encounter=e0&_lastUpdated=gt2020", ["o0"]),
    ("Observation?_sort=_lastUpdated&patient=p1", ["o1", "o2"]),
    ("Organization?name=hospital", ["g0"]),
)


@pytest.fixture
def previous(postgres: Postgres) -> Iterator[tuple[str, str, str]]:
    """(runtime_url, owner_url, runtime role) of a database that the release with migration
    0002 has filled.
    """
    prefix = f"t_{secrets.token_hex(4)}_"
    password = secrets.token_urlsafe(12)
    roles = DatabaseRoles(prefix + "patient")
    runtime_url, owner_url = (
        f"postgresql://{role}:{password}@{postgres.host}:{postgres.port}/{roles.database}"
        for role in (roles.runtime, roles.owner)
    )
    bootstrap(postgres.admin_url, ("patient",), prefix=prefix, password_of=lambda role: password)
    rows = (Path(__file__).parent / "previous_layout.sql").read_text()
    second = migration("0002_resources")
    with psycopg.connect(owner_url, autocommit=True) as connection:
        for statements in (
            migration("0001_record").TABLES,
            second.RESOURCES,
            second.CARRY_OVER,
            "SELECT drop_previous_tables()",
            rows,
            "SELECT setval('resource_number', 10000), setval('mrn', 10000)",
            "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
            "INSERT INTO alembic_version VALUES ('0002')",
        ):
            connection.execute(statements.encode())
        connection.execute(
            sql.SQL(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};"
                "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role};"
                "GRANT EXECUTE ON FUNCTION drop_previous_tables() TO {role}"
            ).format(role=sql.Identifier(roles.runtime))
        )
    migrate(owner_url, "patient", runtime_role=roles.runtime)
    try:
        yield runtime_url, owner_url, roles.runtime
    finally:
        drop_databases(postgres.admin_url, ("patient",), prefix=prefix)


def found(service: Service, query: str) -> list[str]:
    answer = service.call("GET", f"/fhir/R4/{query}")
    assert answer.status_code == 200, f"{query}: {answer.text}"
    ids = [entry["resource"]["id"] for entry in answer.json().get("entry", ())]
    return ids if "_sort" in query else sorted(ids)


def check_searches(service: Service) -> None:
    for query, ids in SEARCHES:
        assert found(service, query) == ids, query


def begin(url: str) -> None:
    """Lets an hour pass."""
    run_sql(url, BEGIN)


def writer() -> Writer:
    return Writer(NumberBlocks("resource_number"), TextCache())


def value_rows(service: Service) -> int:
    return int(service.sql("SELECT count(*) FROM resource_value")[0][0])


def test_previous_layout_is_served_and_rewritten(
    previous: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(reindexing, "BATCH_ROWS", 3)
    runtime_url, owner_url, _ = previous
    with open_service(runtime_url) as service:
        check_searches(service)
        stored = service.sql("SELECT type, id, body FROM resource WHERE body IS NOT NULL")
        # Another replica may be of the previous release: it reads and finds what this one writes.
        service.call(
            "PUT",
            "/fhir/R4/Organization/g1",
            json={"resourceType": "Organization", "id": "g1", "name": "New"},
        )
        assert service.sql("SELECT body IS NOT NULL, packed FROM resource WHERE id = 'g1'") == [
            (True, None)
        ]
        rows_before = value_rows(service)
        begin(owner_url)

    with open_service(runtime_url) as service:
        wait_for(
            lambda: service.sql("SELECT index_version FROM record_layout") == [(INDEX_VERSION,)]
        )
        check_searches(service)
        assert service.sql("SELECT count(*) FROM resource WHERE body IS NOT NULL") == [(0,)]
        assert service.sql("SELECT min(index_version) FROM resource") == [(INDEX_VERSION,)]
        assert value_rows(service) < rows_before * 0.8
        assert service.sql("SELECT to_regclass('resource_updated')") == [(None,)]
        for kind, id, body in stored:
            assert service.call("GET", f"/fhir/R4/{kind}/{id}").text == body
        assert service.call("GET", "/fhir/R4/Patient/p2").status_code == 410
        history = service.call("GET", "/fhir/R4/Patient/p0/_history").json()["entry"]
        assert [entry["resource"]["meta"]["versionId"] for entry in history] == ["2", "1"]


def test_previous_release_may_go_on_writing_after_a_return_to_it(
    previous: tuple[str, str, str],
) -> None:
    runtime_url, owner_url, _ = previous
    begin(owner_url)
    with open_service(runtime_url) as service:
        resource = {"resourceType": "Organization", "id": "g0", "name": "Packed"}
        changed = service.call("PUT", "/fhir/R4/Organization/g0", json=resource)
        assert changed.status_code == 200, changed.text
        body = json.dumps({**resource, "name": "Plain", "meta": {"versionId": "3"}})
        service.sql(
            "UPDATE resource SET version_id = 3, body = $1, last_updated = now() WHERE id = 'g0'",
            body,
        )
        assert service.call("GET", "/fhir/R4/Organization/g0").json()["name"] == "Plain"
        second = service.call("GET", "/fhir/R4/Organization/g0/_history/2").json()
        assert second["name"] == "Packed"


async def test_reindexing_goes_on_where_it_stopped(
    previous: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "BATCH_ROWS", 4)
    runtime_url, owner_url, _ = previous
    connection = await asyncpg.connect(runtime_url)
    other = await asyncpg.connect(runtime_url)

    async def batch(by: Any = connection) -> Step:
        async with by.transaction():
            return await reindex_batch(by, writer(), BASE)

    try:
        assert await batch() == Step(is_done=True), "replicas of the previous release still run"
        owner = await asyncpg.connect(owner_url)
        await owner.execute(BEGIN)
        await owner.close()
        assert await batch() == Step(resources=4)
        async with connection.transaction():
            assert await reindex_batch(connection, writer(), BASE) == Step(resources=4)
            assert await batch(other) == Step(is_done=True), "two took one batch"
        steps = [await batch(other) for _ in range(2)]
        assert sum(step.resources for step in steps) == 2
        assert steps[-1].is_done
        assert await batch() == Step(is_done=True)
    finally:
        await connection.close()
        await other.close()


async def test_change_of_what_was_indexed_anew_meanwhile_is_made_again(
    previous: tuple[str, str, str],
) -> None:
    runtime_url, _, _ = previous
    connection = await asyncpg.connect(runtime_url)
    try:
        await connection.execute(BEGIN)
        read_before = await select_stored(connection, "Organization", "g0")
        assert read_before is not None
        change = change_of(
            {"resourceType": "Organization", "name": "New"},
            id="g0",
            method="PUT",
            base_url=BASE,
            stored=read_before,
        )
        async with connection.transaction():
            await reindex_batch(connection, writer(), BASE)
        with pytest.raises(Conflict, match="version_conflict"):
            await writer().write(connection, [change], AUTHOR)
        read_again = await select_stored(connection, "Organization", "g0")
        assert read_again is not None
        assert read_again.version == read_before.version
        again = replace(change, stored=read_again)
        await writer().write(connection, [again], AUTHOR)
        left = await connection.fetch(
            "SELECT hash FROM resource_value WHERE number = $1", read_again.number
        )
        assert {row["hash"] for row in left} == change.index.indexed
    finally:
        await connection.close()


async def test_index_is_made_anew_from_the_resources(previous: tuple[str, str, str]) -> None:
    runtime_url, _, _ = previous
    connection = await asyncpg.connect(runtime_url)
    settings = make_settings(runtime_url)
    try:
        await connection.execute(BEGIN)
        for _ in range(3):
            async with connection.transaction():
                await reindex_batch(connection, writer(), BASE)
        tables = ("resource_value", "resource_date", "resource_string", "resource_quantity")
        before = [await connection.fetchval(f"SELECT count(*) FROM {name}") for name in tables]  # noqa: S608
        for name in (*tables, "token_text"):
            await connection.execute(f"DELETE FROM {name}")  # noqa: S608
        answer: Any = await HANDLERS["index rebuild"](settings, {})
        assert answer["waiting resources"] == 10
        for _ in range(3):
            async with connection.transaction():
                await reindex_batch(connection, writer(), BASE)
        after = [await connection.fetchval(f"SELECT count(*) FROM {name}") for name in tables]  # noqa: S608
        assert after == before
        answer = await HANDLERS["index status"](settings, {})
        assert answer == {"index version": INDEX_VERSION, "waiting resources": 0}
    finally:
        await connection.close()


async def test_a_later_index_waits_for_the_end_of_the_release_before(
    patient_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "INDEX_VERSION", INDEX_VERSION + 1)
    connection = await asyncpg.connect(patient_database)
    transaction = connection.transaction()
    await transaction.start()
    try:
        for _ in range(2):
            assert await reindex_batch(connection, writer(), BASE) == Step(is_done=True)
        row = await connection.fetchrow(
            "SELECT target_version, starts_at > now() FROM record_layout"
        )
        assert tuple(row) == (INDEX_VERSION + 1, True)
    finally:
        await transaction.rollback()
        await connection.close()


@pytest.mark.parametrize("is_new", [True, False])
def test_only_a_database_without_a_previous_release_has_nothing_to_index_anew(
    previous: tuple[str, str, str], is_new: bool
) -> None:
    _, owner_url, role = previous
    with psycopg.connect(owner_url, autocommit=True) as connection:
        if is_new:
            connection.execute("DROP OWNED BY CURRENT_USER CASCADE")
            connection.execute("CREATE SCHEMA IF NOT EXISTS public")
        else:
            connection.execute("TRUNCATE resource")
            connection.execute("UPDATE record_layout SET index_version = 2, target_version = 2")
            connection.execute("UPDATE alembic_version SET version_num = '0004'")
        migrate(owner_url, "patient", runtime_role=role)
        found = connection.execute("SELECT index_version FROM record_layout").fetchone()
    assert found == (INDEX_VERSION if is_new else 2,)


@pytest.mark.parametrize("stopped_at", ["done", "half"])
def test_rows_that_the_previous_release_wrote_meanwhile_are_indexed_anew(
    previous: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch, stopped_at: str
) -> None:
    monkeypatch.setattr(reindexing, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(reindexing, "LOOK_ROWS", 3)
    monkeypatch.setattr(reindexing, "PAUSE_SECONDS", 0.01)
    runtime_url, owner_url, _ = previous
    begin(owner_url)
    layout = "SELECT index_version, starts_at > now() + interval '50 minutes' FROM record_layout"
    done = [(INDEX_VERSION, False)]
    with open_service(runtime_url) as service:
        wait_for(lambda: service.sql(layout) == done)
    older = INDEX_VERSION - 1
    with open_service(runtime_url) as service:
        assert service.sql("SELECT min(index_version) FROM resource") == [(INDEX_VERSION,)]
        service.sql("SELECT pg_sleep(0.3)")
        assert service.sql(layout) == done, "there was nothing to do"
        service.sql("UPDATE resource SET index_version = $1 WHERE id = 'g0'", older)
        if stopped_at == "half":
            service.sql(
                "UPDATE record_layout SET index_version = $1, starts_at = now() +"
                " interval '10 minutes', position = (SELECT number FROM resource WHERE id = 'g0')",
                older,
            )
    with open_service(runtime_url) as service:
        wait_for(lambda: service.sql(layout) == [(older, True)])
        run_sql(owner_url, "UPDATE record_layout SET starts_at = now()")
        wait_for(lambda: service.sql(layout) == done)
        assert service.sql("SELECT min(index_version) FROM resource") == [(INDEX_VERSION,)]


def test_chain_into_what_is_not_indexed_yet_is_told(
    previous: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "POLL_SECONDS", 0.05)
    runtime_url, owner_url, _ = previous

    def warnings(service: Service, query: str) -> list[str]:
        entries = service.call("GET", f"/fhir/R4/{query}").json().get("entry", ())
        outcomes = [one["resource"] for one in entries if one["search"]["mode"] == "outcome"]
        return [one["issue"][0]["code"] for one in outcomes]

    chain = "Observation?performer.name=x"
    with open_service(runtime_url) as service:
        assert warnings(service, chain) == ["incomplete"]
        assert warnings(service, f"Patient?_has:Observation:patient:{chain[12:]}") == ["incomplete"]
        assert warnings(service, "Observation?patient=p0") == []
        begin(owner_url)
        wait_for(
            lambda: service.sql("SELECT index_version FROM record_layout") == [(INDEX_VERSION,)]
        )
        assert warnings(service, chain) == []
