"""FHIR dates as spans of time."""

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.patient.search.periods import parse_span


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2024", moment(2024, 1, 1), moment(2025, 1, 1)),
        ("2024-02", moment(2024, 2, 1), moment(2024, 3, 1)),
        ("2024-12", moment(2024, 12, 1), moment(2025, 1, 1)),
        ("2024-02-29", moment(2024, 2, 29), moment(2024, 3, 1)),
        ("2024-02-29T10:00Z", moment(2024, 2, 29, 10), moment(2024, 2, 29, 10, 1)),
        ("2024-02-29T10:00:00+02:00", moment(2024, 2, 29, 8), moment(2024, 2, 29, 8, 0, 1)),
        ("2024-02-29T10:00:00", moment(2024, 2, 29, 10), moment(2024, 2, 29, 10, 0, 1)),
    ],
)
def test_date_is_the_span_that_it_names(text: str, start: datetime, end: datetime) -> None:
    span = parse_span(text)
    assert span is not None
    assert (span.start, span.end) == (start, end)


@pytest.mark.parametrize("text", ["9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59Z", "0001"])
def test_ends_of_time_are_spans_too(text: str) -> None:
    span = parse_span(text)
    assert span is not None
    assert span.start < span.end


@pytest.mark.parametrize(
    "text", ["", "soon", "0000", "2024-13", "2023-02-29", "2024-1-1", "2024-01-01T25:00Z", "99999"]
)
def test_what_is_no_date_is_no_span(text: str) -> None:
    assert parse_span(text) is None


@given(st.dates(min_value=date(1, 1, 1), max_value=date(9999, 12, 30)))
def test_every_day_lies_in_its_month_and_year(day: date) -> None:
    spans = [parse_span(day.isoformat()[:length]) for length in (10, 7, 4)]
    for inner, outer in pairwise(spans):
        assert inner
        assert outer
        assert outer.start <= inner.start < inner.end <= outer.end
