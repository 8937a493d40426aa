"""What a block that fails leaves behind: no lock, no file, no server and no half of a backup."""

import argparse
import fcntl
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from infrastructure.local import __main__ as main_module
from infrastructure.local import backup
from infrastructure.local import home as module
from infrastructure.local.backup import BackupError, back_up, run
from infrastructure.local.home import (
    check_disk,
    environment_in_use,
    held_alone,
    held_lock,
    is_held,
    open_throwaway,
    sweep,
)
from infrastructure.local.postgres import open_postgres
from infrastructure.local.process import StartError
from infrastructure.local.services import MOST_RESTARTS, Services
from infrastructure.local.state import (
    STATE_VARIABLE,
    NotRunningError,
    State,
    published,
    read_state,
)
from tests.conftest import throwaway
from tests.open_files import open_files

STATE = State(
    url="http://127.0.0.1:1",
    logs="logs",
    secrets_file="secrets.json",
    user="u",
    client_id="c",
    environments={},
    targets={},
    database_urls={},
    kafka="127.0.0.1:1",
)


class FailedError(Exception):
    pass


def test_lock_is_free_after_a_block_that_failed(tmp_path: Path) -> None:
    for lock in (held_lock, held_alone):
        with suppress(FailedError), lock(tmp_path / lock.__name__):
            raise FailedError
        with lock(tmp_path / lock.__name__):
            pass


def test_lock_that_is_asked_after_is_not_taken_by_the_question(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    path.touch()
    assert [is_held(path), is_held(path)] == [False, False]
    with held_alone(path):
        assert is_held(path)


def test_environment_is_not_replaced_while_it_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOT", tmp_path)

    def may_be_replaced() -> bool:
        with (tmp_path / ".local" / "environment.lock").open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    with suppress(FailedError), environment_in_use(), environment_in_use():
        assert not may_be_replaced()
        raise FailedError
    assert may_be_replaced()


def test_throwaway_platform_that_fails_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCAL", tmp_path / ".local")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with suppress(FailedError), open_throwaway() as home:
        raise FailedError
    assert not home.directory.exists()


def test_sweeping_leaves_no_file_open(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{module.THROWAWAY}{name}").mkdir()
        (tmp_path / f"{module.THROWAWAY}{name}" / "lock").touch()
    with held_alone(tmp_path / f"{module.THROWAWAY}one" / "lock"):
        assert len(open_files(f"{tmp_path}/")) == 1
        sweep(tmp_path)
    assert open_files(f"{tmp_path}/") == []
    assert [path.name for path in tmp_path.iterdir()] == [f"{module.THROWAWAY}one"]


@pytest.mark.parametrize(("less", "is_full"), [(0, False), (1, True)])
def test_disk_needs_so_many_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, less: int, is_full: bool
) -> None:
    usage = SimpleNamespace(free=module.LEAST_FREE_BYTES - less)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    if not is_full:
        check_disk(tmp_path)
        return
    with pytest.raises(StartError, match="the disk is full"):
        check_disk(tmp_path)


def test_state_is_there_while_the_platform_runs(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with suppress(FailedError), published(STATE, path):
        assert read_state({STATE_VARIABLE: str(path)}) == STATE
        raise FailedError
    assert not path.exists()
    for content in (None, "{"):
        if content:
            path.write_text(content)
        with pytest.raises(NotRunningError, match="not ready"):
            read_state({STATE_VARIABLE: str(path)})


def test_backup_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackupError, match="cannot be written"):
        back_up(tmp_path, 1, tmp_path / "file" / "backup")
    # No passwords: the folder of the backup is made before they are missed.
    with pytest.raises(BackupError, match="cannot be written"):
        back_up(tmp_path / "nowhere", 1, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_program_that_fails_or_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "wheel_binaries", lambda: Path("/bin"))
    run("true", [], {})
    with pytest.raises(BackupError, match="false: status 1"):
        run("false", [], {})
    with pytest.raises(BackupError, match="sh: the last line"):
        run("sh", ["-c", "echo first >&2; echo the last line >&2; exit 3"], {})
    monkeypatch.setattr(backup, "BACKUP_SECONDS", 0.05)
    with pytest.raises(BackupError, match="sleep took longer"):
        run("sleep", ["60"], {})


@pytest.mark.integration
def test_server_ends_with_its_block_and_its_password_is_in_no_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with throwaway() as directory:
        with suppress(FailedError), open_postgres(directory, durable=False) as opened:
            psycopg.connect(opened.admin_url).close()
            raise FailedError
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(opened.admin_url, connect_timeout=2)
        assert not list(directory.rglob("password"))
    monkeypatch.setattr("infrastructure.local.postgres.INIT_SECONDS", 0.0)
    with throwaway() as directory:
        with (
            pytest.raises(StartError, match="initdb took longer"),
            open_postgres(directory, durable=False),
        ):
            pass
        assert not list(directory.rglob("password"))


@pytest.mark.parametrize(
    ("text", "taken"), [("1", True), ("65535", True), ("0", False), ("65536", False), ("x", False)]
)
def test_port_is_from_1_to_65535(text: str, taken: bool) -> None:
    if taken:
        assert main_module.port(text) == int(text)
        return
    with pytest.raises(argparse.ArgumentTypeError, match="a port"):
        main_module.port(text)


class FakeProcess:
    def __init__(self) -> None:
        self.status = 1

    def check(self) -> None:
        raise StartError("it ended")


def test_services_are_started_again_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.local.services.WATCH_SECONDS", 0.0)
    told: list[str] = []
    output: Any = SimpleNamespace(progress=told.append)
    services = Services(None, {}, output, (), Path())  # type: ignore[arg-type]
    services.processes = {"auth": FakeProcess()}  # type: ignore[dict-item]
    started: list[str] = []
    monkeypatch.setattr(services, "start", lambda entry: started.append(entry.name))
    with pytest.raises(StartError, match="it ended"):
        services.watch(lambda: None)
    assert started == ["auth"] * MOST_RESTARTS
    assert len(told) == MOST_RESTARTS
