"""What pages read from resources: malformed ones give empty texts, plots cover their values."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.console.neighbours import fhir
from apps.console.neighbours.observations import number_of, value_of
from apps.console.screens.figures import series
from apps.console.screens.my_accesses import group_events
from apps.console.screens.patients import parse_query
from apps.console.screens.timeline import PAGE_SIZE, cut_page
from apps.console.web.plots import HEIGHT, WIDTH, nice_ticks, plot_bars, plot_line
from apps.console.web.texts import choose_texts

TEXTS = choose_texts("", "en-GB", ZoneInfo("UTC"))
NAMES = st.sampled_from(
    ["name", "code", "coding", "text", "value", "valueQuantity", "telecom", "address", "period"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, json_values, max_size=6))
def test_malformed_resources_give_texts_and_no_errors(resource: dict[str, Any]) -> None:
    for read in (fhir.title_of, fhir.status_of, fhir.date_of, value_of):
        assert isinstance(read(resource), str)
    assert number_of(resource) is None or isinstance(number_of(resource), float)
    assert fhir.entries(resource) == []


@pytest.mark.parametrize(
    ("born", "today", "age"),
    [
        ("2000-02-29", date(2026, 2, 28), 25),
        ("2000-02-29", date(2026, 3, 1), 26),
        ("2000", date(2026, 6, 1), 26),
        ("", date(2026, 6, 1), None),
        ("soon", date(2026, 6, 1), None),
    ],
)
def test_age_is_in_full_years(born: str, today: date, age: int | None) -> None:
    assert fhir.age_of({"birthDate": born}, today) == age


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("000000018", [("identifier", "urn:patient-management:mrn|000000018")]),
        ("31/12/1984", [("birthdate", "1984-12-31")]),
        ("+34 600 123 456", [("phone", "+34 600 123 456")]),
        ("garcía ana", [("name", "garcía"), ("name", "ana")]),
        ("ana 31.12.1984", [("name", "ana"), ("birthdate", "1984-12-31")]),
        ("a|b", [("name", "a\\|b")]),
        ("", []),
    ],
)
def test_what_is_typed_becomes_search_parameters(
    text: str, expected: list[tuple[str, str]]
) -> None:
    assert parse_query(text, TEXTS) == expected


@given(st.lists(st.integers(0, 30), max_size=120))
def test_pages_of_a_timeline_skip_nothing(days: list[int]) -> None:
    left = [{"id": str(index), "date": f"2026-05-{day + 1:02d}"} for index, day in enumerate(days)]
    seen: list[str] = []
    while left:
        shown, older = cut_page(left)
        seen += [each["id"] for each in shown]
        assert len(shown) >= min(PAGE_SIZE, len(left))
        left = [each for each in left if older and each["date"] < older]
    assert sorted(seen) == sorted(str(index) for index in range(len(days)))


@given(st.floats(-1e6, 1e6), st.floats(0.001, 1e6))
def test_ticks_cover_the_values(low: float, width: float) -> None:
    ticks = nice_ticks(low, low + width)
    assert ticks[0] <= low + width * 1e-6 and ticks[-1] >= low + width
    assert len(ticks) < 20


def test_plots_stay_inside_their_frame() -> None:
    points = [(float(index), value, "x") for index, value in enumerate([5.0, 7.5, 120.0])]
    plot = plot_line(points, (4.0, None))
    assert plot and all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in plot.dots)
    assert plot_line(points[:1], (None, None)) is None
    bars = plot_bars([("a", 3.0), ("b", 0.0)], [1.0, 2.0])
    assert bars and all(0 <= y <= HEIGHT for _, y, _, _ in bars.bars)


def test_intervals_in_which_nothing_happened_are_shown() -> None:
    document = {"points": [{"start": "2026-05-02T00:00:00Z", "count": 3}]}
    values = series(
        document,
        "count",
        start=date(2026, 5, 1),
        end=date(2026, 5, 3),
        interval="day",
        texts=TEXTS,
    )
    assert [value for _, value in values] == [0.0, 3.0, 0.0]
    months = series(
        document,
        "count",
        start=date(2026, 4, 15),
        end=date(2026, 6, 1),
        interval="month",
        texts=TEXTS,
    )
    assert len(months) == 3


def test_numbers_of_values_are_written_as_the_locale_does() -> None:
    spanish = choose_texts("", "es", ZoneInfo("UTC"))
    hemoglobin = {"valueQuantity": {"value": 1234.5, "unit": "g/dL"}}
    assert value_of(hemoglobin, spanish.number) == "1.234,5 g/dL"
    assert value_of(hemoglobin, TEXTS.number) == "1,234.5 g/dL"


def test_events_of_one_person_and_minute_are_one_line() -> None:
    def event(at: str, action: str, who: str, kind: str) -> dict[str, Any]:
        agents = [(who, True), ("console", False)]
        return {
            "recorded": at,
            "action": action,
            "agent": [
                {"who": {"identifier": {"value": value}}, "requestor": requestor}
                for value, requestor in agents
            ],
            "entity": [{"what": {"reference": f"{kind}/1/_history/1"}}],
        }

    found = group_events(
        [
            event("2026-05-01T10:00:40Z", "E", "u1", "Condition"),
            event("2026-05-01T10:00:20Z", "R", "u1", "Patient"),
            event("2026-05-01T10:00:10Z", "U", "u1", "Patient"),
            event("2026-05-01T10:00:05Z", "R", "u2", "Patient"),
        ],
        TEXTS,
    )
    assert [(each.action, each.who, each.types) for each in found] == [
        ("Opened", "u1", ["Condition", "Patient"]),
        ("Changed", "u1", ["Patient"]),
        ("Opened", "u2", ["Patient"]),
    ]
    assert {each.application for each in found} == {"console"}
