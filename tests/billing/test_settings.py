"""Tax rates and the seller, as one text each."""

import pytest

from apps.billing.settings import Seller, Settings, parse_seller, parse_tax_rates
from apps.kit.settings import SettingsError
from tests.billing.conftest import ENVIRONMENT


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("exempt=0", {"exempt": 0}),
        ("exempt=0, all=10000", {"exempt": 0, "all": 10_000}),
        ("exempt=0,all=10001", {}),
        ("exempt=0,", {}),
        ("Exempt=0", {}),
        ("", {}),
    ],
)
def test_tax_rate_is_at_most_the_whole(text: str, rates: dict[str, int]) -> None:
    assert parse_tax_rates(text) == rates


@pytest.mark.parametrize("text", ["", "a|b|c|d|e", "a|b|c|d|e|f|g", "a|b||d|e|f", "a|b| |d|e|f"])
def test_seller_that_lacks_a_part_is_none(text: str) -> None:
    assert parse_seller(text) is None


def test_parts_of_the_seller_stand_in_their_order() -> None:
    assert parse_seller("n | s | p | c | DE | t") == Seller("n", "s", "p", "c", "DE", "t")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("BILLING_PAYMENT_DAYS", ("0", "365", "366")),
        ("BILLING_WRITE_OFF_LIMIT", ("0", str(10**12), str(10**12 + 1))),
        ("PORT", ("1", "65535", "65536")),
    ],
)
def test_number_is_bounded(name: str, values: tuple[str, str, str]) -> None:
    lowest, highest, beyond = values
    for value in (lowest, highest):
        Settings.from_environment({**ENVIRONMENT, name: value})
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({**ENVIRONMENT, name: beyond})
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({**ENVIRONMENT, name: str(int(lowest) - 1)})


def test_settings_without_the_optional_ones_have_their_defaults() -> None:
    settings = Settings.from_environment(ENVIRONMENT)
    assert (settings.currency, settings.payment_days, settings.seller) == ("USD", 30, Seller())
    assert settings.tax_rates == {"exempt": 0, "reduced": 700, "standard": 1_900}
