"""The platform's PostgreSQL and Kafka for the tests that need them: the running ones, or a
pair of its own.

`scripts/test` runs the tests inside `scripts/up --run`, which names them in the environment.
"""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import settings

from apps.catalogue import TOPICS
from infrastructure.local.postgres import Postgres
from tests.statements import watch
from tests.suites import SUITES

ROOT = Path(__file__).parents[1]
# (runtime_url, owner_url)
Urls = tuple[str, str]
MakeDatabase = Callable[[str], contextlib.AbstractContextManager[Urls]]

# A slow example says something about the machine only. All else is as Hypothesis has it,
# here and in CI.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses a test whose file does not name its suite's mark: `scripts/test` goes by the text."""
    texts: dict[Path, str] = {}
    for item in items:
        if item.path not in texts:
            texts[item.path] = item.path.read_text(encoding="utf-8")
        for mark in {each.name for each in item.iter_markers()}.intersection(SUITES):
            if f"mark.{mark}" not in texts[item.path]:
                raise pytest.UsageError(f"{item.path}: {item.name} is of {mark}, unnamed there")


STATEMENTS = watch()


@pytest.fixture(autouse=True)
def statements() -> Iterator[None]:
    """Fails the test in which a service of this process locks, or writes in several statements,
    without a transaction.
    """
    yield
    assert STATEMENTS.take() == []


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Yields a server; `admin_url` is of a role with CREATEDB and CREATEROLE that
    is no superuser.
    """
    admin_url = os.environ.get("PLATFORM_POSTGRES_ADMIN_URL")
    if admin_url:
        parts = urlsplit(admin_url)
        assert parts.hostname and parts.port
        yield Postgres(parts.hostname, parts.port, admin_url)
        return
    from infrastructure.local.postgres import open_postgres

    with throwaway() as directory, open_postgres(directory, durable=False) as opened:
        yield opened


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Yields the bootstrap servers of a broker that has the catalogue's topics."""
    bootstrap_servers = os.environ.get("PLATFORM_KAFKA")
    if bootstrap_servers:
        yield bootstrap_servers
        return
    from infrastructure.local.jars import resolve_jars
    from infrastructure.local.kafka import create_topics, open_kafka

    with (
        throwaway() as directory,
        open_kafka(directory, resolve_jars(ROOT / ".local" / "maven")) as opened,
    ):
        opened.wait()
        create_topics(opened.bootstrap_servers, TOPICS.values())
        yield opened.bootstrap_servers


@pytest.fixture(scope="session")
def make_database(postgres: Postgres) -> MakeDatabase:
    """`with make_database("patient") as (runtime_url, owner_url):` a new, migrated database,
    dropped at the end.
    """
    from apps.release.bootstrap import DatabaseRoles, bootstrap, drop_databases
    from apps.release.migrate import migrate

    @contextlib.contextmanager
    def make(name: str) -> Iterator[Urls]:
        prefix = f"t_{secrets.token_hex(4)}_"
        password = secrets.token_urlsafe(12)
        roles = DatabaseRoles(prefix + name)
        runtime_url, owner_url = (
            f"postgresql://{role}:{password}@{postgres.host}:{postgres.port}/{roles.database}"
            for role in (roles.runtime, roles.owner)
        )
        bootstrap(postgres.admin_url, (name,), prefix=prefix, password_of=lambda role: password)
        try:
            migrate(owner_url, name, runtime_role=roles.runtime)
            yield runtime_url, owner_url
        finally:
            drop_databases(postgres.admin_url, (name,), prefix=prefix)

    return make


@pytest.fixture
def unhurried_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives a pool more time, for tests of many calls at once: a slow machine opens
    connections slowly.
    """
    monkeypatch.setattr("apps.kit.database.ACQUIRE_TIMEOUT_SECONDS", 20.0)


@pytest.fixture(scope="session")
def auth_database(make_database: MakeDatabase) -> Iterator[str]:
    with make_database("auth") as (runtime_url, _):
        yield runtime_url


@pytest.fixture(scope="session")
def patient_database(make_database: MakeDatabase) -> Iterator[str]:
    with make_database("patient") as (runtime_url, _):
        yield runtime_url


@pytest.fixture(scope="session")
def billing_database(make_database: MakeDatabase) -> Iterator[str]:
    with make_database("billing") as (runtime_url, _):
        yield runtime_url


@pytest.fixture(scope="session")
def analytics_database(make_database: MakeDatabase) -> Iterator[str]:
    with make_database("analytics") as (runtime_url, _):
        yield runtime_url


@contextlib.contextmanager
def throwaway(parent: Path | None = None) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="platform-test-", dir=parent))
    # PostgreSQL's own user must be able to pass.
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
