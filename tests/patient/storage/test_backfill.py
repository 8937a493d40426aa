"""A database that the previous release has filled: carried over while it is served, then without
the old tables.
"""

import asyncio
import importlib.util
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg import sql

from apps.kit.database import DatabaseSettings, open_database
from apps.patient.storage.backfill import BATCH_ROWS, Backfill
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.writing import TextCache, Writer
from apps.release.bootstrap import DatabaseRoles, bootstrap, drop_databases
from apps.release.migrate import migrate
from infrastructure.local.postgres import Postgres
from tests.patient.patient_service import PUBLIC_URL, open_service, run_sql, wait_for

ROOT = Path(__file__).parents[3]
MOMENT = "2026-01-01T00:00:00Z"

pytestmark = pytest.mark.integration


def migration(name: str) -> Any:
    path = ROOT / "apps" / "patient" / "migrations" / "versions" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"migration_{name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def previous(postgres: Postgres) -> Iterator[tuple[str, str, str]]:
    """(runtime_url, owner_url, runtime role) of a database as 0001 leaves it."""
    prefix = f"t_{secrets.token_hex(4)}_"
    password = secrets.token_urlsafe(12)
    roles = DatabaseRoles(prefix + "patient")
    runtime_url, owner_url = (
        f"postgresql://{role}:{password}@{postgres.host}:{postgres.port}/{roles.database}"
        for role in (roles.runtime, roles.owner)
    )
    bootstrap(postgres.admin_url, ("patient",), prefix=prefix, password_of=lambda role: password)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(migration("0001_record").TABLES)
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        connection.execute(
            sql.SQL(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};"
                "GRANT USAGE ON SEQUENCE mrn TO {role}"
            ).format(role=sql.Identifier(roles.runtime))
        )
    try:
        yield runtime_url, owner_url, roles.runtime
    finally:
        drop_databases(postgres.admin_url, ("patient",), prefix=prefix)


def insert_version(
    connection: Any, resource: dict[str, Any], version_id: int, patient_id: str, method: str
) -> None:
    """Writes a version and its head as the previous release did."""
    kind, id = resource["resourceType"], resource["id"]
    meta = {"versionId": str(version_id), "lastUpdated": MOMENT}
    body = None if method == "DELETE" else json.dumps({**resource, "meta": meta})
    connection.execute(
        "INSERT INTO resource_history VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (kind, id, version_id, patient_id, MOMENT, method, body),
    )
    if kind == "Patient":
        connection.execute(
            "INSERT INTO patient (id, version_id, last_updated, deleted, mrn)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET"
            " version_id = excluded.version_id, deleted = excluded.deleted",
            (id, version_id, MOMENT, body is None, f"mrn-{id}"),
        )
    else:
        connection.execute(
            "INSERT INTO clinical (type, id, version_id, patient_id, last_updated, deleted)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (type, id) DO UPDATE SET"
            " version_id = excluded.version_id, deleted = excluded.deleted",
            (kind, id, version_id, patient_id, MOMENT, body is None),
        )


def patient(id: str, family: str) -> dict[str, Any]:
    identifier = {"system": "urn:patient-management:mrn", "value": f"mrn-{id}"}
    return {
        "resourceType": "Patient",
        "id": id,
        "identifier": [identifier],
        "name": [{"family": family}],
    }


def condition(id: str, patient_id: str, code: str) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": id,
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": code}]},
        "subject": {"reference": f"Patient/{patient_id}"},
    }


def fill(owner_url: str) -> None:
    with psycopg.connect(owner_url, autocommit=True) as connection:
        for number in range(300):
            insert_version(
                connection, patient(f"p{number}", f"Family{number}"), 1, f"p{number}", "POST"
            )
        insert_version(connection, patient("p1", "Changed"), 2, "p1", "PUT")
        insert_version(connection, patient("p2", "Deleted"), 2, "p2", "DELETE")
        insert_version(connection, condition("c1", "p1", "44054006"), 1, "p1", "POST")


def test_what_the_previous_release_stored_is_served_found_and_changed(
    previous: tuple[str, str, str],
) -> None:
    runtime_url, owner_url, role = previous
    fill(owner_url)
    migrate(owner_url, "patient", runtime_role=role)

    with open_service(runtime_url) as service:
        # Before all is indexed a named resource is served; a search waits rather than miss one.
        read = service.call("GET", "/fhir/R4/Patient/p299")
        assert read.json()["name"] == [{"family": "Family299"}]
        wait_for(lambda: service.call("GET", "/fhir/R4/Patient").status_code == 200)

        found = service.call("GET", "/fhir/R4/Patient?family=changed&_total=accurate").json()
        assert found["total"] == 1
        assert service.call("GET", "/fhir/R4/Patient?_summary=count").json()["total"] == 299
        by_code = service.call("GET", "/fhir/R4/Condition?code=44054006&patient=p1").json()
        assert [entry["resource"]["id"] for entry in by_code["entry"]] == ["c1"]
        assert service.call("GET", "/fhir/R4/Patient/p2").status_code == 410

        changed = service.call("PUT", "/api/patients/p1", json={"name": "Third Version"})
        assert changed.headers["etag"] == 'W/"3"'
        history = service.call("GET", "/fhir/R4/Patient/p1/_history").json()["entry"]
        versions = [entry["response"]["etag"] for entry in history]
        assert versions == ['W/"3"', 'W/"2"', 'W/"1"']


