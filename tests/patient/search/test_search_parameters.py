"""Parsing of search parameters."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kit.errors import BadRequest
from apps.patient.search.search_parameters import (
    make_cursor,
    parse_criteria,
    parse_cursor,
    split_values,
    unescape,
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a,b", ["a", "b"]),
        (r"a\,b", ["a,b"]),
        (r"a\\b,", [r"a\b"]),
        ("", []),
        ("a\x00", []),
        (r"x\|y", ["x|y"]),
    ],
)
def test_values_lie_between_commas(text: str, values: list[str]) -> None:
    assert [unescape(part) for part in split_values(text)] == values


def test_identifier_is_split_at_its_own_bar() -> None:
    sql = parse_criteria("Patient", [("identifier", r"http://s|a\|b")]).sql
    assert sql.arguments == ["identifier", "a|b", "http://s"]


@pytest.mark.parametrize(
    "parameter",
    [
        *(
            "name=",
            "name=,",
            "shoe-size=44",
            "_count=x",
            "birthdate=ap2020",
            "_sort=name",
            "name:contains=x",
        ),
        *("active=yes", "identifier=s|", "gender=", "_total=some"),
    ],
)
def test_parameter_that_is_not_served_is_refused(parameter: str) -> None:
    name, _, value = parameter.partition("=")
    with pytest.raises(BadRequest):
        parse_criteria("Patient", [(name, value)])


def test_criteria_are_bounded() -> None:
    with pytest.raises(BadRequest):
        parse_criteria("Patient", [("name", "x")] * 21)
    with pytest.raises(BadRequest):
        parse_criteria("Patient", [("name", ",".join("x" * 51))])


@given(st.from_regex(r"\A[A-Za-z0-9.-]{1,64}\Z"))
def test_cursor_comes_back(id: str) -> None:
    assert parse_cursor(make_cursor(id)) == id


@given(st.text())
def test_foreign_cursor_is_refused_or_harmless(text: str) -> None:
    with suppress(BadRequest):
        assert len(parse_cursor(text)) <= 64
