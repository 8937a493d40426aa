from collections.abc import Iterator, Mapping

import psycopg
import pytest

from apps.release.bootstrap import DatabaseRoles
from apps.release.release import ReleaseTarget, drop_preview, release
from infrastructure.local.postgres import Postgres

pytestmark = pytest.mark.integration

PREFIX = "pr_606_"


class Store:
    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def read(self, name: str) -> str | None:
        return self.values.get(name)

    def version(self, name: str) -> int:
        return 1

    def write_all(self, values: Mapping[str, str], version: int = 1) -> None:
        self.values |= values


@pytest.fixture
def target(postgres: Postgres) -> Iterator[ReleaseTarget]:
    at = f"{postgres.host}:{postgres.port}"
    target = ReleaseTarget(
        admin_url=lambda name: postgres.admin_url,
        owner_url=lambda name, roles: f"postgresql://{roles.owner}:secret@{at}/{roles.database}",
        password_of=lambda role: "secret",
        secrets=Store(),
        public_url="https://pr-1.dev.example.org",
    )
    yield target
    drop_preview(target, prefix=PREFIX)


def test_release_of_a_preview_lets_its_visitors_in(target: ReleaseTarget) -> None:
    secrets = release(target, prefix=PREFIX)
    assert release(target, prefix=PREFIX) == secrets
    assert {"PLATFORM_PASSWORD", "PLATFORM_CLIENT_SECRET"} <= set(secrets)
    with psycopg.connect(target.owner_url("auth", DatabaseRoles(f"{PREFIX}auth"))) as connection:
        users = connection.execute("SELECT count(*) FROM users").fetchone()
        client = connection.execute("SELECT count(*) FROM clients WHERE id = 'preview'").fetchone()
    assert users == (1,)
    assert client == (1,)
