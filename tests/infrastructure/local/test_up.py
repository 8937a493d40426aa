"""`scripts/up` as a person meets it: the whole platform, started and stopped."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apps.catalogue import SERVICES
from apps.client.demo import PEOPLE
from infrastructure.operate.local import TIME
from tests.conftest import throwaway
from tests.ports import free_port

pytestmark = pytest.mark.up
UP = Path(__file__).parents[3] / "scripts" / "up"
PERSON = PEOPLE / "person-1.json"
START_SECONDS = 240.0
STOP_SECONDS = 90.0


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that PostgreSQL's own user can pass: each start of pytest closes pytest's own."""
    with throwaway() as directory:
        yield directory


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLATFORM_")}
    return {**kept, "PLATFORM_LOCAL": str(tmp_path / ".local"), "TMPDIR": str(tmp_path)}


def up(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [UP, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


@contextmanager
def running(
    environment: dict[str, str], output: Path, *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`scripts/up` in the background, once it has printed its table."""
    with (
        output.open("wb") as file,
        subprocess.Popen([UP, *arguments], env=environment, stdout=file, stderr=file) as runner,
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while "Ctrl-C stops all of it" not in output.read_text():
                assert runner.poll() is None, output.read_text()
                assert time.monotonic() < deadline, output.read_text()
                time.sleep(0.1)
            yield runner
        finally:
            runner.kill()


def operate(environment: dict[str, str], *words: str) -> Any:
    done = subprocess.run(
        [UP.parent / "operate", *words, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def is_free(lock: Path) -> bool:
    """Whether no process is left: each that the runner starts holds its lock."""
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_run_hands_the_platform_to_the_command_and_ends_with_its_status(
    environment: dict[str, str], tmp_path: Path
) -> None:
    fetch = (
        "import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "
        '"/.well-known/jwks.json").close()'
    )
    call = f"python -c '{fetch}' $PLATFORM_URL && env | grep -c ^PLATFORM_USER= && exit 7"
    done = up(environment, "--run", "sh", "-c", call)
    assert (done.returncode, done.stdout) == (7, "1\n"), done.stderr
    assert not list(tmp_path.glob("platform-run-*"))


def test_service_that_dies_is_started_again(environment: dict[str, str]) -> None:
    kill = """
import json, os, pathlib, signal, time, urllib.request
pids = pathlib.Path(os.environ["PLATFORM_PIDS"])
first = json.loads(pids.read_text())["auth"]
os.kill(first, signal.SIGKILL)
deadline = time.monotonic() + 30
while True:
    try:
        assert json.loads(pids.read_text())["auth"] != first
        urllib.request.urlopen(os.environ["PLATFORM_AUTH_URL"] + "/readyz", timeout=2).close()
        break
    except (OSError, AssertionError):
        assert time.monotonic() < deadline
        time.sleep(0.1)
"""
    done = up(environment, "--run", "python", "-c", kill)
    assert done.returncode == 0, done.stderr
    assert "auth ended with status -9; it is started again" in done.stderr


def test_lasting_platform_survives_a_kill_and_stops_at_ctrl_c(
    environment: dict[str, str], tmp_path: Path
) -> None:
    lock, arguments = tmp_path / ".local" / "lock", ("--port", str(free_port()))
    with running(environment, tmp_path / "first", *arguments) as runner:
        assert "already runs here" in up(environment).stderr
        # The page of the table.
        (page,) = re.findall(
            r"^ *(http://\S+/oauth2/sign-in) ", (tmp_path / "first").read_text(), re.MULTILINE
        )
        with urllib.request.urlopen(page) as answer:  # noqa: S310
            assert b'name="password"' in answer.read()
        # At the port that was chosen.
        load = [UP.parent / "load", PERSON]
        subprocess.run(load, env=environment, check=True, stdout=subprocess.DEVNULL)

        # scripts/operate finds it too; the loader goes by the secret that it rotates.
        services = operate(environment, "status")
        assert {each["service"]: each["state"] for each in services} == dict.fromkeys(
            SERVICES, "ready"
        )
        banner = (tmp_path / "first").read_text()
        account = operate(environment, "local", "sign-in")
        assert f"{account['user']}  {account['password']}" in banner
        rotated = operate(environment, "clients", "rotate-secret", "local")["secret"]
        assert operate(environment, "sign-in")["client secret"] == rotated
        subprocess.run(load, env=environment, check=True, stdout=subprocess.DEVNULL)
        assert operate(environment, "audit", "search", "--in", "patient", "--event", "create")
        query = ["psql", "patient", "--command", "SELECT 'answer'"]
        done = subprocess.run(
            [UP.parent / "operate", *query], env=environment, capture_output=True, text=True
        )
        assert "answer" in done.stdout
        # A request's id is in the line of each service that it passed.
        texts = {
            name: (tmp_path / ".local" / "logs" / f"{name}.log").read_text()
            for name in ("gateway", "patient", "billing")
        }
        for text in texts.values():
            assert all(TIME.match(line) for line in text.splitlines()), text
        ids = {name: set(re.findall(r"request_id=(\S+)", text)) for name, text in texts.items()}
        assert ids["gateway"] & ids["patient"]
        assert "POST /fhir/R4 200" in texts["patient"]
        assert "gRPC /billing.v1" in texts["billing"]
        runner.kill()
    with running(environment, tmp_path / "second", *arguments) as runner:
        # Rotated by the verb, kept by the file, printed by the next banner.
        assert rotated in (tmp_path / "second").read_text()
        runner.send_signal(signal.SIGINT)
        assert runner.wait(STOP_SECONDS) == 0
    assert is_free(lock)
    logs = {path.name for path in (tmp_path / ".local" / "logs").iterdir()}
    assert {"gateway.log", "postgres.log", "kafka.log"} <= logs


def test_runner_that_is_killed_half_way_leaves_nothing_that_runs(
    environment: dict[str, str], tmp_path: Path
) -> None:
    lock = tmp_path / ".local" / "lock"
    with subprocess.Popen(
        [UP, "--port", str(free_port())], env=environment, stdout=subprocess.DEVNULL
    ) as runner:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (tmp_path / ".local" / "data" / "postgres" / "cluster").exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            runner.kill()
    deadline = time.monotonic() + STOP_SECONDS
    while not is_free(lock):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_taken_port_is_told_in_a_line(environment: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = up(environment, "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"scripts/up: port {port} is taken: stop what listens there, or choose another with "
        f"--port\n"
    )


def test_unknown_command_is_told_in_a_line(environment: dict[str, str]) -> None:
    done = up(environment, "--run", "no-such-command")
    assert (done.returncode, done.stderr) == (
        1,
        "scripts/up: there is no command no-such-command\n",
    )


@pytest.mark.parametrize("python", ["#!/bin/sh\nexit 1\n"])
def test_old_python_is_told_in_a_line(
    environment: dict[str, str], tmp_path: Path, python: str
) -> None:
    checkout, tools = tmp_path / "checkout", tmp_path / "tools"
    (checkout / "scripts").mkdir(parents=True)
    tools.mkdir()
    (checkout / "scripts" / "setup").write_text((UP.parent / "setup").read_text())
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        (tools / name).write_text(python)
        (tools / name).chmod(0o755)
    done = subprocess.run(
        ["sh", checkout / "scripts" / "setup"],
        env={"PATH": f"{tools}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Python 3.11 or newer" in done.stderr
