"""Cursors give back what they were made of, and only to their own query."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from apps.kit.errors import BadRequest
from apps.patient.search.reading.cursors import Cursors

CURSORS = Cursors("secret")
QUERY = "/fhir/R4/Patient?name=a"


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["text", "", None, True, False],
        [0, -1, 2**63 - 1, -(2**63)],
        [datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)],
        [Decimal("1.10"), Decimal("-Infinity"), Decimal("1e30")],
        [["nested", 1, [Decimal("0.5")]], 2],
    ],
)
def test_cursor_gives_back_the_values_of_its_query(values: list[Any]) -> None:
    read = CURSORS.read(QUERY, CURSORS.make(QUERY, values))
    assert read == values
    assert list(map(type, read)) == list(map(type, values))


def test_cursor_of_the_previous_release_is_read() -> None:
    assert CURSORS.read(QUERY, CURSORS.make(QUERY, [{"i": "-7"}])) == [-7]


def test_cursor_of_another_query_secret_or_content_is_refused() -> None:
    cursor = CURSORS.make(QUERY, [1])
    changed = ("B" if cursor[-2] != "B" else "C").join((cursor[:-2], cursor[-1:]))
    for query, text in (
        (f"{QUERY}&_count=1", cursor),
        (QUERY, Cursors("other").make(QUERY, [1])),
        (QUERY, changed),
        (QUERY, cursor[1:]),
        (QUERY, cursor[:16]),
        (QUERY, ""),
        (QUERY, "A"),
        (QUERY, "é"),
        (QUERY, cursor + "!"),
    ):
        with pytest.raises(BadRequest) as refused:
            CURSORS.read(query, text)
        assert refused.value.faults[0].pointer == "_cursor"
