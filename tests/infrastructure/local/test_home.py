import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from infrastructure.local import home as module
from infrastructure.local.home import (
    LocalSecrets,
    ask_rotation,
    check_disk,
    environment_in_use,
    held_lock,
    is_held,
    open_home,
    open_throwaway,
    sweep,
    wanted_version,
)
from infrastructure.local.process import StartError

# Its child outlives it by a second, as PostgreSQL does.
KILLED = """
import subprocess, sys, time
from pathlib import Path
from infrastructure.local.home import held_lock
with held_lock(Path(sys.argv[1])) as lock:
    subprocess.Popen(["sleep", "1"], pass_fds=(lock,))
    print("held", flush=True)
    time.sleep(60)
"""
HOLDER = """
import sys, time
from pathlib import Path
from infrastructure.local.home import held_lock
with held_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "LOCAL", tmp_path / ".local")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / ".local"


def test_second_runner_is_told_who_runs(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, lock], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with (
            pytest.raises(StartError, match=f"already runs here .process {holder.pid}"),
            held_lock(lock),
        ):
            pass
        holder.kill()
    with held_lock(lock):
        pass


def test_killed_runner_that_nobody_has_reaped_yet_is_no_runner(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, lock], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
        # Dead, and still this test's zombie.
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        with held_lock(lock):
            pass


def test_runner_waits_for_what_a_killed_one_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PREVIOUS_SECONDS", 0.3)
    lock = tmp_path / "lock"
    with held_lock(lock) as descriptor:
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=(descriptor,)
        )
    with pytest.raises(StartError, match="killed still hold"), held_lock(lock):
        pass
    child.kill()
    child.wait()
    with held_lock(lock):
        pass


def test_fresh_removes_the_data(local: Path) -> None:
    with open_home(fresh=False) as home:
        (home.directory / "kept").touch()
    with open_home(fresh=False) as home:
        assert (home.directory / "kept").exists()
    with open_home(fresh=True) as home:
        assert not (home.directory / "kept").exists()


def test_throwaway_is_removed_and_its_logs_kept_where_it_failed(local: Path) -> None:
    with open_throwaway() as failed:
        pass
    assert not failed.directory.exists()
    assert failed.logs.is_dir()
    with open_throwaway() as passed:
        passed.keep_logs = False
    assert not passed.logs.exists()


def test_logs_of_failed_throwaways_do_not_pile_up(
    local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_LOGS", 2)
    for pid in range(5):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        with open_throwaway() as home:
            os.utime(home.logs, (pid, pid))
    assert sorted(path.name for path in (local / "logs").iterdir()) == ["run-3", "run-4"]


def test_sweep_takes_what_a_killed_runner_left_and_nothing_that_runs(tmp_path: Path) -> None:
    left = tmp_path / "platform-run-left"
    left.mkdir()
    (left / "lock").touch()
    with open_throwaway() as running:
        sweep(tmp_path)
        assert running.directory.exists()
    assert not left.exists()


def test_full_disk_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_FREE_BYTES", 2**60)
    with pytest.raises(StartError, match=r"^the disk is full: .* are needed$"):
        check_disk(tmp_path)


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    made = LocalSecrets(path).make("PASSWORD")
    assert LocalSecrets(path).make("PASSWORD") == made
    assert path.stat().st_mode & 0o777 == 0o600


def test_each_rotation_is_of_the_next_version(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    assert wanted_version(LocalSecrets(path)) == 1
    assert [ask_rotation(LocalSecrets(path)) for _ in range(2)] == [2, 3]
    assert wanted_version(LocalSecrets(path)) == 3


def test_lock_is_looked_at_and_left_as_it_was(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert not is_held(lock)
    with held_lock(lock):
        assert is_held(lock)
    assert not is_held(lock)
    assert not is_held(lock)


def test_packages_are_not_replaced_while_any_platform_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOT", tmp_path)
    with environment_in_use():
        path = tmp_path / ".local" / "environment.lock"
        with environment_in_use():
            assert is_held(path)
        assert is_held(path)
    assert not is_held(path)
