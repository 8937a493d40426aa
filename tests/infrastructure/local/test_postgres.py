import os
import shutil
from pathlib import Path

import psycopg
import pytest

from infrastructure.local import postgres_place as module
from infrastructure.local.postgres import Postgres, open_postgres
from infrastructure.local.postgres_place import can_enter, place, remove_place
from infrastructure.local.process import Identity, StartError
from tests.conftest import throwaway

pytestmark = pytest.mark.integration
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")


def test_administrator_is_no_superuser(postgres: Postgres) -> None:
    with psycopg.connect(postgres.admin_url) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname "
            "= current_user"
        ).fetchone()
        version = connection.info.server_version
    assert row == (False, True, True, False)
    assert version // 10000 == 18


def test_nobody_connects_without_the_password(postgres: Postgres) -> None:
    for role in ("postgres", "platform_admin"):
        with pytest.raises(
            psycopg.OperationalError, match=r"no password supplied|password authentication failed"
        ):
            psycopg.connect(f"postgresql://{role}@{postgres.host}:{postgres.port}/postgres")


def test_cluster_that_takes_too_long_to_make_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.local.postgres.INIT_SECONDS", 0.0)
    with (
        throwaway() as directory,
        pytest.raises(StartError, match="initdb took longer"),
        open_postgres(directory, durable=False),
    ):
        pass


@AS_ROOT
def test_root_in_a_closed_folder_widens_no_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    outside = tmp_path / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    outside.mkdir()
    # Everything down to it may be passed, as /var/tmp may.
    monkeypatch.setattr(module, "OUTSIDE", Path("/var/tmp"))
    directory = closed / "postgres"
    with open_postgres(directory, durable=False) as opened:
        psycopg.connect(opened.admin_url).close()
        data = place(directory, module.unprivileged())
        assert data.is_relative_to("/var/tmp")
        assert (data / "cluster").stat().st_mode & 0o777 == 0o700
    assert closed.stat().st_mode & 0o777 == 0o700
    # A throwaway one, as this, takes it away by itself.
    assert not data.exists()
    data = place(directory, module.unprivileged())
    remove_place(directory)
    assert not data.exists()


@AS_ROOT
def test_binaries_in_a_closed_folder_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = can_enter
    monkeypatch.setattr(
        module,
        "can_enter",
        lambda path, identity: "pginstall18" not in str(path) and real(path, identity),
    )
    with throwaway(module.OUTSIDE) as directory, open_postgres(directory, durable=False) as opened:
        psycopg.connect(opened.admin_url).close()


def test_folder_that_another_may_not_enter_is_seen(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert not can_enter(tmp_path, Identity(uid=65534, gid=65534))


def test_cluster_lasts_and_survives_a_kill(tmp_path: Path) -> None:
    # Under pytest's own folder others may not pass; /var/tmp is open.
    with throwaway(module.OUTSIDE) as directory:
        with (
            open_postgres(directory) as opened,
            psycopg.connect(opened.admin_url, autocommit=True) as connection,
        ):
            connection.execute("CREATE TABLE kept (id int)")
            assert opened.process is not None
            connection.close()
            os.kill(opened.process.pid, 9)
        with open_postgres(directory) as opened, psycopg.connect(opened.admin_url) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
