"""The runner's command line, with its platform replaced."""

import errno
import signal
import subprocess
import sys
import time
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


@pytest.mark.parametrize(("word", "taken"), [("1", True), ("65535", True), ("65536", False)])
def test_port_is_one_that_there_is(word: str, taken: bool) -> None:
    if taken:
        assert module.parse(["--port", word]).port == int(word)
        return
    with pytest.raises(SystemExit):
        module.parse(["--port", word])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "no"), "the disk is full: make room"),
        (OSError(errno.EDQUOT, "no"), "the disk is full: make room"),
        (PermissionError(errno.EACCES, "no", "/there"), "may not write /there"),
        (OSError(errno.EROFS, "no", "/there"), "may not write /there"),
        (OSError(errno.EIO, "broken"), "OSError: [Errno 5] broken (all of it: "),
        (ValueError("first\nsecond"), "ValueError: first (all of it: "),
    ],
    ids=["full", "over quota", "denied", "read-only", "broken", "unexpected"],
)
def test_start_that_fails_is_told_in_one_line(
    error: Exception,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(options: Any) -> int:
        raise error

    monkeypatch.setattr(module, "LOCAL", tmp_path)
    monkeypatch.setattr(module, "run_until_stopped", fail)
    monkeypatch.setattr(module, "stop_by_signal", lambda: None)
    assert module.main([]) == module.FAILED
    assert capsys.readouterr().err.startswith(f"scripts/up: {told}")
    assert (tmp_path / "up.log").exists() == ("all of it" in told)


def running_platform(watch: Any) -> Any:
    return SimpleNamespace(
        environment=dict, services=SimpleNamespace(watch=watch), check=lambda: None, url="http://x"
    )


def wait(check: Any, until: Any) -> None:
    while not until():
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("command", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 128 + 9)]
)
def test_platform_ends_with_the_status_of_its_command(command: str, status: int) -> None:
    assert module.run(["sh", "-c", command], running_platform(wait)) == status


def test_command_ends_with_its_platform(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    begun = tmp_path / "begun"
    words = f"trap 'touch {ended}; exit' TERM; touch {begun}; while :; do sleep 0.05; done"

    def end(check: Any, until: Any) -> None:
        wait(check, begun.exists)
        raise StartError("kafka ended")

    with pytest.raises(StartError, match="kafka ended"):
        module.run(["sh", "-c", words], running_platform(end))
    assert ended.exists()


@pytest.mark.parametrize(
    ("command", "reason"),
    [("no-such-command", "there is no command no-such-command"), ("true", r"it ended \(logs: .*")],
)
def test_command_that_cannot_run_is_told(
    command: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def ended(*_: Any, **__: Any) -> Iterator[None]:
        raise StartError("it ended")
        yield

    monkeypatch.setattr(home, "LOCAL", tmp_path)
    monkeypatch.setattr(module, "open_platform", ended)
    with pytest.raises(StartError, match=f"^{reason}$"):
        module.run_command(module.parse(["--run", command]))


@pytest.mark.parametrize("command", ["true", "false"])
def test_logs_are_kept_where_the_command_failed(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def opened(*_: Any, **__: Any) -> Iterator[Any]:
        yield running_platform(wait)

    monkeypatch.setattr(home, "LOCAL", tmp_path)
    monkeypatch.setattr(module, "open_platform", opened)
    status = module.run_command(module.parse(["--run", command]))
    assert [status != 0] == [any((tmp_path / "logs").iterdir())] == [command == "false"]


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
