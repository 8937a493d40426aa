"""Amounts and numbers are read as people mean them in their language, or refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.console.screens.form_values import read_number
from apps.console.screens.money.account import not_an_amount, read_amount
from tests.console.books import EN, ES, MX, TOO_LONG


@pytest.mark.parametrize(
    ("text", "currency", "units"),
    [
        ("1000", "USD", 100_000),
        ("1000.5", "USD", 100_050),
        ("1000,50", "USD", 100_050),
        ("12,3", "USD", 1230),
        ("0.01", "USD", 1),
        ("1000", "JPY", 1000),
        ("1.000", "KWD", 1000),
        ("9" * 12, "USD", 99_999_999_999_900),
        ("1,000", "USD", None),
        ("1.000", "USD", None),
        ("1,000.00", "USD", None),
        ("1 000", "USD", None),
        ("1,000", "JPY", None),
        ("1.000", "JPY", None),
        ("1.0", "JPY", None),
        # Three decimals or thousands: nobody can tell.
        ("1,000", "KWD", None),
        ("12.345", "USD", None),
        ("0", "USD", None),
        ("-1", "USD", None),
        ("1e3", "USD", None),
        ("²", "USD", None),
        ("9" * 13, "USD", None),
        ("100000000000000000000", "USD", None),
        (TOO_LONG, "USD", None),
        ("", "USD", None),
    ],
)
def test_amount_is_never_read_as_another_one(text: str, currency: str, units: int | None) -> None:
    found = read_amount(text, currency, EN)
    assert found == (units and {"minorUnits": str(units), "currency": currency})


@given(
    st.integers(1, 10**12 - 1),
    st.sampled_from(["USD", "JPY", "KWD"]),
    st.sampled_from([EN, ES, MX]),
)
def test_amount_that_a_form_offers_is_read_as_the_same(
    units: int, currency: str, texts: Any
) -> None:
    money = {"minorUnits": str(units), "currency": currency}
    assert read_amount(texts.typed_amount(money), currency, texts) == money


def test_wrong_amount_says_how_one_is_written() -> None:
    assert not_an_amount(EN, "USD").endswith("as 1250.50.")
    assert not_an_amount(ES, "EUR").endswith("como 1250,50.")
    assert not_an_amount(EN, "JPY").endswith("as 125050.")


@pytest.mark.parametrize("text", [TOO_LONG, "9e999999", "1e3", "NaN", "²", "9" * 13, ".", "1,0,0"])
def test_number_is_bounded(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize("text", ["36.5", "36,5", " 36,5", "+36.5", "036.50"])
def test_number_is_read_as_people_write_it(text: str) -> None:
    assert str(read_number(text)).strip("0") == "36.5"
    assert str(read_number(".5")) == "0.5"
    assert str(read_number("-1 000")) == "-1000"
