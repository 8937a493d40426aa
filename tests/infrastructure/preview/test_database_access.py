"""What a preview cannot reach in the database server that it shares: a real PostgreSQL, the
release's own roles.
"""

import secrets
from typing import Any

import psycopg
import pytest
from psycopg import sql

from apps.release.bootstrap import DatabaseRoles, bootstrap, drop, drop_databases
from infrastructure.local.postgres import Postgres

pytestmark = pytest.mark.integration
# Of this worker alone: another runs these tests beside it, on the same server. The one's number
# begins the other's.
NAMES = (f"door_{secrets.token_hex(4)}",)
NUMBER = 1_000 + secrets.randbelow(3_000)
PREFIXES = ("", f"pr_{NUMBER}_", f"pr_{NUMBER}2_")
BASE, ONE, TWELVE = (DatabaseRoles(prefix + NAMES[0]) for prefix in PREFIXES)


def passwords(role: str) -> str:
    return f"secret of {role}"


@pytest.fixture
def beside(postgres: Postgres) -> Any:
    """The databases of two previews beside the base's, each with a row of its own."""
    for prefix in PREFIXES:
        bootstrap(postgres.admin_url, NAMES, prefix=prefix, password_of=passwords)
    yield postgres
    for prefix in PREFIXES:
        drop_databases(postgres.admin_url, NAMES, prefix=prefix)


def enter(postgres: Postgres, role: str, database: str) -> None:
    with psycopg.connect(
        host=postgres.host,
        port=postgres.port,
        user=role,
        password=passwords(role),
        dbname=database,
        connect_timeout=10,
    ) as connection:
        connection.execute("SELECT 1")


@pytest.mark.parametrize("role", [ONE.runtime, ONE.owner], ids=["runtime", "owner"])
@pytest.mark.parametrize(
    "database", [BASE.database, TWELVE.database], ids=["the base's", "another preview's"]
)
def test_preview_cannot_enter_the_bases_database_nor_another_previews(
    beside: Postgres, role: str, database: str
) -> None:
    enter(beside, role, ONE.database)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        enter(beside, role, database)


def test_preview_cannot_take_on_another_role(beside: Postgres) -> None:
    for other in (BASE.owner, TWELVE.owner, ONE.owner):
        with psycopg.connect(
            host=beside.host,
            port=beside.port,
            user=ONE.runtime,
            password=passwords(ONE.runtime),
            dbname=ONE.database,
        ) as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(other)))


def test_drop_of_one_preview_leaves_the_one_whose_name_it_begins(beside: Postgres) -> None:
    drop(beside.admin_url, prefix=PREFIXES[1])
    enter(beside, TWELVE.runtime, TWELVE.database)
    enter(beside, BASE.runtime, BASE.database)


@pytest.mark.parametrize("prefix", ["", "pr_1", "pr__", "patient", "pr_0_", "%"])
def test_drop_refuses_what_is_no_previews_prefix(beside: Postgres, prefix: str) -> None:
    with pytest.raises(ValueError, match="only a preview"):
        drop(beside.admin_url, prefix=prefix)
    enter(beside, BASE.runtime, BASE.database)
