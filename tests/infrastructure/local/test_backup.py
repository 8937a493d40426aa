"""The drill: a base backup of a server that runs, and the way back to it."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infrastructure.local import backup
from infrastructure.local.backup import BackupError, back_up, check_backup, restore
from infrastructure.local.postgres import open_postgres
from infrastructure.local.postgres_place import remove_place

pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The data folder of a platform that has secrets and no databases yet."""
    made = tmp_path / "data"
    made.mkdir()
    (made / "secrets.json").write_text(json.dumps({"AUTH_KEY_ENCRYPTION_KEY": "first"}))
    yield made
    remove_place(made / "postgres")


def test_what_was_there_at_the_backup_is_there_after_a_restore_and_nothing_later(
    home: Path, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    with open_postgres(home / "postgres") as opened:
        with psycopg.connect(opened.admin_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE notes (text text)")
            connection.execute("INSERT INTO notes VALUES ('before')")
            back_up(home, opened.port, target)
            connection.execute("INSERT INTO notes VALUES ('after')")
    (home / "secrets.json").write_text(json.dumps({"AUTH_KEY_ENCRYPTION_KEY": "second"}))

    kept = restore(home, target)

    assert kept is not None
    assert (kept / "PG_VERSION").exists()
    assert json.loads((home / "secrets.json").read_text()) == {"AUTH_KEY_ENCRYPTION_KEY": "first"}
    assert (home / "secrets.json").stat().st_mode & 0o777 == 0o600
    with open_postgres(home / "postgres") as opened:
        with psycopg.connect(opened.admin_url) as connection:
            assert connection.execute("SELECT text FROM notes").fetchall() == [("before",)]


def test_a_backup_is_never_written_over_and_is_its_owners_alone(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    with open_postgres(home / "postgres", durable=False) as opened:
        back_up(home, opened.port, target)
        with pytest.raises(BackupError, match="is there already"):
            back_up(home, opened.port, target)
    assert target.stat().st_mode & 0o777 == 0o700
    assert (target / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_backup_that_lacks_a_byte_is_refused_and_the_databases_stay(
    home: Path, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    with open_postgres(home / "postgres", durable=False) as opened:
        back_up(home, opened.port, target)
    control = target / backup.BASE / "global" / "pg_control"
    whole = control.read_bytes()
    for content, fault in (
        (whole[:-1], "bytes, not"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "is not what the server sent"),
        (None, "is not whole"),
    ):
        control.unlink() if content is None else control.write_bytes(content)
        with pytest.raises(BackupError, match=fault):
            restore(home, target)
    assert not list(home.rglob("cluster.before-*"))


def test_what_is_no_backup_or_of_another_version_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="is no backup"):
        check_backup(tmp_path)
    (tmp_path / backup.BASE).mkdir()
    (tmp_path / backup.BASE / "PG_VERSION").write_text("17\n")
    with pytest.raises(BackupError, match="of PostgreSQL 17, not 18"):
        check_backup(tmp_path)


def test_a_server_that_is_not_there_leaves_no_half_backup(home: Path, tmp_path: Path) -> None:
    (home / "postgres").mkdir()
    with pytest.raises(BackupError, match="pg_basebackup"):
        back_up(home, 1, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
    assert not (tmp_path / "backup.part").exists()
