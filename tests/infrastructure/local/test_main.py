"""The runner's command line, with its platform replaced."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infrastructure.local import __main__ as module
from infrastructure.local import home, platform
from infrastructure.local.process import KilledError, StartError
from tests.ports import free_port

STOPPED = """
import os, sys
from infrastructure.local import __main__ as module
module.run_command = lambda options: os.kill(os.getpid(), int(sys.argv[1]))
sys.exit(module.main(["--run", "true"]))
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_runner_that_is_stopped_tells_by_which_signal(number: signal.Signals, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(int(number))], check=False, timeout=60
    )
    assert done.returncode == status


def test_broker_that_is_killed_is_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def killed(*_: Any, **__: Any) -> Iterator[None]:
        raise KilledError("kafka", signal.SIGKILL)
        yield

    monkeypatch.setattr(home, "LOCAL", tmp_path)
    monkeypatch.setattr(module, "open_platform", killed)
    monkeypatch.setattr(module, "stop_by_signal", lambda: None)
    assert module.main(["--port", str(free_port())]) == 1
    log = tmp_path / "logs" / "kafka.log"
    assert capsys.readouterr().err == (
        f"scripts/up: kafka was killed (SIGKILL): run scripts/up again, the data is kept (log: "
        f"{log})\n"
    )


def test_fresh_asks_before_it_deletes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCAL", tmp_path)
    # Without data there is nothing to ask.
    module.confirm_deletion(read=lambda question: pytest.fail("it asked"))
    (tmp_path / "data").mkdir()
    with pytest.raises(StartError, match="say --yes too"):
        module.confirm_deletion()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    answers = ["", "n", "maybe"]
    while answers:
        with pytest.raises(StartError, match="nothing was deleted"):
            module.confirm_deletion(read=lambda question: answers.pop())
    module.confirm_deletion(read=lambda question: "Yes")


@pytest.mark.parametrize("words", [["--yes"], ["--fres"], ["--port", "0"], ["--run"], ["x"]])
def test_wrong_words_are_usage(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        module.parse(words)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "no"), "port 80 is for root only"),
        (OSError(98, "x"), "port 80 is taken"),
    ],
)
def test_port_that_cannot_be_had_is_told_with_its_reason(
    error: OSError, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "port_error", lambda port: error if port == 80 else None)
    with pytest.raises(StartError, match=reason):
        platform.choose_ports(public_port=80, throwaway=False)
