import secrets
import threading
import time
from pathlib import Path

import psycopg
import pytest
from alembic import op

from apps.catalogue import DATABASES
from apps.release import migrate as module
from apps.release.bootstrap import bootstrap, drop
from apps.release.migrate import migrate, scripts
from infrastructure.local.postgres import Postgres

pytestmark = pytest.mark.integration

# Other workers migrate on the same server.
PREFIX = f"pr_{secrets.randbelow(10**6) + 10**6}_"
MAX_STATEMENTS = 100
FIRST = """
from alembic import op
from apps.kit.migrations import runtime_role
revision, down_revision, branch_labels, depends_on = "0001", None, None, None
def upgrade():
    op.execute("CREATE TABLE event (id int)")
    op.execute("SELECT pg_sleep(0.2)")
    op.execute(f"GRANT SELECT, INSERT ON event TO {runtime_role()}")
"""
SECOND = """
from alembic import op
revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None
def upgrade():
    op.execute("ALTER TABLE event ADD COLUMN kind text")
"""


@pytest.fixture
def owner_url(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    versions = tmp_path / "sample" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "0001_event.py").write_text(FIRST)
    (versions / "0002_kind.py").write_text(SECOND)
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    bootstrap(postgres.admin_url, ("sample",), prefix=PREFIX, password_of=lambda role: "secret")
    yield f"postgresql://{PREFIX}sample_owner:secret@{postgres.host}:{postgres.port}/{PREFIX}sample"
    drop(postgres.admin_url, prefix=PREFIX)


def test_runtime_role_gets_what_the_migration_grants_and_no_more(owner_url: str) -> None:
    assert migrate(owner_url, "sample", runtime_role=f"{PREFIX}sample") == "0002"
    with psycopg.connect(
        owner_url.replace(f"{PREFIX}sample_owner", f"{PREFIX}sample"), autocommit=True
    ) as connection:
        connection.execute("INSERT INTO event VALUES (1, 'made')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM event")


def test_two_migrations_at_once_are_safe(owner_url: str) -> None:
    results: list[str | Exception | None] = []

    def run() -> None:
        try:
            results.append(migrate(owner_url, "sample", runtime_role=f"{PREFIX}sample"))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert results == ["0002", "0002"]


def test_migration_waits_for_its_turn_for_a_bounded_time(
    owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TURN_TIMEOUT_MS", 200)
    with psycopg.connect(owner_url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (module.ADVISORY_LOCK,))
        with pytest.raises(Exception, match="lock timeout"):
            migrate(
                owner_url,
                "sample",
                runtime_role=f"{PREFIX}sample",
                options="-c statement_timeout=15s",
            )
    assert migrate(owner_url, "sample", runtime_role=f"{PREFIX}sample") == "0002"


def test_migration_that_waits_for_a_lock_fails_and_can_be_repeated(
    owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TURN_TIMEOUT_MS", 15_000)
    monkeypatch.setattr(module, "LOCK_TIMEOUT_MS", 200)
    with psycopg.connect(owner_url) as connection:
        connection.execute("CREATE TABLE event (id int)")
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        connection.commit()
        connection.execute("LOCK TABLE event IN ACCESS SHARE MODE")
        began = time.monotonic()
        with pytest.raises(Exception, match="lock timeout"):
            migrate(owner_url, "sample", runtime_role=f"{PREFIX}sample")
        assert time.monotonic() - began < 10
    assert migrate(owner_url, "sample", runtime_role=f"{PREFIX}sample") == "0002"


@pytest.mark.parametrize("service", DATABASES)
def test_each_migration_of_a_service_can_be_repeated_after_any_of_its_statements(
    service: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"pr_{secrets.randbelow(10**6) + 10**6}_"
    execute, done, left = op.execute, 0, 0

    def execute_some(statement: str) -> None:
        nonlocal left
        if left == 0:
            raise InterruptedError
        left -= 1
        execute(statement)

    monkeypatch.setattr(op, "execute", execute_some)
    bootstrap(postgres.admin_url, (service,), prefix=prefix, password_of=lambda role: "secret")
    url = f"postgresql://{prefix}{service}_owner:secret@{postgres.host}:{postgres.port}"
    try:
        # One statement further each time: what a migration committed is not in its own way.
        for done in range(1, MAX_STATEMENTS):
            left = done
            try:
                migrate(f"{url}/{prefix}{service}", service, runtime_role=f"{prefix}{service}")
            except InterruptedError:
                continue
            break
    finally:
        drop(postgres.admin_url, prefix=prefix)
    assert 1 < done < MAX_STATEMENTS - 1


def test_service_without_migrations_has_nothing_to_do() -> None:
    assert scripts("gateway") is None
