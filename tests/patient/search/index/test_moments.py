"""FHIR dates as spans of time in microseconds."""

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.patient.search.index.moments import DAY, MINUTE, SECOND, parse_moment, parse_period


def at(*parts: int) -> int:
    moment = datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * SECOND


@pytest.mark.parametrize(
    ("text", "start", "length"),
    [
        ("2024", at(2024, 1, 1), 366 * DAY),
        ("2024-02", at(2024, 2, 1), 29 * DAY),
        ("2024-12", at(2024, 12, 1), 31 * DAY),
        ("1969-12-31", at(1969, 12, 31), DAY),
        ("2024-02-29T10:00Z", at(2024, 2, 29, 10), MINUTE),
        ("2024-02-29T10:00:00+02:00", at(2024, 2, 29, 8), SECOND),
        ("2024-02-29T20:00:00+10:00", at(2024, 2, 29, 10), SECOND),
        ("2024-02-29T22:00:00.5-05:30", at(2024, 3, 1, 3, 30) + 500_000, 100_000),
        ("2024-02-29T23:59Z", at(2024, 2, 29, 23, 59), MINUTE),
        ("2016-12-31T23:59:60Z", at(2017, 1, 1), SECOND),
        ("2024-02-29T10:00:00.1234567Z", at(2024, 2, 29, 10) + 123_456, 1),
        ("9999-12-31T23:59:59Z", at(9999, 12, 31, 23, 59, 59), SECOND),
    ],
)
def test_date_is_the_span_that_it_names(text: str, start: int, length: int) -> None:
    moment = parse_moment(text)
    assert moment is not None
    assert (moment.start, moment.end - moment.start) == (start, length)


def test_clock_is_what_was_written() -> None:
    moment = parse_moment("2024-03-10T20:00:00-05:00")
    assert moment is not None
    assert moment.clock_start == at(2024, 3, 10, 20)
    assert moment.start == at(2024, 3, 11, 1)
    assert moment.has_zone


@pytest.mark.parametrize("text", ["9999", "9999-12", "9999-12-31", "0001", "0001-01-01"])
def test_ends_of_time_are_spans_too(text: str) -> None:
    moment = parse_moment(text)
    assert moment is not None
    assert moment.start < moment.end


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "0000",
        "2024-13",
        "2023-02-29",
        "2024-1-1",
        "99999",
        "2024-01-01T25:00Z",
        "2024-01-01T10:61Z",
        "2024-01-01T10",
        "2024-01-01T24:00Z",
        "2024-01-01T10:60Z",
        "2024-01-01T10:00:61Z",
        "\u0662024",
    ],
)
def test_what_is_no_date_is_no_span(text: str) -> None:
    assert parse_moment(text) is None


@given(st.dates(min_value=date(1, 1, 1)))
def test_every_day_lies_in_its_month_and_year(day: date) -> None:
    moments = [parse_moment(day.isoformat()[:length]) for length in (10, 7, 4)]
    for inner, outer in pairwise(moments):
        assert inner
        assert outer
        assert outer.start <= inner.start < inner.end <= outer.end


def test_period_without_an_end_is_open() -> None:
    period = parse_period("2024", None)
    assert period is not None
    assert period.end == 2**63 - 1
    assert parse_period(None, None) is None
    assert parse_period("soon", "later") is None
    before = parse_period(None, "2024-01-01T00:00:00Z")
    assert before is not None
    assert (before.start, before.end) == (-(2**63), at(2024, 1, 1) + SECOND)
    assert before.has_zone
    assert not period.has_zone
