"""`scripts/setup` in a checkout of its own, with a pip that does nothing but takes its time."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[3] / "scripts" / "setup"
LOCK = "apps/requirements.lock"
# Stands for the interpreter: makes an environment whose pip notes what it was asked for.
PYTHON = """#!/bin/sh
case "$1" in
    -c) exec {real} "$@" ;;
    -m) mkdir -p .venv/bin && cp {pip} .venv/bin/python && echo venv >>calls ;;
esac
"""
PIP = """#!/bin/sh
case "$*" in *--version*) exit 0 ;; esac
echo pip >>calls
{before}
for package in a b c; do echo "Collecting $package"; done
{after}
"""
# The pauses of scripts/setup, shortened and counted: it tells how far it is each 25 of them.
SLEEP = f"""#!/bin/sh
echo >>slept
exec {shutil.which("sleep")} 0.01
"""
WAIT = f"""case "$*" in *apps*)
    : >slept
    until [ "$(wc -l <slept)" -gt 30 ]; do {shutil.which("sleep")} 0.05; done ;;
esac"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in ("scripts", "apps"):
        (tmp_path / folder).mkdir()
    (tmp_path / "scripts" / "setup").write_text(SETUP.read_text())
    (tmp_path / LOCK).write_text("a==1 \\\n    --hash=x\nb==2\nc==3\nd==4\n")
    make_tools(tmp_path)
    return tmp_path


def make_tools(checkout: Path, before: str = "", after: str = "") -> None:
    """Makes the stand-ins for Python and pip, which does something `before` it says anything
    or `after` that.
    """
    pip = checkout / "pip"
    pip.write_text(PIP.format(before=before, after=after))
    python = checkout / "python"
    python.write_text(PYTHON.format(real=sys.executable, pip=pip))
    sleep = checkout / "tools" / "sleep"
    sleep.parent.mkdir(exist_ok=True)
    sleep.write_text(SLEEP)
    for path in (pip, python, sleep):
        path.chmod(0o755)


def start(checkout: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", "-e", checkout / "scripts" / "setup", *words],
        env={
            "PATH": f"{checkout / 'tools'}:{os.environ['PATH']}",
            "PYTHON": str(checkout / "python"),
        },
        stderr=subprocess.PIPE,
        text=True,
    )


def setup(checkout: Path, *words: str) -> tuple[int, str]:
    with start(checkout, *words) as process:
        _, stderr = process.communicate(timeout=60)
        return process.returncode, stderr


def calls(checkout: Path) -> list[str]:
    return (checkout / "calls").read_text().split()


def test_second_setup_finds_everything_done(checkout: Path) -> None:
    assert setup(checkout)[0] == 0
    assert calls(checkout) == ["venv", "pip", "pip", "pip"]
    assert setup(checkout) == (0, "")
    assert calls(checkout) == ["venv", "pip", "pip", "pip"]


def test_of_two_at_once_one_waits_for_the_other_and_installs_nothing(checkout: Path) -> None:
    make_tools(checkout, after="until [ -e told ]; do sleep 0.2; done")
    with start(checkout) as first:
        while not (checkout / "calls").exists():
            time.sleep(0.01)
        with start(checkout) as second:
            assert second.stderr is not None
            waits = "another scripts/setup is at work in this checkout: waiting for it\n"
            assert second.stderr.readline() == waits
            (checkout / "told").touch()
            assert second.communicate(timeout=60)[1] == ""
        assert (first.wait(60), second.returncode) == (0, 0)
    assert calls(checkout) == ["venv", "pip", "pip", "pip"]


def test_long_install_tells_how_far_it_is(checkout: Path) -> None:
    make_tools(checkout, after=WAIT)
    assert "3 of 4 packages found, " in setup(checkout)[1]


def test_install_that_says_nothing_for_long_goes_on(checkout: Path) -> None:
    make_tools(checkout, before=WAIT)
    status, told = setup(checkout)
    assert (status, "0 of 4 packages found, " in told) == (0, True), told


def test_install_that_unpacks_says_so(checkout: Path) -> None:
    make_tools(checkout, before="echo Installing collected packages", after=WAIT)
    assert "unpacking 4 packages, " in setup(checkout)[1]


def test_packages_are_not_replaced_under_a_running_platform(checkout: Path) -> None:
    setup(checkout)
    (checkout / LOCK).write_text("a==2\n")
    with (checkout / ".local" / "environment.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        status, told = setup(checkout)
        assert (status, told.count("\n")) == (1, 1)
        assert "a platform of this checkout runs on the old ones" in told
        assert len(calls(checkout)) == 4
    assert setup(checkout)[0] == 0
    assert len(calls(checkout)) == 7


def test_packages_are_added_beside_a_running_platform(checkout: Path) -> None:
    setup(checkout)
    (checkout / "requirements.lock").write_text("a==1\nz==1\n")
    with (checkout / ".local" / "environment.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert setup(checkout, "all")[0] == 0


def test_unknown_word_is_usage(checkout: Path) -> None:
    assert setup(checkout, "al") == (2, "usage: scripts/setup [all|policies]\n")
