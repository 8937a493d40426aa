"""Logs: a line each, ids and never people; JSON for machines, plain text for a terminal."""

import logging
import os
import sys
import time
import traceback
from datetime import UTC, datetime

import msgspec

from apps.kit.context import current_request_id

log = logging.getLogger(__name__)

# What a bare LogRecord has; anything beyond it came from `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _extra(record: logging.LogRecord) -> dict[str, object]:
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    request_id = current_request_id()
    if request_id:
        extra.setdefault("request_id", request_id)
    return extra


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{name}={value}" for name, value in _extra(record).items())
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = f"{time.removesuffix('+00:00')}Z {record.levelname:<7} {record.getMessage()}"
        line += f" {extra}" if extra else ""
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


# A line for each request that a service answers; off unless LOG_REQUESTS is `true`, as it is
# for scripts/up.
_requests = logging.getLogger("apps.kit.requests")
# Every service asks auth for these each 15 s: answered as usual, they would drown the rest.
POLLED_PATHS = frozenset({"/oauth2/revocations", "/oauth2/origins"})


def log_request(method: str, path: str, status: object, started_at: float) -> None:
    """Logs an answered request, if that is wanted; `path` is the route's, `started_at` of
    `time.perf_counter`.

    A poll that succeeds is logged at DEBUG.
    """
    if not _requests.disabled:
        ms = round((time.perf_counter() - started_at) * 1000, 1)
        level = logging.DEBUG if path in POLLED_PATHS and status in (200, 304) else logging.INFO
        _requests.log(level, "%s %s %s", method, path, status or "-", extra={"ms": ms})


def log_failure(error: BaseException, message: str, **extra: object) -> None:
    """Logs where it failed, not the error's text: a database's carries the row that it refused."""
    frames = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)[-6:]
    ]
    log.error(
        message, extra={"error": type(error).__name__, "at": " < ".join(reversed(frames)), **extra}
    )


def configure_logging(log_format: str) -> None:
    """Sends every log line to standard output in `log_format`: `json` or `text`."""
    # Nothing here tells threads, processes or lines of code: they need not be looked up
    # for every record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # as the logging HOWTO's "Optimization" says
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    _requests.disabled = os.environ.get("LOG_REQUESTS") != "true"
    # Authlib writes raw tokens at DEBUG, aiokafka a line for every passing fault.
    logging.getLogger("authlib").setLevel(logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    # The servers would print an address of each inner service, which nobody is to call.
    for server in ("hypercorn", "uvicorn"):
        logging.getLogger(f"{server}.access").setLevel(logging.WARNING)
        logging.getLogger(f"{server}.error").setLevel(logging.WARNING)
    # It says "connected" when it has opened no connection yet.
    logging.getLogger("databases").setLevel(logging.WARNING)
