"""Where PostgreSQL's data and programs are, without starting it."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from infrastructure.local import postgres_place as module
from infrastructure.local.postgres_place import (
    can_enter,
    place,
    reachable_binaries,
    remove_place,
    unprivileged,
    wheel_binaries,
)
from infrastructure.local.process import Identity, StartError
from tests.conftest import throwaway

OTHER = Identity(uid=os.geteuid() + 1, gid=os.getegid() + 1)


@pytest.mark.parametrize(
    ("mode", "by_owner", "by_other"),
    [(0o700, True, False), (0o711, True, True), (0o601, False, True), (0o644, False, False)],
)
def test_folder_is_entered_by_the_right_of_its_owner_or_of_others(
    mode: int, by_owner: bool, by_other: bool
) -> None:
    with throwaway() as parent:
        folder = parent / "folder"
        folder.mkdir()
        folder.chmod(mode)
        assert can_enter(folder, Identity(os.geteuid(), os.getegid())) is by_owner
        assert can_enter(folder, OTHER) is by_other


@pytest.mark.parametrize(("user", "is_another"), [(0, True), (1_000, False)])
def test_postgresql_runs_as_another_user_under_root_alone(
    monkeypatch: pytest.MonkeyPatch, user: int, is_another: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert (unprivileged() is not None) is is_another


def test_cluster_lies_elsewhere_where_its_user_may_not_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    directory = tmp_path / "data"
    directory.mkdir()
    monkeypatch.setattr(module, "OUTSIDE", outside)
    assert place(directory, None) == directory.resolve()
    monkeypatch.setattr(module, "can_enter", lambda path, identity: False)
    first = place(directory, OTHER)
    assert first.parent == outside
    assert first.stat().st_mode & 0o777 == 0o711
    assert place(directory, OTHER) == first
    # Its folder was removed by somebody: it gets another.
    shutil.rmtree(first)
    second = place(directory, OTHER)
    assert second.is_dir()
    assert second != first
    remove_place(directory)
    assert not second.exists()
    assert not directory.exists()
    remove_place(directory)
    assert not directory.exists()


def test_programs_that_are_not_there_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    for found, reason in (
        (None, "is not installed"),
        (SimpleNamespace(submodule_search_locations=None), "is not installed"),
        (spec, "carries no PostgreSQL 18"),
    ):
        monkeypatch.setattr("importlib.util.find_spec", lambda name, found=found: found)
        with pytest.raises(StartError, match=reason):
            wheel_binaries()
    binaries = tmp_path / "pginstall18" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "postgres").touch()
    assert wheel_binaries() == binaries


def test_programs_are_copied_once_to_where_their_user_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = tmp_path / "package" / "pginstall18"
    for folder in (install / "bin", install / "include", tmp_path / "package.libs"):
        folder.mkdir(parents=True)
    for program in ("postgres", "initdb"):
        (install / "bin" / program).touch()
    (tmp_path / "package.libs" / "a.so").touch()
    monkeypatch.setattr(module, "wheel_binaries", lambda: install / "bin")
    data = tmp_path / "data"
    data.mkdir()
    assert reachable_binaries(data, None) == install / "bin"
    monkeypatch.setattr(module, "can_enter", lambda path, identity: False)
    copied = reachable_binaries(data, OTHER)
    assert copied == data / "package" / "pginstall18" / "bin"
    assert sorted(path.name for path in copied.iterdir()) == ["initdb", "postgres"]
    assert (data / "package.libs" / "a.so").exists()
    assert not (copied.parent / "include").exists()
    (copied / "initdb").write_text("as it is")
    assert reachable_binaries(data, OTHER) == copied
    assert (copied / "initdb").read_text() == "as it is"
