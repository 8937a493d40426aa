"""The runner's output: progress, each process's log lines, and at the end one table."""

import contextlib
import threading
import time
from pathlib import Path
from typing import TextIO

from infrastructure.local.process import Write

COLOURS = {
    "gateway": "36",
    "auth": "35",
    "patient": "32",
    "billing": "33",
    "analytics": "34",
    "console": "94",
    "postgres": "90",
    "kafka": "90",
}
RED, DIM, RESET = "\x1b[31m", "\x1b[2m", "\x1b[0m"


class Output:
    """Writes to `screen`, and each process's lines also to `<logs>/<process>.log`.

    With `show_logs=False` the lines go to the files alone.
    """

    def __init__(self, screen: TextIO, logs: Path, *, show_logs: bool) -> None:
        self._screen = screen
        self._logs = logs
        self._show_logs = show_logs
        self._coloured = screen.isatty()
        self._lock = threading.Lock()
        self._files: dict[str, TextIO] = {}
        self._started_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """Returns the time since the runner began."""
        return time.monotonic() - self._started_at

    def progress(self, message: str) -> None:
        self._print(self._paint(DIM, f"{self.seconds:5.1f} s") + f"  {message}")

    def error(self, message: str) -> None:
        self._print(self._paint(RED, f"scripts/up: {message}"))

    def text(self, message: str) -> None:
        self._print(message)

    def log_of(self, name: str) -> Write:
        """Returns a function that writes a log line of the process: prefixed to the screen, as it
        is to its file.
        """
        if name not in self._files:
            path = self._logs / f"{name}.log"
            self._files[name] = path.open("a", buffering=1, encoding="utf-8")
        file = self._files[name]
        prefix = self._paint(f"\x1b[{COLOURS.get(name, '37')}m", f"{name:<9} |")

        def write(line: str) -> None:
            file.write(line + "\n")
            if self._show_logs:
                self._print(f"{prefix} {line}")

        return write

    def close(self) -> None:
        """Closes the files of the logs, when the processes have ended."""
        for file in self._files.values():
            file.close()

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{RESET}" if self._coloured else text

    def _print(self, line: str) -> None:
        # If nobody reads the screen any more, the files still have it.
        with self._lock, contextlib.suppress(BrokenPipeError):
            print(line, file=self._screen, flush=True)
