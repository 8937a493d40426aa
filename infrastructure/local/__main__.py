"""`scripts/up`: runs the whole platform on this machine."""

import argparse
import errno
import os
import shutil
import signal
import subprocess
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from infrastructure.local.home import LOCAL, environment_in_use, open_home, open_throwaway
from infrastructure.local.output import Output
from infrastructure.local.platform import Platform, choose_ports, open_platform
from infrastructure.local.process import GUARD, KilledError, StartError
from infrastructure.local.table import describe

FAILED = 1
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RUN_STOP_SECONDS = 30.0


class Stop(BaseException):
    """The runner was asked to stop, by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/up",
        description="Runs the whole platform on this machine: PostgreSQL, Kafka and the services.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--fresh", action="store_true", help="start with empty data; asks before it deletes any"
    )
    parser.add_argument("--yes", action="store_true", help="delete data without asking")
    parser.add_argument("--port", type=port, help="the gateway's port (4004)")
    parser.add_argument(
        "--run",
        nargs=argparse.REMAINDER,
        metavar="CMD",
        help="run CMD against a throwaway platform on free ports, then stop, with CMD's status",
    )
    options = parser.parse_args(arguments)
    if options.run == []:
        parser.error("--run needs a command")
    if options.run and options.fresh:
        parser.error("--fresh is for the lasting platform: a throwaway one is always empty")
    if options.yes and not options.fresh:
        parser.error("--yes answers what --fresh asks")
    return options


def port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    return int(text)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    stop_by_signal()
    try:
        with environment_in_use():
            return run_command(options) if options.run else run_until_stopped(options)
    except Stop as stop:
        return 128 + stop.number
    except StartError as error:
        return fail(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return fail("the disk is full: make room and try again")
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return fail(f"may not write {error.filename or LOCAL}: is the checkout another user's?")
        return fail_unexpectedly(error)
    except Exception as error:
        return fail_unexpectedly(error)


def confirm_deletion(read: Callable[[str], str] = input) -> None:
    """Asks whether the data may go. Raises StartError unless the answer is yes."""
    data = LOCAL / "data"
    if not data.exists():
        return
    if not sys.stdin.isatty():
        raise StartError(f"--fresh would delete {data}: say --yes too")
    if read(f"Delete every record and account in {data}? [y/N] ").strip().lower() not in (
        "y",
        "yes",
    ):
        raise StartError("nothing was deleted")


def run_until_stopped(options: argparse.Namespace) -> int:
    if options.fresh and not options.yes:
        confirm_deletion()
    with open_home(fresh=options.fresh) as home:
        output = Output(sys.stdout, home.logs, show_logs=True)
        ports = choose_ports(public_port=options.port, throwaway=False)
        try:
            with open_platform(home, output, ports, durable=True) as platform:
                output.text(describe(platform, output.seconds, sys.stdout))
                platform.services.watch(platform.check)
        except Stop:
            output.text("stopped")
        except KilledError as error:
            log = home.logs / f"{error.name}.log"
            raise StartError(
                f"{error}: run scripts/up again, the data is kept (log: {log})"
            ) from error
    return 0


def run_command(options: argparse.Namespace) -> int:
    if shutil.which(options.run[0], path=command_path()) is None:
        raise StartError(f"there is no command {options.run[0]}")
    with open_throwaway() as home:
        output = Output(sys.stderr, home.logs, show_logs=False)
        ports = choose_ports(public_port=options.port, throwaway=True)
        try:
            with open_platform(home, output, ports, durable=False) as platform:
                output.progress(f"the platform is ready at {platform.url}")
                status = run(options.run, platform)
        except StartError as error:
            raise StartError(f"{error} (logs: {home.logs})") from error
        home.keep_logs = status != 0
    return status


def run(command: Sequence[str], platform: Platform) -> int:
    """Runs the command on this terminal and returns its exit status."""
    environment = {**os.environ, **platform.environment(), "PATH": command_path()}
    guard = [sys.executable, "-IS", str(GUARD), str(os.getpid()), str(int(signal.SIGTERM)), "--"]
    program = str(shutil.which(command[0], path=command_path()))
    running = subprocess.Popen([*guard, program, *command[1:]], env=environment)
    try:
        platform.services.watch(platform.check, until=lambda: running.poll() is not None)
    except BaseException:
        running.terminate()
        try:
            running.wait(RUN_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        raise
    status = running.returncode
    return status if status >= 0 else 128 - status


def command_path() -> str:
    # The environment's own Python and tools first.
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))


def stop_by_signal() -> None:
    def stop(number: int, frame: types.FrameType | None) -> NoReturn:
        # What follows is the orderly stop: a second Ctrl-C must not break it off.
        for other in STOP_SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        raise Stop(number)

    for number in STOP_SIGNALS:
        signal.signal(number, stop)


def fail(message: str) -> int:
    print(f"scripts/up: {message}", file=sys.stderr)
    return FAILED


def fail_unexpectedly(error: Exception) -> int:
    LOCAL.mkdir(exist_ok=True)
    log = LOCAL / "up.log"
    log.write_text("".join(traceback.format_exception(error)))
    first = next(iter(str(error).splitlines()), "")
    return fail(f"{type(error).__name__}: {first} (all of it: {log})")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
