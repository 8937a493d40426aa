"""Log lines as a person reads them."""

import logging
import re

from apps.kit.context import read_context, use_context
from apps.kit.logs import TextFormatter


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
