import csv
import io
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from starlette.datastructures import QueryParams

from apps.analytics.figures.suppression import Breakdown, Cell, Group
from apps.analytics.reports.parameters import parse_period
from apps.analytics.routes.rendering import (
    render_breakdown,
    render_cells,
    render_csv,
    render_period,
    wants_csv,
)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@now", "\tx", "\rx", "="])
def test_text_that_a_spreadsheet_would_run_is_marked_as_text(text: str) -> None:
    lines = csv.reader(io.StringIO(render_csv([{"code": text}]), newline=""))
    assert list(lines) == [["code"], ["'" + text]]


@pytest.mark.parametrize("value", ["", "x=1", -1])
def test_other_values_stand_as_they_are(value: object) -> None:
    lines = csv.reader(io.StringIO(render_csv([{"code": value, "name": "x"}]), newline=""))
    assert list(lines) == [["code", "name"], [str(value), "x"]]


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("", False),
        ("text/csv", True),
        ("Text/CSV; q=0.5", True),
        ("text/html, text/csv", True),
        ("text/csv, application/json", True),
        ("application/json, text/csv", False),
        ("application/*, text/csv", False),
        ("*/*, text/csv", False),
        ("text/html", False),
    ],
)
def test_csv_is_for_who_names_it_before_json(accept: str, is_csv: bool) -> None:
    assert wants_csv(accept) is is_csv


def test_times_are_written_as_utc() -> None:
    moment = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    assert render_csv([{"start": moment}]) == "start\r\n2026-03-01T09:30:00Z\r\n"
    assert render_csv([]) == ""


def test_rows_may_be_dataclasses() -> None:
    assert render_csv([Group("a", 12)]) == "name,count\r\na,12\r\n"


def test_period_without_a_beginning_begins_with_its_first_point() -> None:
    end = datetime(2026, 3, 2, tzinfo=UTC)
    period = parse_period(QueryParams("to=2026-03-01"))
    first = SimpleNamespace(start=datetime(2026, 2, 1, tzinfo=UTC))
    shown = render_period(replace(period, start=None), [first])
    assert (shown["from"], shown["to"], shown["interval"]) == (first.start, end, "day")
    assert render_period(replace(period, start=None), [])["from"] is None
    given = replace(period, start=datetime(2026, 1, 1, tzinfo=UTC))
    assert render_period(given, [first])["from"] == given.start


def test_share_is_of_those_who_could_have_it() -> None:
    cells = [
        Cell(row="0-9", column="female", count=count, population=population)
        for count, population in ((1, 3), (0, 0))
    ]
    assert [cell["share"] for cell in render_cells(cells)] == [0.3333, 0.0]


def test_breakdown_names_its_groups_and_how_many_are_hidden() -> None:
    assert render_breakdown("gender", Breakdown((Group("female", 12),), 2)) == {
        "groups": [{"gender": "female", "count": 12}],
        "suppressed": 2,
    }
