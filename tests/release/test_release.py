import asyncio
import base64
import dataclasses
import secrets
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import asyncpg
import psycopg
import pytest

from apps.auth.encryption import DecryptionError, decrypt, encrypt
from apps.auth.keys import advance_keys, select_key_ring
from apps.auth.oauth.clients import select_client
from apps.auth.people.totp import totp_purpose
from apps.catalogue import DATABASES, SECRETS
from apps.kit.encryption_keys import decode_key
from apps.release.bootstrap import DatabaseRoles
from apps.release.release import (
    PREVIEW_CONNECTIONS,
    ReleaseTarget,
    by_instance,
    drop_preview,
    make_databases,
    release,
)
from apps.release.secrets import fill_secrets, generate, service_clients
from infrastructure.local.postgres import Postgres

# Other workers release on the same server.
PREFIX = f"pr_{secrets.randbelow(10**6) + 10**6}_"


class FakeStore:
    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.writes = 0

    def read(self, name: str) -> str | None:
        return self.values.get(name)

    def version(self, name: str) -> int:
        return self.versions.get(name, 1)

    def write_all(self, values: Mapping[str, str], version: int = 1) -> None:
        self.values |= values
        self.versions |= dict.fromkeys(values, version)
        self.writes += len(values)


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
                "SELECT table_name, privilege_type FROM information_schema.table_privileges WHERE "
                "grantee = %s",
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


def test_a_higher_version_gives_every_secret_a_new_value_once() -> None:
    store = FakeStore()
    first = fill_secrets(store)
    second = fill_secrets(store, version=2)
    # An operator's own secrets are not rotated here.
    changed = {name for name in SECRETS if second[name] != first[name]}
    assert changed == {name for name in SECRETS if SECRETS[name].bytes}
    assert fill_secrets(store, version=2) == second
    # An older release that runs late changes nothing.
    assert fill_secrets(store, version=1) == second


def test_what_encrypts_keeps_the_value_before_and_no_older_one() -> None:
    store = FakeStore()
    first = fill_secrets(store)
    second = fill_secrets(store, version=2)
    third = fill_secrets(store, version=3)
    for secret in SECRETS.values():
        if not secret.encrypts:
            assert "," not in third[secret.name]
            continue
        newest, _, previous = third[secret.name].partition(",")
        assert previous == second[secret.name].partition(",")[0]
        assert second[secret.name].partition(",")[2] == first[secret.name]
        assert first[secret.name] not in third[secret.name]
        assert len(base64.urlsafe_b64decode(newest)) == secret.bytes


class SlowStore(FakeStore):
    """Keeps what another release wrote a moment before."""

    def write_all(self, values: Mapping[str, str], version: int = 1) -> None:
        super().write_all({name: f"other {name}" for name in values}, version)


def test_of_two_releases_at_once_one_value_stands() -> None:
    assert fill_secrets(SlowStore()) == {name: f"other {name}" for name in SECRETS}


@pytest.mark.integration
async def test_rotated_secrets_sign_in_beside_the_ones_before(target: ReleaseTarget) -> None:
    first = await asyncio.to_thread(release, target, prefix=PREFIX)
    rotated = dataclasses.replace(target, secrets_version=2)
    second = await asyncio.to_thread(release, rotated, prefix=PREFIX)
    auth_url = target.owner_url("auth", DatabaseRoles(PREFIX + "auth"))
    connection = await asyncpg.connect(auth_url)
    try:
        for client_id, secret in (
            ("service-patient", "PATIENT_CLIENT_SECRET"),
            ("console", "CONSOLE_CLIENT_SECRET"),
        ):
            client = await select_client(connection, client_id)
            assert client is not None
            assert first[secret] != second[secret]
            assert client.check_client_secret(first[secret])
            assert client.check_client_secret(second[secret])
            assert not client.check_client_secret("another")
    finally:
        await connection.close()


@pytest.mark.integration
async def test_signing_keys_and_second_factors_survive_two_rotations(target: ReleaseTarget) -> None:
    first = await asyncio.to_thread(release, target, prefix=PREFIX)
    auth_url = target.owner_url("auth", DatabaseRoles(PREFIX + "auth"))
    connection = await asyncpg.connect(auth_url)
    try:
        await advance_keys(connection, keys_of(first), "RS256")
        ring = await select_key_ring(connection, keys_of(first))
        assert ring is not None
        user_id = await connection.fetchval(
            "UPDATE users SET totp_enabled = true, totp_secret = $1 RETURNING id", b"-"
        )
        sealed = encrypt(keys_of(first), b"BASE32", totp_purpose(str(user_id)))
        await connection.execute("UPDATE users SET totp_secret = $1", sealed)

        latest = first
        for version in (2, 3):
            rotated = dataclasses.replace(target, secrets_version=version)
            latest = await asyncio.to_thread(release, rotated, prefix=PREFIX)

        kept = await select_key_ring(connection, keys_of(latest))
        assert kept is not None
        assert kept.active.id == ring.active.id
        stored = await connection.fetchval("SELECT totp_secret FROM users")
        assert decrypt(keys_of(latest), stored, totp_purpose(str(user_id))) == b"BASE32"
        # Nothing needs the first key any more.
        with pytest.raises(DecryptionError):
            decrypt(keys_of(first), stored, totp_purpose(str(user_id)))
    finally:
        await connection.close()


def keys_of(secrets: dict[str, str]) -> bytes:
    return b"".join(decode_key(part) for part in secrets["AUTH_KEY_ENCRYPTION_KEY"].split(","))


def test_secret_has_the_bytes_that_the_catalogue_says() -> None:
    for secret in (one for one in SECRETS.values() if one.bytes):
        assert len(base64.urlsafe_b64decode(generate(secret))) == secret.bytes


def test_databases_are_grouped_by_the_instance_that_holds_them() -> None:
    hosts = {name: "two" if name == "patient" else "one" for name in DATABASES}
    target = ReleaseTarget(
        lambda name: f"postgresql://{hosts[name]}/", lambda name, roles: "", None, FakeStore(), ""
    )
    found = {urlsplit(url).hostname: names for url, names in by_instance(target)}
    assert found == {"one": ("analytics", "auth", "billing", "console"), "two": ("patient",)}


@pytest.mark.integration
@pytest.mark.parametrize(("runtime", "expected"), [(60, PREVIEW_CONNECTIONS), (4, 4)])
def test_roles_of_a_preview_open_few_connections(
    target: ReleaseTarget, postgres: Postgres, runtime: int, expected: int
) -> None:
    make_databases(dataclasses.replace(target, runtime_connections=runtime), prefix=PREFIX)
    with psycopg.connect(postgres.admin_url) as connection:
        found = connection.execute(
            "SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", (f"{PREFIX}patient",)
        ).fetchone()
    assert found == (expected,)
