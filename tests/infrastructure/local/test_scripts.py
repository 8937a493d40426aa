"""Every script tells its usage, and refuses words that it does not know."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted(
    path.name
    for path in (ROOT / "scripts").iterdir()
    if path.is_file() and os.access(path, os.X_OK)
)
# `scripts/test` hands options to pytest, `scripts/up` and others take none of these names.
WRONG = {"test": "nonsense"}


def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PLATFORM_")
    }
    return subprocess.run(
        [ROOT / "scripts" / name, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_is_usage_and_no_work(name: str) -> None:
    done = run(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"usage: scripts/{name}" in done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_unknown_word_is_refused_by_usage(name: str) -> None:
    done = run(name, WRONG.get(name, "--nonsense"))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "usage:" in done.stderr or "Suites:" in done.stderr


@pytest.mark.parametrize("name", ["load", "logins", "enumeration"])
def test_measurement_without_a_platform_says_how_to_start_one(name: str) -> None:
    done = run("bench", name)
    assert done.returncode == 2
    assert "scripts/up --run scripts/bench" in done.stderr


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - {"setup"}))
def test_script_sets_up_what_it_needs(name: str) -> None:
    assert "scripts/setup" in (ROOT / "scripts" / name).read_text()
