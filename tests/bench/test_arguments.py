import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.arguments import note_on_python

ROOT = Path(__file__).parents[2]
BENCHES = sorted(
    path.stem for path in Path(__file__).parent.glob("*.py") if "__main__" in path.read_text()
)
for no_bench in (Path(__file__).stem, "arguments"):
    BENCHES.remove(no_bench)
OF_A_PLATFORM = [
    name
    for name in BENCHES
    if "parse_for_platform(" in (ROOT / "tests" / "bench" / f"{name}.py").read_text()
]
ENVIRONMENT = {name: value for name, value in os.environ.items() if "PLATFORM" not in name}


def bench(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", f"tests.bench.{name}", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_answers_help(name: str) -> None:
    answer = bench(name, "--help")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith(f"usage: scripts/bench {name} ")


@pytest.mark.parametrize("name", OF_A_PLATFORM)
def test_bench_without_a_platform_says_how_to_start_one(name: str) -> None:
    answer = bench(name)
    assert answer.returncode == 2 and answer.stdout == ""
    assert answer.stderr == (
        f"this measures a running platform: scripts/up --run scripts/bench {name}\n"
    )


def test_every_bench_is_named_by_the_script() -> None:
    command = ["sh", str(ROOT / "scripts" / "bench"), "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    named = {line.partition(":")[0] for line in told.splitlines() if not line.startswith(" ")}
    assert named - {"usage"} == set(BENCHES)
    usage = told[: told.index("record:")]
    by_run = usage[usage.index("--run") :].split()[2].split("|")
    assert set(by_run) == set(OF_A_PLATFORM)


def test_slow_python_is_noted() -> None:
    told = note_on_python("'--prefix=/opt/3.11' '--enable-shared'")
    assert "without --enable-optimizations" in told
    assert note_on_python("'--prefix=/usr' '--enable-shared'") == ""
    assert note_on_python("'--prefix=/usr/local' '--enable-optimizations' '--with-lto'") == ""
