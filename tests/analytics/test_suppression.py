"""Small groups against a reader who subtracts: margins, totals, periods, filters and time zones."""

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from apps.analytics.figures.suppression import (
    Cell,
    Group,
    break_down,
    round_count,
    suppress_cells,
)
from apps.analytics.reports.parameters import parse_months
from apps.kit.errors import Unprocessable
from protos.patient.v1 import events_pb2 as pb
from tests.analytics.conftest import Bench, clinical_event, patient_event
from tests.analytics.serving import SNOMED, get

SMALLEST = 11
people = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: sorted(pair))


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(people, min_size=16, max_size=16),
)
def test_no_sum_that_is_known_tells_a_small_group(
    rows: int, columns: int, drawn: list[list[int]]
) -> None:
    places = list(itertools.product(range(rows), range(columns)))
    cells = [
        Cell(row=str(row), column=str(column), count=count, population=population)
        for (row, column), (count, population) in zip(places, drawn, strict=False)
    ]
    shown, suppressed = suppress_cells(cells, SMALLEST)

    assert all(cell.count >= SMALLEST for cell in shown)
    assert suppressed == len(cells) - len(shown)
    hidden = [cell for cell in cells if cell not in shown]
    if shown and hidden:
        # All patients with the code, less those that are shown.
        assert sum(cell.count for cell in hidden) >= SMALLEST
    for axis in ("row", "column"):
        for name in {getattr(cell, axis) for cell in hidden}:
            line = [cell for cell in cells if getattr(cell, axis) == name]
            left = [cell for cell in line if cell in hidden]
            # The people of a row or column are known from the demographics.
            if len(left) < len(line):
                assert len(left) > 1
                assert sum(cell.population for cell in left) >= SMALLEST


def test_cells_that_give_nobody_away_are_shown() -> None:
    # The four of the first rows and columns hide each other.
    cells = [
        Cell(row=row, column=column, count=40 if "c" in row + column else 5, population=50)
        for row, column in itertools.product("abc", repeat=2)
    ]
    shown, suppressed = suppress_cells(cells, SMALLEST)
    assert suppressed == 4
    assert {cell.row + cell.column for cell in shown} == {"ac", "bc", "ca", "cb", "cc"}


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ([11, 30], [30, 11]),
        # One that is hidden alone is the total less the rest: the next is hidden as well.
        ([10, 11, 30], [30]),
        ([5, 6, 30], [30]),
        ([5, 5, 30], []),
        ([4, 5, 12, 30], [30]),
        ([10], []),
    ],
)
def test_group_under_the_smallest_is_hidden_with_as_many_as_hide_it(
    counts: list[int], shown: list[int]
) -> None:
    found = break_down([Group(str(count), count) for count in counts], SMALLEST)
    assert [group.count for group in found.groups] == shown
    assert found.suppressed == len(counts) - len(shown)


@pytest.mark.parametrize(
    ("counts", "populations", "hidden"),
    [
        ([10, 11, 40, 40], [50, 50, 50, 50], 4),
        ([11, 11, 11, 11], [50, 50, 50, 50], 0),
    ],
)
def test_cell_under_the_smallest_is_hidden_with_its_row_and_column(
    counts: list[int], populations: list[int], hidden: int
) -> None:
    places = itertools.product("ab", repeat=2)
    cells = [
        Cell(row=row, column=column, count=count, population=population)
        for (row, column), count, population in zip(places, counts, populations, strict=True)
    ]
    assert suppress_cells(cells, SMALLEST)[1] == hidden


def test_hidden_cells_of_a_line_are_of_as_many_people_as_the_smallest() -> None:
    """Two hidden cells of a row, of ten people and of eleven; the columns hide them already."""
    for people, suppressed in ((5, 6), (6, 4)):
        cells = [
            Cell(row="a", column="x", count=2, population=5),
            Cell(row="a", column="y", count=2, population=people),
            Cell(row="b", column="x", count=9, population=50),
            Cell(row="b", column="y", count=9, population=50),
            *(Cell(row=row, column="z", count=20, population=50) for row in "ab"),
        ]
        assert suppress_cells(cells, SMALLEST)[1] == suppressed


def test_counts_are_rounded_where_small_groups_are_hidden() -> None:
    assert [round_count(count, 11) for count in (11, 12, 13, 17, 18)] == [10, 10, 15, 15, 20]
    assert round_count(11, 1) == 11


def condition(patient: int, when: datetime, system: str = SNOMED) -> pb.PatientEvent:
    event = clinical_event(code=pb.Coding(system=system, code="c"), patient_id=f"p{patient}")
    event.clinical.effective_at.FromDatetime(when)
    return event


@pytest.mark.integration
async def test_neither_periods_nor_filters_nor_zones_single_anybody_out(
    bench: Bench, client: Any
) -> None:
    early, late = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 2, 20, 23, 30, tzinfo=UTC)
    events = [condition(number, early) for number in range(21)]
    # The one whom the questions below would single out, by his month and by his code's system.
    events.append(condition(99, late, system="urn:other"))
    events += [patient_event(patient_id=event.patient_id) for event in events]
    await bench.publish(*events)
    await bench.wait_for_reading(len(events))

    async def top(query: str) -> int:
        found = (await get(client, f"conditions/top?{query}"))["conditions"]
        return sum(each["patients"] for each in found)

    assert await top("from=2026-01-01&to=2026-01-31") == await top("from=2026-01-01&to=2026-02-28")

    async def prevalence(query: str) -> Any:
        return (await get(client, f"prevalence?type=Condition&code=c{query}"))["patients"]

    assert await prevalence("") == await prevalence(f"&system={SNOMED}") == 20
    for path in (
        "conditions/top?from=2026-01-01&to=2026-02-20",
        "conditions/top?from=2026-01-01&to=2026-02-20T23:30:00Z",
        "conditions/top?from=2026-01-01&to=2026-01-31&timezone=Asia/Kolkata",
        "prevalence?type=Condition&code=c&to=2026-02-20",
        "immunizations/coverage?code=c&to=2026-02-20",
    ):
        assert (await get(client, path, 422))["code"] == "period_too_fine"
    answer = await get(client, "encounters?to=2026-02-20")
    assert (answer["classes"], answer["reasons"], answer["lengthOfStay"]) == (None, None, None)


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-01-02",
        "from=2026-01-01T06:00:00Z",
        "from=2026-01-01T00:15:00Z",
        "to=2026-02-01T12:00:00Z",
        # Midnight there, and an hour before it in UTC.
        "from=2026-01-01T00:00:00%2B01:00",
        "from=2026-01-01&timezone=Asia/Tokyo",
    ],
)
def test_period_of_a_breakdown_begins_and_ends_with_a_month(query: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        parse_months(QueryParams(query))
    assert refused.value.code == "period_too_fine"


@pytest.mark.parametrize("query", ["", "from=2026-01-01&to=2026-01-31", "to=2026-02-01T00:00:00Z"])
def test_whole_months_are_a_period_of_a_breakdown(query: str) -> None:
    parse_months(QueryParams(query))
