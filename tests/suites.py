"""`scripts/test [suite[,suite]...] [pytest arguments]`: all suites, or some, each where its
tests can run.

Those that need a platform share one `scripts/up --run`, inside which this file calls itself. The
others run beside them: either side waits now and then for what is no work of this machine.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".pytest_cache"
FAILED, NO_TESTS = 1, 5
# More than these are no accident.
MAX_UNSTABLE = 5
# Set where other suites run beside: each suite's output then comes whole, when it has ended.
BESIDE = "TEST_SUITES_BESIDE"


@dataclass(frozen=True)
class Suite:
    name: str
    needs_platform: bool = False
    # 1 where its tests share something, as journeys share the figures.
    workers: int = 1
    # Of each of these, one must be there.
    tools: tuple[tuple[str, ...], ...] = ()
    # Not where `.ci/run` has no way to install it.
    in_ci: bool = True


SUITES = {
    suite.name: suite
    for suite in (
        Suite("unit", workers=2),
        Suite("infrastructure", workers=2),
        Suite("up"),
        Suite("engine", tools=(("pulumi",),), in_ci=False),
        Suite("images", tools=(("buildah",),)),
        Suite("python", tools=(("debootstrap",),)),
        # Journeys first: they count what travels, and the others make more of it.
        Suite("system", needs_platform=True),
        Suite(
            "browser",
            needs_platform=True,
            tools=(("chromium", "chromium-browser", "google-chrome"),),
        ),
        Suite("integration", needs_platform=True, workers=2),
        # HL7's files and HAPI's validator, which npm and Maven fetch, against the running record.
        Suite("fhir", needs_platform=True, tools=(("npm",),)),
        # SDKs and command-line clients of OAuth, FHIR and gRPC, and who reads an
        # accountant's export.
        Suite("clients", needs_platform=True, tools=(("node",), ("npm",), ("hledger",))),
    )
}
# The unit tests are those without another mark.
UNIT = " and ".join(f"not {name}" for name in SUITES if name != "unit")


def main(arguments: list[str]) -> int:
    """Returns the exit status: 2 for a suite that there is not."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(
            f"usage: scripts/test [SUITE[,SUITE]...] [pytest arguments]\nSuites: "
            f"{', '.join(SUITES)}"
        )
        return 0
    if arguments and is_misspelt(arguments[0]):
        print(
            f"scripts/test: there is no suite and no file {arguments[0]!r}."
            f" Suites: {', '.join(SUITES)}",
            file=sys.stderr,
        )
        return 2
    named = arguments[0].split(",") if arguments else []
    one_run = bool(named) and all(name in SUITES for name in named)
    chosen = [SUITES[name] for name in named] if one_run else list(SUITES.values())
    arguments = arguments[1:] if one_run else arguments
    missing = {suite.name: missing_tools(suite) for suite in chosen}
    left_out = [suite for suite in chosen if missing[suite.name]]
    told = "left out " + ", ".join(
        f"{suite.name} (there is no {missing[suite.name][0]})" for suite in left_out
    )
    if any(suite.in_ci for suite in left_out) and os.environ.get("CI") == "true":
        print(f"scripts/test: {told}: install it, as .ci/run does", file=sys.stderr)
        return 1
    suites = [suite for suite in chosen if suite not in left_out]
    if arguments and not one_run:
        # A platform is not started for nothing.
        suites = [
            suite for suite in suites if not suite.needs_platform or has_tests(suite, arguments)
        ]
    inside = "PLATFORM_URL" in os.environ
    outer = [suite for suite in suites if inside or not suite.needs_platform]
    inner = ",".join(suite.name for suite in suites if suite not in outer)
    beside = bool(outer and inner) or BESIDE in os.environ
    with platform_lane(inner, arguments, beside) if inner else nullcontext() as lane:
        statuses = {suite: first_run(suite, arguments, beside) for suite in outer}
    # Not before the other side has ended: what is run once more here is run by itself.
    failed = [suite.name for suite in outer if not passes(suite, statuses[suite], arguments)]
    if lane and lane.returncode:
        failed.append(inner)
    if left_out:
        print(f"scripts/test: {told}")
    if failed:
        print(f"scripts/test: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def platform_lane(inner: str, arguments: list[str], beside: bool) -> "subprocess.Popen[bytes]":
    """Starts the suites that need a platform, on one; `with` waits for their end."""
    return subprocess.Popen(
        [str(ROOT / "scripts/up"), "--run", sys.executable, __file__, inner, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL if beside else None,
        env={**os.environ, BESIDE: "1"} if beside else None,
    )


def missing_tools(suite: Suite) -> list[str]:
    """Returns the programs that the suite needs and that are not there."""
    return [names[0] for names in suite.tools if not any(map(shutil.which, names))]


def is_misspelt(word: str) -> bool:
    """Whether the first word is neither suites, an option of pytest nor something to test."""
    if word.startswith("-") or all(name in SUITES for name in word.split(",")):
        return False
    return not Path(word.partition("::")[0]).exists()


def first_run(suite: Suite, arguments: list[str], beside: bool) -> int:
    """Returns pytest's exit status. `beside` another suite, the output comes whole at the end."""
    workers = [] if suite.workers == 1 or "-n" in arguments else ["-n", str(suite.workers)]
    with whole_output() if beside else nullcontext() as output:
        say(f"== {suite.name}", output)
        return run([*pytest(suite), *workers, *arguments, *files(suite, arguments)], output)


def passes(suite: Suite, status: int, arguments: list[str]) -> bool:
    """Whether the suite passed. In CI a few tests that failed are run once more.

    One that passes then is named as unstable: it waits for what two busy cores do too late.
    """
    failed = last_failed(suite)
    if status != FAILED or os.environ.get("CI") != "true" or not 0 < len(failed) <= MAX_UNSTABLE:
        # Arguments may leave a suite no test; without them it has lost its own.
        return status == 0 or (status == NO_TESTS and bool(arguments))
    names = ", ".join(failed)
    with whole_output() if BESIDE in os.environ else nullcontext() as output:
        say(f"scripts/test: once more: {names}", output)
        status = run([*pytest(suite), *arguments, *failed], output)
    if status:
        return False
    print(f"scripts/test: unstable, passed when run again: {names}", file=sys.stderr, flush=True)
    return True


@contextmanager
def whole_output() -> Iterator[IO[bytes]]:
    """Yields a file, which is shown at the end, never amid what the other side shows."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryFile() as output, (CACHE / "screen.lock").open("w") as lock:
        try:
            yield output
        finally:
            output.seek(0)
            fcntl.flock(lock, fcntl.LOCK_EX)
            sys.stdout.flush()
            shutil.copyfileobj(output, sys.stdout.buffer)
            sys.stdout.flush()


def say(line: str, output: IO[bytes] | None) -> None:
    """Writes a line before what a command is to write there; None is the screen."""
    if output is None:
        print(line, flush=True)
    else:
        output.write(f"{line}\n".encode())
        output.flush()


def has_tests(suite: Suite, arguments: list[str]) -> bool:
    command = [*pytest(suite), "--collect-only", "-q", *arguments, *files(suite, arguments)]
    return run(command, subprocess.DEVNULL) != NO_TESTS


def pytest(suite: Suite) -> list[str]:
    marked = ["-m", UNIT if suite.name == "unit" else suite.name]
    return [sys.executable, "-m", "pytest", "-o", f"cache_dir={CACHE / suite.name}", *marked]


def files(suite: Suite, arguments: list[str]) -> list[str]:
    """Returns the files that name the suite's mark, unless the arguments name some: to import all
    others takes longer than many a suite.
    """
    if suite.name == "unit" or any(Path(word.partition("::")[0]).exists() for word in arguments):
        return []
    mark = re.compile(rf"\bmark\.{suite.name}\b")
    found = sorted((ROOT / "tests").rglob("test_*.py"))
    # Its own test names all marks.
    own = ROOT / "tests/test_suites.py"
    return [
        str(path.relative_to(ROOT))
        for path in found
        if path != own and mark.search(path.read_text())
    ]


def last_failed(suite: Suite) -> list[str]:
    """Returns the ids of the tests that failed when the suite was last run."""
    noted = CACHE / suite.name / "v/cache/lastfailed"
    return sorted(json.loads(noted.read_text())) if noted.is_file() else []


def run(command: list[str], output: IO[bytes] | int | None = None) -> int:
    """Returns the command's exit status; its output and errors go to `output`."""
    errors = None if output in (None, subprocess.DEVNULL) else subprocess.STDOUT
    return subprocess.run(command, cwd=ROOT, stdout=output, stderr=errors, check=False).returncode


if __name__ == "__main__":
    # As an exception: what a suite wrote until then is shown.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
