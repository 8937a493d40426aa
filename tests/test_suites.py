"""`scripts/test`: which suites run, and what is told of those that cannot."""

import re
import sys
from contextlib import nullcontext
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from tests import suites
from tests.conftest import pytest_collection_modifyitems
from tests.suites import ROOT, SUITES, main, missing_tools


@pytest.mark.parametrize("word", ["nope", "unit,nope", "tests/nope", "tests/nope.py::test_x"])
def test_misspelt_suite_is_refused_and_nothing_runs(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suites, "run", lambda *_, **__: pytest.fail("it ran something"))
    assert main([word]) == 2
    assert "Suites: unit, " in capsys.readouterr().err


def test_suite_whose_tool_is_missing_is_told_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(suites, "run", lambda *_, **__: 0)
    monkeypatch.delenv("CI", raising=False)
    assert main(["clients"]) == 0
    assert "left out clients (there is no node)" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    assert main(["clients"]) == 1
    assert main(["engine"]) == 0


def test_each_of_a_suites_tools_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: name if name == "node" else None)
    assert missing_tools(SUITES["clients"]) == ["npm", "hledger"]
    monkeypatch.setattr("shutil.which", lambda name: name if name == "google-chrome" else None)
    assert missing_tools(SUITES["browser"]) == []


@pytest.mark.parametrize(
    ("file", "there"),
    [
        (".ci/run", set[str]()),
        # Not root's, so `.ci/run` installs nothing there; these GitHub's machines have.
        (".github/workflows/checks.yml", {"google-chrome", "node", "npm"}),
    ],
)
def test_ci_installs_what_its_suites_need(file: str, there: set[str]) -> None:
    named = set(re.findall(r"[\w-]+", (ROOT / file).read_text())) | there
    for suite in SUITES.values():
        assert all(named.intersection(names) for names in suite.tools) or not suite.in_ci


@pytest.mark.parametrize(
    ("failed", "again", "status"),
    [(["tests/a.py::b"], 0, 0), (["tests/a.py::b"], 1, 1), ([f"t{n}" for n in range(6)], 0, 1)],
)
def test_few_failed_tests_are_run_once_more_in_ci_and_named(
    failed: list[str],
    again: int,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(command: list[str], *_: object) -> int:
        return again if command[-len(failed) :] == failed else 1

    monkeypatch.setattr(suites, "run", run)
    monkeypatch.setattr(suites, "last_failed", lambda suite: failed)
    monkeypatch.setenv("CI", "true")
    assert main(["unit"]) == status
    named = f"unstable, passed when run again: {failed[0]}" in capsys.readouterr().err
    assert named == (status == 0)
    monkeypatch.delenv("CI")
    assert main(["unit"]) == 1


class Lane:
    """Stands for the platform's side, which runs until `with` has ended."""

    def __init__(self, events: list[str], status: int) -> None:
        self.events, self.returncode = events, status

    def __enter__(self) -> "Lane":
        self.events.append("platform starts")
        return self

    def __exit__(self, *_: object) -> None:
        self.events.append("platform ends")


@pytest.mark.parametrize(("lane", "again"), [(0, 0), (1, 0), (0, 1)])
def test_suites_run_beside_the_platforms_and_failed_tests_once_more_after_all(
    lane: int, again: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[str] = []

    def run(command: list[str], *_: object) -> int:
        events.append("again" if command[-1] == "tests/a.py::b" else "unit")
        return again if events[-1] == "again" else 1

    monkeypatch.setattr(suites, "run", run)
    monkeypatch.setattr(suites, "platform_lane", lambda *_: Lane(events, lane))
    monkeypatch.setattr(suites, "last_failed", lambda suite: ["tests/a.py::b"])
    monkeypatch.setattr(suites, "missing_tools", lambda suite: [])
    monkeypatch.delenv("PLATFORM_URL", raising=False)
    monkeypatch.setenv("CI", "true")
    assert main(["unit,system"]) == (lane or again)
    assert events == ["platform starts", "unit", "platform ends", "again"]
    failed = re.findall(r"failed: (\w+)", capsys.readouterr().err)
    assert failed == ["unit"] * again + ["system"] * lane


@pytest.mark.parametrize(("arguments", "status"), [([], 1), (["-k", "nothing"], 0)])
def test_suite_without_a_test_fails_unless_arguments_left_none(
    arguments: list[str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites, "run", lambda *_: suites.NO_TESTS)
    assert main(["unit", *arguments]) == status


def test_output_of_a_stopped_suite_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    def run_and_stop() -> None:
        with suites.whole_output() as output:
            output.write(b"dots \xff\n")
            sys.exit(143)

    with pytest.raises(SystemExit):
        run_and_stop()
    assert capfd.readouterr().out.startswith("dots ")


def test_output_beside_another_suite_comes_whole(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shown = []

    def pytest_of(suite: suites.Suite) -> list[str]:
        return ["sh", "-c", "echo dots; echo a warning >&2; exit 3"]

    real_run = suites.run

    def run(command: list[str], *output: Any) -> int:
        status = real_run(command, *output)
        shown.append(capfd.readouterr().out)
        return status

    monkeypatch.setattr(suites, "pytest", pytest_of)
    monkeypatch.setattr(suites, "run", run)
    assert suites.first_run(SUITES["browser"], [], beside=True) == 3
    assert shown == [""]
    assert capfd.readouterr().out == "== browser\ndots\na warning\n"
    assert suites.first_run(SUITES["browser"], [], beside=False) == 3
    assert shown[1] == "== browser\ndots\n"


@pytest.mark.parametrize("name", [name for name in SUITES if name != "unit"])
def test_suite_is_looked_for_where_its_mark_is_named(name: str) -> None:
    found = suites.files(SUITES[name], ["-q", "--durations=5"])
    assert found and all(f"mark.{name}" in (ROOT / path).read_text() for path in found)
    assert suites.files(SUITES[name], ["-q", "tests/kit/test_rpc.py::test_x"]) == []


def test_unit_tests_are_looked_for_everywhere() -> None:
    assert suites.files(SUITES["unit"], []) == []


@pytest.mark.parametrize(("text", "refused"), [("borrowed = mark", True), ("mark.system", False)])
def test_mark_that_the_file_does_not_name_is_refused(
    tmp_path: Path, request: pytest.FixtureRequest, text: str, refused: bool
) -> None:
    (tmp_path / "test_it.py").write_text(text)
    item: Any = copy(request.node)
    item.path, item.own_markers = tmp_path / "test_it.py", [pytest.mark.system.mark]
    with pytest.raises(pytest.UsageError, match="system") if refused else nullcontext():
        pytest_collection_modifyitems([item])
