"""The bounds of the fields of requests: the last value that is taken, and the first that is not."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from apps.billing.money import MAX_MINOR_UNITS
from apps.billing.parsing import Fields, parse_id
from apps.kit.errors import BadRequest, NotFound
from protos.billing.v1 import billing_pb2 as pb


def codes_of(read: Callable[[Fields], Any]) -> list[tuple[str | None, str]]:
    """Returns pointer and code of each fault that `read` finds."""
    fields = Fields()
    read(fields)
    try:
        fields.check()
    except BadRequest as problem:
        return [(fault.pointer, fault.code) for fault in problem.faults]
    return []


@pytest.mark.parametrize(
    ("text", "taken"),
    [("r", True), ("r" * 255, True), ("r" * 256, False), ("", False), ("a b", False), ("é", False)],
)
def test_request_id_is_1_to_255_printable_characters(text: str, taken: bool) -> None:
    faults = codes_of(lambda fields: fields.request_id(text))
    assert faults == ([] if taken else [("request_id", "invalid_request_id")])


@pytest.mark.parametrize(
    ("text", "required", "code"),
    [
        ("x" * 9, True, ""),
        ("x" * 10, True, "invalid_note"),
        (" " * 20 + "x", True, ""),
        ("a\tb", True, "invalid_note"),
        ("", True, "required"),
        ("  ", True, "required"),
        ("", False, ""),
    ],
)
def test_text_is_bounded_without_the_spaces_around_it(text: str, required: bool, code: str) -> None:
    faults = codes_of(lambda fields: fields.text("note", text, required=required, limit=9))
    assert faults == ([("note", code)] if code else [])


@pytest.mark.parametrize(
    ("text", "required", "taken"),
    [("a" * 64, True, True), ("a" * 65, False, False), ("", False, True), ("", True, False)],
)
def test_id_of_the_record_has_up_to_64_characters(text: str, required: bool, taken: bool) -> None:
    faults = codes_of(lambda fields: fields.fhir_id("payer_id", text, required=required))
    assert faults == ([] if taken else [("payer_id", "invalid_payer_id")])


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1900-01-01", date(1900, 1, 1)),
        ("2199-12-31", date(2199, 12, 31)),
        ("1899-12-31", None),
        ("2200-01-01", None),
        # ISO 8601 has these too.
        ("20260101", None),
        ("2026-W01-1", date(2025, 12, 29)),
        ("2026-02-30", None),
    ],
)
def test_day_is_of_the_years_1900_to_2199(text: str, day: date | None) -> None:
    fields = Fields()
    assert fields.day("due_on", text) == day
    assert codes_of(lambda fields: fields.day("due_on", text)) == (
        [] if day else [("due_on", "invalid_date")]
    )


@pytest.mark.parametrize(
    ("moment", "taken"),
    [
        (datetime(1900, 1, 1, tzinfo=UTC), True),
        (datetime(2199, 12, 31, 23, 59, 59, tzinfo=UTC), True),
        (datetime(1899, 12, 31, 23, 59, 59, tzinfo=UTC), False),
        (datetime(2200, 1, 1, tzinfo=UTC), False),
    ],
)
def test_moment_is_of_the_years_1900_to_2199(moment: datetime, taken: bool) -> None:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    assert Fields().moment("at", stamp) == (moment if taken else None)
    faults = codes_of(lambda fields: fields.moment("at", stamp))
    assert faults == ([] if taken else [("at", "invalid_time")])


def test_moment_that_no_calendar_has_is_refused() -> None:
    stamp = Timestamp(seconds=2**60)
    faults = codes_of(lambda fields: fields.moment("at", stamp))
    assert faults == [("at", "invalid_time")]
    assert Fields().moment("at", Timestamp()) is None
    assert Fields().moment("at", Timestamp(nanos=1)) == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "minimum", "taken"),
    [
        (0, 1, False),
        (1, 1, True),
        (0, 0, True),
        (-1, 0, False),
        (MAX_MINOR_UNITS, 1, True),
        (MAX_MINOR_UNITS + 1, 1, False),
    ],
)
def test_amount_lies_between_its_minimum_and_what_books_hold(
    amount: int, minimum: int, taken: bool
) -> None:
    money = pb.Money(minor_units=amount)
    faults = codes_of(lambda fields: fields.amount("amount", money, "USD", minimum=minimum))
    assert faults == ([] if taken else [("amount/minor_units", "invalid_amount")])


@pytest.mark.parametrize(
    ("whole", "text", "quantity", "code"),
    [
        (0, "", "1", ""),
        (1_000_000, "", "1000000", ""),
        (1_000_001, "", "1000001", "invalid_quantity"),
        (-1, "", "-1", "invalid_quantity"),
        (0, "0.001", "0.001", ""),
        (0, "0.0001", "0", "invalid_quantity"),
        (0, "0", "0", "invalid_quantity"),
        (0, "1000000", "1000000", ""),
        (0, "1000000.001", "1000000.001", "invalid_quantity"),
        (0, "-1", "0", "invalid_quantity"),
        (2, "2.0", "2", ""),
        (2, "2.5", "2.5", "contradiction"),
    ],
)
def test_quantity_is_above_zero_and_at_most_a_million(
    whole: int, text: str, quantity: str, code: str
) -> None:
    assert Fields().quantity(whole, text) == Decimal(quantity)
    faults = codes_of(lambda fields: fields.quantity(whole, text))
    assert [found for _, found in faults] == ([code] if code else [])


@pytest.mark.parametrize(
    ("number", "taken"), [(-1, False), (0, True), (10_000, True), (10_001, False)]
)
def test_basis_points_are_a_part_of_the_whole(number: int, taken: bool) -> None:
    faults = codes_of(lambda fields: fields.basis_points("percent", number))
    assert faults == ([] if taken else [("percent", "invalid_percentage")])


def test_what_is_no_id_is_not_found() -> None:
    with pytest.raises(NotFound, match="account_unknown"):
        parse_id("banana", "account_unknown")
