"""A child process that is stopped in bounded time,
and dies with the runner even if that is killed.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")
LAST_LINES = 30
POLL_SECONDS = 0.05
# Ports given lately: their servers may not listen yet.
_given: deque[int] = deque(maxlen=100)

Write = Callable[[str], None]


class StartError(Exception):
    """The platform cannot start; the message is one line that says what to do."""


class KilledError(StartError):
    """The process `name` was ended by a signal; its last lines do not say so."""

    def __init__(self, name: str, number: signal.Signals) -> None:
        super().__init__(f"{name} was killed ({number.name})")
        self.name = name


@dataclass(frozen=True, slots=True)
class Identity:
    uid: int
    gid: int


class Process:
    """Starts `command` at once in a session of its own, so that Ctrl-C reaches only the runner.

    Each line of its output goes to `write`; the last ones are kept for a message if it fails.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        directory: Path,
        write: Write,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
        stop_seconds: float = 20.0,
        identity: Identity | None = None,
        keep_open: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._stop_signal = stop_signal
        self._stop_seconds = stop_seconds
        self._write = write
        guard = [sys.executable, "-IS", GUARD, os.getpid(), int(death_signal)]
        if identity is not None:
            guard += [identity.uid, identity.gid]
        self._popen = subprocess.Popen(
            [str(word) for word in (*guard, "--", *command)],
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=tuple(keep_open),
        )
        self._reader = threading.Thread(target=self._read, name=f"log-{name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as output:
            for line in output:
                self.last_lines.append(line.rstrip("\n"))
                self._write(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def status(self) -> int | None:
        """Returns the exit status; None while it runs."""
        return self._popen.poll()

    def check(self) -> None:
        """Raises StartError if it has ended."""
        if self.status is not None:
            self._reader.join(timeout=1)
            if number := signal_of(self.status):
                raise KilledError(self.name, number)
            last = next(
                (line for line in reversed(self.last_lines) if line.strip()), "without a word"
            )
            raise StartError(f"{self.name} ended with status {self.status}: {last}")

    def signal_stop(self) -> None:
        """Asks it to stop and does not wait."""
        if self.status is None:
            self._popen.send_signal(self._stop_signal)

    def stop(self) -> int:
        """Stops it, by force if it takes too long, and returns its exit status."""
        self.signal_stop()
        try:
            status = self._popen.wait(timeout=self._stop_seconds)
        except subprocess.TimeoutExpired:
            self._write(f"did not stop within {self._stop_seconds:g} s and was killed")
            self._popen.kill()
            status = self._popen.wait()
        # What is left of its group, such as PostgreSQL's backends after a kill.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._reader.join(timeout=1)
        return status


def signal_of(status: int) -> signal.Signals | None:
    """Returns the signal that ended a process; Java's handler exits with 128 and the signal's
    number.
    """
    number = -status if status < 0 else status - 128
    return signal.Signals(number) if number in set(signal.Signals) else None


def wait_until(
    condition: Callable[[], bool], *, seconds: float, what: str, alive: Callable[[], None]
) -> None:
    """Polls `condition`; raises StartError after `seconds`, or whatever `alive` raises before."""
    deadline = time.monotonic() + seconds
    while not condition():
        alive()
        if time.monotonic() > deadline:
            raise StartError(f"{what} was not ready within {seconds:g} s")
        time.sleep(POLL_SECONDS)


def free_port() -> int:
    """Returns a port of the loopback interface that is free and was not returned lately."""
    # Below the range of outgoing connections: one of those could take the port before its server
    # does.
    for _ in range(200):
        port = random.randint(20000, 32000)  # noqa: S311
        if port not in _given and port_is_free(port):
            _given.append(port)
            return port
    raise StartError("found no free port between 20000 and 32000")


def port_is_free(port: int) -> bool:
    return port_error(port) is None


def port_error(port: int) -> OSError | None:
    """Returns why this process cannot listen on the port of the loopback interface,
    None if it can.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error
    return None
