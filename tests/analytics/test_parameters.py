"""Parameters of the reports: the last value that is read, and the first that is refused."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from starlette.datastructures import QueryParams

from apps.analytics.reports.care import age_group, bounded
from apps.analytics.reports.parameters import (
    MAX_CODE_CHARACTERS,
    MAX_FAULTS,
    MAX_POINTS,
    MAX_TOP,
    parse_choice,
    parse_code,
    parse_day,
    parse_period,
    parse_top,
)
from apps.kit.errors import BadRequest, Unprocessable


def codes_of(parse: Callable[[QueryParams], Any], query: str) -> list[str]:
    try:
        parse(QueryParams(query))
    except BadRequest as problem:
        return [fault.code for fault in problem.faults]
    return []


@pytest.mark.parametrize(
    ("text", "top"),
    [("1", 1), (str(MAX_TOP), MAX_TOP), ("001", 1)]
    + [(text, None) for text in ("0", str(MAX_TOP + 1), "0001", "-1", "²", "x", "")],
)
def test_top_is_from_1_to_100(text: str, top: int | None) -> None:
    query = QueryParams({"limit": text})
    if top is not None:
        assert parse_top(query) == top
        return
    with pytest.raises(BadRequest):
        parse_top(query)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"code": "c" * MAX_CODE_CHARACTERS, "system": "s" * MAX_CODE_CHARACTERS}, ""),
        ({"code": "c" * (MAX_CODE_CHARACTERS + 1)}, "invalid_code"),
        ({"code": "c", "system": "s" * (MAX_CODE_CHARACTERS + 1)}, "invalid_system"),
        ({"code": ""}, "invalid_code"),
        ({"code": "a\0"}, "invalid_code"),
        ({"code": "a", "system": "\0"}, "invalid_system"),
    ],
)
def test_code_is_bounded(query: dict[str, str], code: str) -> None:
    values = QueryParams(query)
    if not code:
        assert parse_code(values).system == query["system"]
        return
    with pytest.raises(BadRequest) as refused:
        parse_code(values)
    assert [fault.code for fault in refused.value.faults] == [code]


@pytest.mark.parametrize("text", ["2026-02-30", "20260131", "2026-1-31", "yesterday", ""])
def test_day_is_a_date_of_the_calendar(text: str) -> None:
    assert parse_day(QueryParams("on=2026-01-31"), "on", "UTC") == date(2026, 1, 31)
    with pytest.raises(BadRequest):
        parse_day(QueryParams({"on": text}), "on", "UTC")


def test_choice_is_the_first_where_none_is_made() -> None:
    choices = ("day", "hour")
    assert parse_choice(QueryParams(""), "by", choices) == "day"
    assert parse_choice(QueryParams("by=hour"), "by", choices) == "hour"
    with pytest.raises(BadRequest):
        parse_choice(QueryParams("by=week"), "by", choices)


def test_each_parameter_is_known_and_given_once() -> None:
    assert codes_of(parse_period, "interval=day&interval=day") == ["repeated_parameter"]
    assert codes_of(parse_period, "color=red") == ["unknown_parameter"]
    assert codes_of(lambda query: parse_period(query, "color"), "color=red") == []
    many = "&".join(f"x{number}=1" for number in range(MAX_FAULTS + 1))
    assert codes_of(parse_period, many) == ["unknown_parameter"] * MAX_FAULTS


@pytest.mark.parametrize(
    "query",
    ["from=2026-02-30", "to=x", "from=2026-01-01T00:00:00", "to=9999-12-31", "from=2026-01-01T99Z"],
)
def test_time_is_a_date_or_has_its_offset(query: str) -> None:
    assert codes_of(parse_period, query) == ["invalid_time"]


def test_period_ends_after_it_begins() -> None:
    begin = "from=2026-01-01T00:00:00Z"
    assert parse_period(QueryParams(f"{begin}&to=2026-01-01T00:15:00Z")).end == datetime(
        2026, 1, 1, 0, 15, tzinfo=UTC
    )
    for end in ("2026-01-01T00:00:00Z", "2025-12-31T23:45:00Z"):
        with pytest.raises(Unprocessable):
            parse_period(QueryParams(f"{begin}&to={end}"))


def test_times_are_taken_to_whole_quarters_of_an_hour() -> None:
    period = parse_period(QueryParams("from=2026-01-01T00:14:59Z&to=2026-01-01T00:15:01Z"))
    assert (period.start, period.end) == (
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 30, tzinfo=UTC),
    )


@pytest.mark.parametrize("zone", ["localtime", "Factory", "Mars/Olympus", ""])
def test_time_zone_is_a_place(zone: str) -> None:
    assert codes_of(parse_period, f"timezone={zone}") == ["invalid_timezone"]


def test_ages_are_decades_up_to_ninety() -> None:
    groups = [age_group(decade) for decade in (None, 0, 8, 9, 10)]
    assert groups == ["unknown", "0-9", "80-89", "90+", "90+"]


def test_points_of_a_report_are_bounded() -> None:
    points: list[Any] = [0] * MAX_POINTS
    assert bounded(points) == points
    with pytest.raises(Unprocessable):
        bounded([*points, 0])
