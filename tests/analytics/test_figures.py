from datetime import UTC, datetime

import pytest
from starlette.datastructures import QueryParams

from apps.analytics.events.patient import Event, PatientEvent, parse_event
from apps.analytics.figures.changes import changes_of
from apps.analytics.figures.suppression import Breakdown, Cell, Group, break_down, suppress_cells
from apps.analytics.reports.care import age_group
from apps.analytics.reports.parameters import parse_period
from apps.analytics.settings import Settings
from apps.kit.settings import SettingsError
from protos.patient.v1 import events_pb2 as pb
from tests.analytics.conftest import ENVIRONMENT, clinical_event, patient_event


def parse_all(*messages: pb.PatientEvent) -> list[Event]:
    """Returns the events that the messages are to the figures."""
    parsed = (parse_event(message.SerializeToString()) for message in messages)
    return [event for event in parsed if event is not None]


def test_only_a_creation_is_a_registration() -> None:
    kinds = ("patient.created", "patient.created", "patient.updated", "patient.deleted")
    changes = changes_of(parse_all(*map(patient_event, kinds)))
    assert changes.registrations == [(datetime(2026, 3, 4, 5, tzinfo=UTC), 2)]
    assert len(changes.patients) == 4


def test_newest_version_of_a_batch_is_kept() -> None:
    messages = [
        patient_event("patient.updated", patient_id="p", version_id=version)
        for version in (2, 3, 1)
    ]
    (patient,) = changes_of(parse_all(*messages)).patients
    assert isinstance(patient, PatientEvent)
    assert patient.version_id == 3


def test_facts_without_a_statistic_are_not_kept() -> None:
    kinds = ("Observation", "Condition", "Encounter", "Immunization", "CarePlan")
    messages = [clinical_event(resource_type=kind) for kind in kinds]
    facts = changes_of(parse_all(*messages)).facts
    assert [fact.resource_type for fact in facts] == ["Condition", "Encounter", "Immunization"]


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ([30, 20], [30, 20]),
        ([30, 11], [30, 11]),
        # One hidden group could be worked out from the total: the next goes with it.
        ([30, 20, 10], [30]),
        # Two of which nobody knows more than their sum, and that is of enough people.
        ([30, 20, 9, 8], [30, 20]),
        ([30, 20, 1, 2], [30]),
        ([3], []),
        ([30, 3], []),
        ([], []),
    ],
)
def test_group_too_small_is_hidden_and_cannot_be_worked_out(
    counts: list[int], shown: list[int]
) -> None:
    breakdown = break_down([Group(f"g{count}", count) for count in counts], 11)
    assert [group.count for group in breakdown.groups] == shown
    assert breakdown.suppressed == len(counts) - len(shown)


def test_with_the_smallest_group_of_one_nothing_is_hidden() -> None:
    assert break_down([Group("a", 1)], 1) == Breakdown((Group("a", 1),), 0)


def test_age_groups_are_decades() -> None:
    assert [age_group(decade) for decade in (0, 3, 9, None)] == ["0-9", "30-39", "90+", "unknown"]


def cell(row: str, column: str, count: int) -> Cell:
    return Cell(row=row, column=column, count=count, population=100)


def test_hidden_cell_of_a_table_cannot_be_calculated_from_its_row_or_column() -> None:
    counts = {"a": (3, 40, 50), "b": (20, 30, 60), "c": (70, 80, 90)}
    cells = [
        cell(row, column, count)
        for row, line in counts.items()
        for column, count in zip("xyz", line, strict=True)
    ]

    shown, hidden = suppress_cells(cells, 11)

    # Row a and column x have a second hidden cell each, and so have the lines of those.
    assert {(each.row, each.column) for each in cells} - {
        (each.row, each.column) for each in shown
    } == {("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")}
    assert hidden == 4


def test_days_begin_by_the_clock_of_the_time_zone() -> None:
    period = parse_period(QueryParams("from=2026-07-01&to=2026-07-01&timezone=Asia/Kolkata"))
    assert (period.start, period.end) == (
        datetime(2026, 6, 30, 18, 30, tzinfo=UTC),
        datetime(2026, 7, 1, 18, 30, tzinfo=UTC),
    )


def test_period_is_widened_to_full_quarters_of_an_hour() -> None:
    period = parse_period(
        QueryParams("interval=hour&from=2026-01-01T10:20:00Z&to=2026-01-01T12:00:01%2B01:00")
    )
    assert (period.start, period.end) == (
        datetime(2026, 1, 1, 10, 15, tzinfo=UTC),
        datetime(2026, 1, 1, 11, 15, tzinfo=UTC),
    )


def test_last_day_of_a_period_is_counted() -> None:
    assert parse_period(QueryParams("to=2026-01-31")).end == datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_settings_name_what_is_missing(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({key: value for key, value in ENVIRONMENT.items() if key != name})
