import base64
import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from apps.catalogue import DATABASES, SECRETS
from apps.release.bootstrap import DatabaseRoles
from apps.release.release import ReleaseTarget, by_instance, drop_preview, release
from apps.release.secrets import fill_secrets, generate, service_clients
from infrastructure.local.postgres import Postgres

# Other workers release on the same server.
PREFIX = f"pr_{secrets.randbelow(10**6) + 10**6}_"


class FakeStore:
    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.writes = 0

    def read(self, name: str) -> str | None:
        return self.values.get(name)

    def write(self, name: str, value: str) -> None:
        self.values[name] = value
        self.writes += 1


@pytest.fixture
def target(postgres: Postgres) -> Iterator[ReleaseTarget]:
    at = f"{postgres.host}:{postgres.port}"
    target = ReleaseTarget(
        admin_url=lambda name: postgres.admin_url,
        owner_url=lambda name, roles: f"postgresql://{roles.owner}:secret@{at}/{roles.database}",
        password_of=lambda role: "secret",
        secrets=FakeStore(),
        public_url="http://127.0.0.1:4004",
    )
    yield target
    drop_preview(target, prefix=PREFIX)


@pytest.mark.integration
def test_release_of_a_preview_is_repeatable(target: ReleaseTarget) -> None:
    first = release(target, prefix=PREFIX)
    assert release(target, prefix=PREFIX) == first
    for name in DATABASES:
        with psycopg.connect(target.owner_url(name, DatabaseRoles(PREFIX + name))) as connection:
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


@pytest.mark.integration
def test_release_registers_a_client_for_every_service_that_calls(target: ReleaseTarget) -> None:
    filled = release(target, prefix=PREFIX)
    with psycopg.connect(target.owner_url("auth", DatabaseRoles(PREFIX + "auth"))) as connection:
        there = {row[0] for row in connection.execute("SELECT id FROM clients").fetchall()}
        stored = connection.execute(
            "SELECT secret_hash FROM clients WHERE id = 'service-patient'"
        ).fetchone()
    assert service_clients(filled).keys() <= there
    assert stored is not None
    assert filled["PATIENT_CLIENT_SECRET"].encode() not in bytes(stored[0])


@pytest.mark.integration
def test_services_may_not_change_what_is_append_only(target: ReleaseTarget) -> None:
    """Audit and ledger tables: the runtime role inserts and selects, and nothing else."""
    release(target, prefix=PREFIX)
    for name in DATABASES:
        roles = DatabaseRoles(PREFIX + name)
        with psycopg.connect(target.owner_url(name, roles)) as connection:
            rows = connection.execute(
                "SELECT table_name, privilege_type FROM information_schema.table_privileges WHERE grantee = %s",
                (roles.runtime,),
            ).fetchall()
        granted: dict[str, set[str]] = {}
        for table, privilege in rows:
            granted.setdefault(str(table), set()).add(str(privilege))
        assert not {"TRUNCATE", "TRIGGER", "REFERENCES"} & {privilege for _, privilege in rows}
        for table, privileges in granted.items():
            if "audit" in table or "ledger" in table:
                assert privileges <= {"INSERT", "SELECT"}, f"{name}: {table}"


def test_secrets_are_filled_once() -> None:
    store = FakeStore()
    first = fill_secrets(store)
    assert store.writes == len(SECRETS)
    assert fill_secrets(store) == first
    assert store.writes == len(SECRETS)


def test_secret_has_the_bytes_that_the_catalogue_says() -> None:
    for secret in SECRETS.values():
        assert len(base64.urlsafe_b64decode(generate(secret))) == secret.bytes


def test_databases_are_grouped_by_the_instance_that_holds_them() -> None:
    hosts = {name: "two" if name == "patient" else "one" for name in DATABASES}
    target = ReleaseTarget(
        lambda name: f"postgresql://{hosts[name]}/", lambda name, roles: "", None, FakeStore(), ""
    )
    found = {urlsplit(url).hostname: names for url, names in by_instance(target)}
    assert found == {"one": ("analytics", "auth", "billing", "console"), "two": ("patient",)}
