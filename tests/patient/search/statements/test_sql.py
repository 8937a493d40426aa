"""Statements and their arguments."""

from datetime import UTC, datetime

import pytest

from apps.patient.search.criteria.criteria import Range
from apps.patient.search.statements.sql import Sql, moment_of, updated_bounds

MAXIMUM = 2**63 - 1


def test_statement_has_the_arguments_that_it_uses_numbered_anew() -> None:
    sql = Sql()
    names = [sql.argument(value, "text") for value in "abc"]
    assert names == ["$1::text", "$2::text", "$3::text"]
    statement, arguments = sql.used(f"SELECT {names[2]}, {names[0]}, {names[2]}")
    assert statement == "SELECT $1::text, $2::text, $1::text"
    assert arguments == ["c", "a"]
    assert sql.used("SELECT 1") == ("SELECT 1", [])
    for _ in range(9):
        sql.argument("x", "text")
    statement, arguments = sql.used("SELECT $12::text, $1::text")
    assert (statement, arguments) == ("SELECT $1::text, $2::text", ["x", "a"])


@pytest.mark.parametrize(
    ("microseconds", "moment"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        (1_500_000, datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)),
        (MAXIMUM, datetime.max.replace(tzinfo=UTC)),
        (-MAXIMUM, datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_moment_is_within_those_that_the_database_has(microseconds: int, moment: datetime) -> None:
    assert moment_of(microseconds) == moment


def test_last_update_is_a_span_without_length() -> None:
    for bounds, operator in (
        (Range(low_from=0), ">="),
        (Range(low_before=0), "<"),
        (Range(high_after=0), ">="),
        (Range(high_upto=0), "<"),
    ):
        sql = Sql()
        assert updated_bounds(sql, bounds, "r") == [f"r.last_updated {operator} $1::timestamptz"]
        assert sql.arguments == [datetime(1970, 1, 1, tzinfo=UTC)]
    assert updated_bounds(Sql(), Range(), "r") == []
