"""The runner's command line, with its platform replaced."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infrastructure.local import __main__ as module
from infrastructure.local import home
from infrastructure.local.process import KilledError
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
        f"scripts/up: kafka was killed (SIGKILL): run scripts/up again, the data is kept (log: {log})\n"
    )
