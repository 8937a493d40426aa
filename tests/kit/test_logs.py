"""Log lines as a person reads them."""

import logging
import re
import time

import pytest

from apps.kit.context import read_context, use_context
from apps.kit.logs import TextFormatter, configure_logging, log_request


def test_text_line_begins_with_its_time_and_ends_with_its_request() -> None:
    record = logging.makeLogRecord({"levelname": "INFO", "msg": "patient registered"})
    record.patient_id = "p-1"
    with use_context(read_context("r-1", None)):
        line = TextFormatter().format(record)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    patient registered"
        r" patient_id=p-1 request_id=r-1",
        line,
    )


@pytest.mark.parametrize(
    ("path", "status", "lines"),
    [
        ("/oauth2/revocations", 200, 0),
        ("/oauth2/origins", 304, 0),
        ("/oauth2/revocations", 401, 1),
        ("/oauth2/origins", 0, 1),
        ("/oauth2/token", 200, 1),
    ],
)
def test_poll_that_succeeds_is_not_logged(
    path: str, status: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        log_request("GET", path, status, time.perf_counter())
    assert len(caplog.records) == lines


@pytest.mark.parametrize(("wanted", "lines"), [("true", 1), ("", 0)])
def test_request_is_logged_with_its_id_if_that_is_wanted(
    wanted: str, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG_REQUESTS", wanted)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure_logging("text")
        with use_context(read_context("r-1", None)):
            log_request("GET", "/fhir/R4/{type}", 200, time.perf_counter())
    finally:
        root.handlers[:], root.level = before
        logging.getLogger("apps.kit.requests").disabled = False
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == lines
    for line in printed:
        assert re.search(r"INFO    GET /fhir/R4/\{type\} 200 ms=\d+\.\d request_id=r-1$", line)
