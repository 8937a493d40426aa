"""What a field may hold: the last value that is taken, and the first that is refused."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from apps.billing.parsing import Fields, parse_id
from apps.kit.errors import BadRequest, NotFound
from protos.billing.v1 import billing_pb2 as pb

Read = Callable[[Fields], Any]
MOST = 10**15


def read(by: Read) -> Any:
    """What the field gives, or (pointer, code) of each fault."""
    fields = Fields()
    value = by(fields)
    try:
        fields.check()
    except BadRequest as problem:
        return [(fault.pointer, fault.code) for fault in problem.faults]
    return value


def stamp(text: str) -> Timestamp:
    message = Timestamp()
    message.FromJsonString(text)
    return message


INVALID_DATE = [("day", "invalid_date")]
INVALID_TIME = [("moment", "invalid_time")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("1899-12-31", INVALID_DATE),
        ("1900-01-01", date(1900, 1, 1)),
        ("2199-12-31", date(2199, 12, 31)),
        ("2200-01-01", INVALID_DATE),
        ("2026-02-29", INVALID_DATE),
        ("20260228", INVALID_DATE),
        ("soon", INVALID_DATE),
    ],
)
def test_day_is_of_1900_to_2199(text: str, expected: Any) -> None:
    assert read(lambda fields: fields.day("day", text)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Timestamp(), None),
        (Timestamp(nanos=1_000), datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        (stamp("1899-12-31T23:59:59Z"), INVALID_TIME),
        (stamp("1900-01-01T00:00:00Z"), datetime(1900, 1, 1, tzinfo=UTC)),
        (stamp("2199-12-31T23:59:59Z"), datetime(2199, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (stamp("2200-01-01T00:00:00Z"), INVALID_TIME),
        (Timestamp(seconds=2**62), INVALID_TIME),
    ],
)
def test_moment_is_of_1900_to_2199(given: Timestamp, expected: Any) -> None:
    assert read(lambda fields: fields.moment("moment", given)) == expected


@pytest.mark.parametrize(
    ("minimum", "amount", "is_taken"),
    [
        (1, 0, False),
        (1, 1, True),
        (0, -1, False),
        (0, 0, True),
        (1, MOST, True),
        (1, MOST + 1, False),
    ],
)
def test_amount_is_bounded_at_both_ends(minimum: int, amount: int, is_taken: bool) -> None:
    given = pb.Money(minor_units=amount, currency="USD")
    found = read(lambda fields: fields.amount("at", given, "USD", minimum=minimum))
    assert found == (amount if is_taken else [("at/minor_units", "invalid_amount")])


@pytest.mark.parametrize(("currency", "is_taken"), [("", True), ("USD", True), ("EUR", False)])
def test_amount_is_in_the_currency_of_the_account(currency: str, is_taken: bool) -> None:
    given = pb.Money(minor_units=5, currency=currency)
    found = read(lambda fields: fields.amount("at", given, "USD"))
    assert found == (5 if is_taken else [("at/currency", "other_currency")])


INVALID_WHOLE = [("quantity", "invalid_quantity")]
INVALID_DECIMAL = [("quantity_decimal", "invalid_quantity")]


@pytest.mark.parametrize(
    ("whole", "text", "expected"),
    [
        (0, "", Decimal(1)),
        (-1, "", INVALID_WHOLE),
        (1, "", Decimal(1)),
        (1_000_000, "", Decimal(1_000_000)),
        (1_000_001, "", INVALID_WHOLE),
        (0, "0", INVALID_DECIMAL),
        (0, "0.000", INVALID_DECIMAL),
        (0, "0.001", Decimal("0.001")),
        (0, "0.0001", INVALID_DECIMAL),
        (0, "1000000", Decimal(1_000_000)),
        (0, "1000000.001", INVALID_DECIMAL),
        (0, "-1", INVALID_DECIMAL),
        (0, "1e3", INVALID_DECIMAL),
        (2, "2.000", Decimal(2)),
        (2, "2.5", [("quantity", "contradiction")]),
    ],
)
def test_quantity_is_above_zero_and_at_most_a_million(whole: int, text: str, expected: Any) -> None:
    assert read(lambda fields: fields.quantity(whole, text)) == expected


@pytest.mark.parametrize(
    ("points", "is_taken"), [(-1, False), (0, True), (10_000, True), (10_001, False)]
)
def test_percentage_is_at_most_the_whole(points: int, is_taken: bool) -> None:
    found = read(lambda fields: fields.basis_points("at", points))
    assert found == (points if is_taken else [("at", "invalid_percentage")])


@pytest.mark.parametrize(
    ("text", "required", "expected"),
    [
        (" x ", False, "x"),
        ("", False, ""),
        (" ", True, [("name", "required")]),
        ("x" * 256, False, "x" * 256),
        ("x" * 257, False, [("name", "invalid_name")]),
        ("a\x00b", False, [("name", "invalid_name")]),
    ],
)
def test_text_is_bounded_and_printable(text: str, required: bool, expected: Any) -> None:
    assert read(lambda fields: fields.text("name", text, required=required)) == expected


def test_text_may_have_a_limit_of_its_own() -> None:
    assert read(lambda fields: fields.text("code", "x" * 64, limit=64)) == "x" * 64
    found = read(lambda fields: fields.text("code", "x" * 65, limit=64))
    assert found == [("code", "invalid_code")]


@pytest.mark.parametrize(
    ("text", "required", "is_taken"),
    [
        ("", False, True),
        ("", True, False),
        ("x" * 64, True, True),
        ("x" * 65, False, False),
        ("a/b", False, False),
    ],
)
def test_fhir_id_has_at_most_64_characters(text: str, required: bool, is_taken: bool) -> None:
    found = read(lambda fields: fields.fhir_id("id", text, required=required))
    assert found == (text if is_taken else [("id", "invalid_id")])


@pytest.mark.parametrize(
    ("text", "is_taken"), [("x" * 255, True), ("x" * 256, False), ("", False), ("a b", False)]
)
def test_request_id_is_of_1_to_255_visible_characters(text: str, is_taken: bool) -> None:
    found = read(lambda fields: fields.request_id(text))
    assert found == (None if is_taken else [("request_id", "invalid_request_id")])


def test_every_fault_is_named() -> None:
    def two(fields: Fields) -> None:
        fields.day("day", "soon")
        fields.basis_points("at", -1)

    assert read(two) == [*INVALID_DATE, ("at", "invalid_percentage")]


def test_what_cannot_be_an_id_is_not_found() -> None:
    known = UUID(int=7)
    assert parse_id(str(known), "account_unknown") == known
    with pytest.raises(NotFound) as refused:
        parse_id("banana", "account_unknown")
    assert refused.value.code == "account_unknown"
