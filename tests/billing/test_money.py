from decimal import Decimal

import pytest

from apps.billing.money import as_decimal, decimals_of, format_money, format_plain, is_supported


@pytest.mark.parametrize(
    ("currency", "decimals", "plain", "shown"),
    [
        ("JPY", 0, "123456", "¥123,456"),
        ("USD", 2, "1234.56", "$1,234.56"),
        ("KWD", 3, "123.456", "KWD\xa0123.456"),
    ],
)
def test_currencies_have_their_own_decimals(
    currency: str, decimals: int, plain: str, shown: str
) -> None:
    assert decimals_of(currency) == decimals
    assert format_plain(123_456, currency) == plain
    assert format_money(123_456, currency) == shown
    assert as_decimal(123_456, currency) == Decimal(plain)


def test_amounts_below_zero_are_written_with_their_sign() -> None:
    assert format_plain(-5, "USD") == "-0.05"


@pytest.mark.parametrize("currency", ["usd", "US", "ZZZ", "XXX", "CLF", ""])
def test_what_is_no_currency_of_accounts_is_not_supported(currency: str) -> None:
    assert not is_supported(currency)