def test_database_without_resources_is_contracted_by_the_migration(
    previous: tuple[str, str, str],
) -> None:
    _, owner_url, role = previous
    migrate(owner_url, "patient", runtime_role=role)
    assert run_sql(owner_url, "SELECT to_regclass('patient')") == [(None,)]


def test_old_tables_are_dropped_once_nothing_is_left(previous: tuple[str, str, str]) -> None:
    runtime_url, owner_url, role = previous
    fill(owner_url)
    migrate(owner_url, "patient", runtime_role=role)
    assert run_sql(runtime_url, "SELECT drop_previous_tables()") == [(False,)]

    with open_service(runtime_url) as service:
        wait_for(lambda: service.call("GET", "/fhir/R4/Patient").status_code == 200)
        with psycopg.connect(owner_url, autocommit=True) as connection:
            # The previous release still runs: its version is taken over.
            insert_version(connection, patient("p5", "Late"), 2, "p5", "PUT")
        query = "/fhir/R4/Patient?family=late&_summary=count"
        wait_for(lambda: service.call("GET", query).json().get("total") == 1)

        # What this release has changed is out of the other's sight.
        service.call("PUT", "/api/patients/p6", json={"name": "Ours"})
        hidden = "SELECT version_id FROM patient WHERE id = 'p6'"
        assert run_sql(owner_url, hidden) == [(2,)]

        def contracted() -> bool:
            return bool(run_sql(runtime_url, "SELECT drop_previous_tables()")[0][0])

        wait_for(contracted)
        assert run_sql(owner_url, "SELECT to_regclass('patient')") == [(None,)]
        assert service.call("PUT", "/api/patients/p6", json={"name": "Again"}).status_code == 200


def new_record() -> Any:
    """Returns what carries rows over: all that `Backfill` needs of a record."""
    return SimpleNamespace(
        base_url=f"{PUBLIC_URL}/fhir/R4",
        writer=Writer(NumberBlocks("resource_number"), TextCache()),
    )


async def test_replicas_share_the_rows_and_do_not_wait_for_each_other(
    previous: tuple[str, str, str],
) -> None:
    runtime_url, owner_url, role = previous
    fill(owner_url)
    migrate(owner_url, "patient", runtime_role=role)
    taken = await asyncpg.connect(runtime_url)
    async with open_database(DatabaseSettings(runtime_url)) as database, taken.transaction():
        await taken.execute("SELECT FROM resource_backlog WHERE id = 'p0' FOR UPDATE")
        backfill = Backfill(database, new_record())
        async with asyncio.timeout(30):
            counts = [await backfill.carry_over_batch() for _ in range(3)]
        left = await taken.fetch("SELECT id FROM resource_backlog")
    await taken.close()
    # 300 patients and a condition, but for the one that the other replica has.
    assert counts == [BATCH_ROWS, 300 - BATCH_ROWS, 0]
    assert left == [("p0",)]


async def test_rows_that_could_not_be_carried_over_stay(previous: tuple[str, str, str]) -> None:
    runtime_url, owner_url, role = previous
    fill(owner_url)
    migrate(owner_url, "patient", runtime_role=role)

    async def fail(*arguments: Any) -> None:
        raise LookupError

    record: Any = SimpleNamespace(
        base_url=f"{PUBLIC_URL}/fhir/R4", writer=SimpleNamespace(write_versions=fail)
    )
    async with open_database(DatabaseSettings(runtime_url)) as database:
        with pytest.raises(LookupError):
            await Backfill(database, record).carry_over_batch()
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM resource_backlog") == 301


async def test_version_that_is_carried_over_is_not_written_again(
    previous: tuple[str, str, str],
) -> None:
    runtime_url, owner_url, role = previous
    fill(owner_url)
    migrate(owner_url, "patient", runtime_role=role)
    rows = "SELECT xmin::text, id, version_id FROM resource WHERE id IN ('p0', 'p1') ORDER BY id"
    async with open_database(DatabaseSettings(runtime_url)) as database:
        backfill = Backfill(database, new_record())
        while await backfill.carry_over_batch():
            pass
        async with database.connection() as connection:
            before = await connection.fetch(rows)
            await connection.execute(
                "INSERT INTO resource_backlog (type, id, is_patient)"
                " SELECT 'Patient', id, true FROM unnest(ARRAY['p0', 'p1', 'nobody']) AS id"
            )
        assert await backfill.carry_over_batch() == 3
        async with database.connection() as connection:
            assert await connection.fetch(rows) == before
            assert await connection.fetchval("SELECT count(*) FROM resource_backlog") == 0
    assert [(row["id"], row["version_id"]) for row in before] == [("p0", 1), ("p1", 2)]


def test_batches_follow_each_other_while_something_is_left(
    previous: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime_url, owner_url, role = previous
    fill(owner_url)
    migrate(owner_url, "patient", runtime_role=role)
    monkeypatch.setattr("apps.patient.storage.backfill.POLL_SECONDS", 600.0)
    with open_service(runtime_url) as service:
        wait_for(lambda: service.call("GET", "/fhir/R4/Patient").status_code == 200)


async def test_work_ends_where_the_old_tables_are_gone(previous: tuple[str, str, str]) -> None:
    runtime_url, owner_url, role = previous
    migrate(owner_url, "patient", runtime_role=role)
    record: Any = None
    async with open_database(DatabaseSettings(runtime_url)) as database:
        async with asyncio.timeout(30):
            await Backfill(database, record).run()
