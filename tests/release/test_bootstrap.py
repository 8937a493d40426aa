import psycopg
import pytest

from apps.release.bootstrap import (
    ADVISORY_LOCK,
    DatabaseRoles,
    bootstrap,
    drop,
    drop_databases,
)
from infrastructure.local.postgres import Postgres

pytestmark = pytest.mark.integration


def test_service_enters_its_own_database_only(postgres: Postgres) -> None:
    for prefix in ("pr_1_", "pr_12_"):
        bootstrap(
            postgres.admin_url,
            ("patient", "billing"),
            prefix=prefix,
            password_of=lambda role: "secret",
        )
    try:
        at = f"postgresql://pr_1_patient:secret@{postgres.host}:{postgres.port}"
        with psycopg.connect(f"{at}/pr_1_patient") as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("pr_1_patient",)
        for other in ("pr_1_billing", "pr_12_patient", "platform", "postgres", "template1"):
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                psycopg.connect(f"{at}/{other}")
    finally:
        for prefix in ("pr_1_", "pr_12_"):
            drop(postgres.admin_url, prefix=prefix)


def test_bootstrap_is_repeatable_and_sets_the_new_password(postgres: Postgres) -> None:
    names, at = ("patient",), f"{postgres.host}:{postgres.port}/pr_2_patient"
    try:
        for password in ("first", "second"):
            bootstrap(
                postgres.admin_url,
                names,
                prefix="pr_2_",
                password_of={
                    f"pr_2_{role}": password for role in ("patient", "patient_owner")
                }.__getitem__,
            )
        psycopg.connect(f"postgresql://pr_2_patient:second@{at}").close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(f"postgresql://pr_2_patient:first@{at}")
    finally:
        drop(postgres.admin_url, prefix="pr_2_")


def test_database_whose_drop_was_cut_off_is_opened_again(postgres: Postgres) -> None:
    names, at = ("patient",), f"{postgres.host}:{postgres.port}/pr_7_patient"
    bootstrap(postgres.admin_url, names, prefix="pr_7_", password_of=lambda role: "secret")
    try:
        with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
            admin.execute("ALTER DATABASE pr_7_patient ALLOW_CONNECTIONS false")
        bootstrap(postgres.admin_url, names, prefix="pr_7_", password_of=lambda role: "secret")
        psycopg.connect(f"postgresql://pr_7_patient:secret@{at}").close()
    finally:
        drop(postgres.admin_url, prefix="pr_7_")


def test_runtime_role_may_not_make_tables(postgres: Postgres) -> None:
    bootstrap(postgres.admin_url, ("patient",), prefix="pr_3_", password_of=lambda role: "secret")
    try:
        with psycopg.connect(
            f"postgresql://pr_3_patient:secret@{postgres.host}:{postgres.port}/pr_3_patient"
        ) as c:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                c.execute("CREATE TABLE mine (id int)")
            c.rollback()
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                c.execute("CREATE TEMPORARY TABLE mine (id int)")
    finally:
        drop(postgres.admin_url, prefix="pr_3_")


def test_drop_takes_a_database_in_use_and_its_roles(postgres: Postgres) -> None:
    roles = DatabaseRoles("pr_4_patient")
    bootstrap(postgres.admin_url, ("patient",), prefix="pr_4_", password_of=lambda role: "secret")
    with psycopg.connect(
        f"postgresql://pr_4_patient:secret@{postgres.host}:{postgres.port}/pr_4_patient"
    ):
        drop(postgres.admin_url, prefix="pr_4_")
    drop(postgres.admin_url, prefix="pr_4_")
    with psycopg.connect(postgres.admin_url) as connection:
        left = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname IN (%s, %s)", (roles.owner, roles.runtime)
        ).fetchall()
    assert left == []


def test_drop_takes_what_a_previews_own_version_made_and_no_other_previews(
    postgres: Postgres,
) -> None:
    made = (("pr_5_", ("patient", "pharmacy")), ("pr_55_", ("patient",)))
    there = (
        "SELECT datname FROM pg_database WHERE datname LIKE 'pr\\_5%'"
        " UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE 'pr\\_5%' ORDER BY 1"
    )
    try:
        for prefix, names in made:
            bootstrap(postgres.admin_url, names, prefix=prefix, password_of=lambda role: "secret")
        with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
            # A drop that was cut off had left a database's roles.
            admin.execute("DROP DATABASE pr_5_patient")
            drop(postgres.admin_url, prefix="pr_5_")
            left = admin.execute(there).fetchall()
    finally:
        for prefix, names in made:
            drop_databases(postgres.admin_url, names, prefix=prefix)
    assert left == [("pr_55_patient",), ("pr_55_patient",), ("pr_55_patient_owner",)]


@pytest.mark.parametrize(
    "prefix", ["", "pr_", "pr_1", "pr_0_", "pr_x_", "pr_1_pr_2_", "t_1_", "pr_1_\n"]
)
def test_drop_refuses_all_but_a_preview(postgres: Postgres, prefix: str) -> None:
    with pytest.raises(ValueError, match="only a preview"):
        drop(postgres.admin_url, prefix=prefix)


def test_drop_of_what_is_not_there_is_no_error(postgres: Postgres) -> None:
    drop_databases(postgres.admin_url, ("patient",), prefix="pr_99_")


def test_only_one_release_at_a_time_makes_or_drops_databases(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.release.bootstrap.TURN_TIMEOUT_MS", 200)
    with psycopg.connect(postgres.admin_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (ADVISORY_LOCK,))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            bootstrap(postgres.admin_url, ("patient",), prefix="pr_8_", password_of=lambda _: "s")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            drop_databases(postgres.admin_url, ("patient",), prefix="pr_8_")
        found = other.execute(
            "SELECT true FROM pg_database WHERE datname = 'pr_8_patient'"
        ).fetchone()
        assert found is None
