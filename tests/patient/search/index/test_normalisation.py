"""How names and phone numbers are compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.patient.search.index.normalisation import contact_codes, normalise_text, phone_keys


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("Strøm", "strom"),
        ("Łukasz", "lukasz"),
        ("  GARCÍA \t Straße ", "garcia strasse"),
        ("Ðorđe Þór Æsa", "dorde thor aesa"),
        ("O\u2019Brien", "o'brien"),
        ("İstanbul", "istanbul"),
    ],
)
def test_plain_letters_find_a_name(written: str, plain: str) -> None:
    assert normalise_text(written) == plain


@given(st.text(max_size=200))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise_text(normalise_text(text)) == normalise_text(text)


@pytest.mark.parametrize(
    "asked",
    ["0355550123", "+61 3 5555 0123", "(03) 5555-0123", "0061355550123", "+61 (0)3 5555 0123"],
)
def test_phone_is_found_however_it_is_written(asked: str) -> None:
    assert set(phone_keys("(03) 5555 0123")) & set(phone_keys(asked))
    assert set(phone_keys("+61 3 5555 0123")) & set(phone_keys(asked))


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("617-555-0123", "508-555-0123"),
        ("+61 3 5555 0123", "+61 3 5555 0124"),
        ("+47 22 12 34 56", "+61 22 12 34 56"[:-1]),
    ],
)
def test_another_phone_is_not_found(stored: str, asked: str) -> None:
    assert not set(phone_keys(stored)) & set(phone_keys(asked))


def test_north_american_numbers_need_no_country() -> None:
    assert set(phone_keys("1-617-555-0123")) & set(phone_keys("(617) 555 0123"))
    assert phone_keys("555-0123 ext. 44") == ("5550123",)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("1234", ()),
        ("12345", ("12345",)),
        ("tel:012 345", ("12345",)),
        ("1 617 555 012", ("1617555012",)),
        ("1 617 555 0123", ("16175550123", "6175550123")),
        ("2 617 555 0123", ("26175550123",)),
        ("1 617 555 01234", ("161755501234",)),
        ("+1 617 555 0123", ("16175550123", "6175550123")),
        ("+44 20 7946 0123", ("442079460123", "2079460123")),
        ("+353 1 555 0123", ("35315550123", "15550123")),
        ("call 12345", ()),
        ("12345@x", ()),
        ("555 0123 x123456", ("5550123",)),
        ("555 0123 x1234567", ()),
    ],
)
def test_number_is_found_by_its_digits(text: str, keys: tuple[str, ...]) -> None:
    assert phone_keys(text) == keys


def test_mail_address_is_compared_in_lower_case() -> None:
    assert contact_codes("Ann.Roe@Example.org ") == ("ann.roe@example.org",)
    assert phone_keys("ann12345@example.org") == ()
