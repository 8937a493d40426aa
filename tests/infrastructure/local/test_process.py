import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from infrastructure.local import process as module
from infrastructure.local.process import (
    KilledError,
    Process,
    StartError,
    free_port,
    port_is_free,
    wait_until,
)

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); "
    "time.sleep(60)",
]
# The child tells its own pid, once it is past the guard.
RUNNER = """
import functools, sys, time
from pathlib import Path
from infrastructure.local.process import Process
CHILD = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
Process("child", [sys.executable, "-c", CHILD],
    environment={}, directory=Path("."), write=functools.partial(print, flush=True))
time.sleep(60)
"""


def start(command: list[str], lines: list[str], stop_seconds: float = 5.0) -> Process:
    process = Process(
        "child",
        command,
        environment=dict(os.environ),
        directory=Path.cwd(),
        write=lines.append,
        stop_seconds=stop_seconds,
    )
    wait_until(lambda: "up" in lines, seconds=10, what="child", alive=process.check)
    return process


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    # The second where it ends between the opening and the reading.
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_process_stops_by_its_signal() -> None:
    assert start(SLEEP, []).stop() == -signal.SIGTERM


def test_process_that_does_not_stop_in_time_is_killed() -> None:
    lines: list[str] = []
    assert start(STUBBORN, lines, stop_seconds=0.2).stop() == -signal.SIGKILL
    assert any("was killed" in line for line in lines)


def test_process_that_ends_is_reported_with_its_last_line() -> None:
    process = Process(
        "child",
        [sys.executable, "-c", "print('first'); print('no such table'); raise SystemExit(3)"],
        environment={},
        directory=Path.cwd(),
        write=lambda line: None,
    )
    with pytest.raises(StartError, match="child ended with status 3: no such table"):
        wait_until(lambda: False, seconds=10, what="child", alive=process.check)


@pytest.mark.parametrize(
    ("end", "name"),
    [("import os; os.kill(os.getpid(), 9)", "SIGKILL"), ("raise SystemExit(143)", "SIGTERM")],
    ids=["killed", "as Java ends"],
)
def test_process_that_was_killed_is_reported_by_its_signal_and_not_by_an_old_line(
    end: str, name: str
) -> None:
    process = Process(
        "child",
        [sys.executable, "-c", f"print('ready', flush=True); {end}"],
        environment={},
        directory=Path.cwd(),
        write=lambda line: None,
    )
    with pytest.raises(KilledError, match=rf"^child was killed \({name}\)$"):
        wait_until(lambda: False, seconds=10, what="child", alive=process.check)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_child_dies_with_a_runner_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER], stdout=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdout is not None
        child = int(runner.stdout.readline())
        assert not is_gone(child)
        runner.kill()
    assert eventually(lambda: is_gone(child))


def test_wait_is_bounded() -> None:
    with pytest.raises(StartError, match=r"it was not ready within 0\.1 s"):
        wait_until(lambda: False, seconds=0.1, what="it", alive=lambda: None)


def test_taken_port_is_seen() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not port_is_free(taken.getsockname()[1])
    assert port_is_free(free_port())


def test_port_that_was_given_is_not_given_again_before_its_server_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = iter([20001, 20001, 20002])
    monkeypatch.setattr(module, "_given", deque())
    monkeypatch.setattr(module, "port_is_free", lambda port: True)
    monkeypatch.setattr("random.randint", lambda *bounds: next(drawn))
    assert [free_port(), free_port()] == [20001, 20002]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its rights up")
def test_child_of_another_user_keeps_nothing_of_roots() -> None:
    guard = [sys.executable, "-IS", str(module.GUARD), str(os.getpid()), str(int(signal.SIGTERM))]
    told = subprocess.run(
        [*guard, "65534", "65533", "--", "/bin/sh", "-c", "id -u; id -g; id -G"],
        # As root may have them: docker, or shadow.
        extra_groups=[1, 42],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["65534", "65533", "65533"]
