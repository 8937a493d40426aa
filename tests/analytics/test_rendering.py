import csv
import io

import pytest

from apps.analytics.routes.rendering import render_csv


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@now", "\tx", "\rx", "="])
def test_text_that_a_spreadsheet_would_run_is_marked_as_text(text: str) -> None:
    lines = csv.reader(io.StringIO(render_csv([{"code": text}]), newline=""))
    assert list(lines) == [["code"], ["'" + text]]


@pytest.mark.parametrize("value", ["", "x=1", -1])
def test_other_values_stand_as_they_are(value: object) -> None:
    lines = csv.reader(io.StringIO(render_csv([{"code": value, "name": "x"}]), newline=""))
    assert list(lines) == [["code", "name"], [str(value), "x"]]
