"""What a preview cannot reach in the database server that it shares: a real PostgreSQL, the release's own roles."""

from typing import Any

import psycopg
import pytest
from psycopg import sql

from apps.release.bootstrap import bootstrap, drop
from infrastructure.local.postgres import Postgres

pytestmark = pytest.mark.integration


def passwords(role: str) -> str:
    return f"secret of {role}"


@pytest.fixture
def beside(postgres: Postgres) -> Any:
    """The databases of two previews beside the base's, each with a row of its own."""
    prefixes = ("", "pr_1_", "pr_12_")
    names = ("door",)
    for prefix in prefixes:
        bootstrap(postgres.admin_url, names, prefix=prefix, password_of=passwords)
    yield postgres
    for prefix in prefixes[1:]:
        drop(postgres.admin_url, prefix=prefix)
    with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE door WITH (FORCE)")
        for role in ("door", "door_owner"):
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def enter(postgres: Postgres, role: str, database: str) -> None:
    with psycopg.connect(
        host=postgres.host, port=postgres.port, user=role, password=passwords(role), dbname=database, connect_timeout=10
    ) as connection:
        connection.execute("SELECT 1")


@pytest.mark.parametrize("role", ["pr_1_door", "pr_1_door_owner"])
@pytest.mark.parametrize("database", ["door", "pr_12_door"])
def test_preview_cannot_enter_the_bases_database_nor_another_previews(
    beside: Postgres, role: str, database: str
) -> None:
    enter(beside, role, "pr_1_door")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        enter(beside, role, database)


def test_preview_cannot_take_on_another_role(beside: Postgres) -> None:
    for other in ("door_owner", "pr_12_door_owner", "pr_1_door_owner"):
        with psycopg.connect(
            host=beside.host, port=beside.port, user="pr_1_door", password=passwords("pr_1_door"), dbname="pr_1_door"
        ) as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(other)))


def test_drop_of_one_preview_leaves_the_one_whose_name_it_begins(beside: Postgres) -> None:
    drop(beside.admin_url, prefix="pr_1_")
    enter(beside, "pr_12_door", "pr_12_door")
    enter(beside, "door", "door")


@pytest.mark.parametrize("prefix", ["", "pr_1", "pr__", "patient", "pr_0_", "%"])
def test_drop_refuses_what_is_no_previews_prefix(beside: Postgres, prefix: str) -> None:
    with pytest.raises(ValueError, match="only a preview"):
        drop(beside.admin_url, prefix=prefix)
    enter(beside, "door", "door")
