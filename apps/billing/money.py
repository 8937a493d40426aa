"""Amounts of money: whole minor units of an ISO 4217 currency. No floating point."""

from dataclasses import dataclass
from decimal import Decimal

from babel import Locale
from babel.numbers import format_currency, get_currency_symbol, is_currency

from protos.billing.v1 import billing_pb2 as pb

# ISO 4217: a currency has two decimals unless it is one of these.
_NO_DECIMALS = frozenset(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW")) | frozenset(
    ("PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF")
)
_THREE_DECIMALS = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
_UNSUPPORTED = frozenset(("CLF", "UYW", "XXX", "XTS", "XAU", "XAG", "XPD", "XPT"))
_ENGLISH = Locale("en", "US")
# Far below what 64 bits hold, so that no sum of entries comes near it.
MAX_MINOR_UNITS = 10**15


@dataclass(frozen=True, slots=True)
class Money:
    minor_units: int
    currency: str


def is_supported(currency: str) -> bool:
    """Tells whether accounts may be kept in this currency."""
    return (
        len(currency) == 3
        and currency.isupper()
        and is_currency(currency)
        and currency not in _UNSUPPORTED
    )


def decimals_of(currency: str) -> int:
    if currency in _NO_DECIMALS:
        return 0
    return 3 if currency in _THREE_DECIMALS else 2


def as_decimal(minor_units: int, currency: str) -> Decimal:
    """Gives 1250 of USD as 12.50, of JPY as 1250, of KWD as 1.250."""
    return Decimal(minor_units).scaleb(-decimals_of(currency))


def format_plain(minor_units: int, currency: str) -> str:
    """Writes an amount for programs: `-12.50`."""
    return f"{as_decimal(minor_units, currency):f}"


def format_money(minor_units: int, currency: str) -> str:
    """Writes an amount for people: `$1,234.50`."""
    amount = as_decimal(minor_units, currency)
    # ISO 4217's decimals: CLDR has fewer for some currencies.
    decimals = decimals_of(currency)
    symbol = get_currency_symbol(currency, locale=_ENGLISH)
    space = "\xa0" if symbol[-1].isalpha() else ""
    pattern = f"¤{space}#,##0" + ("." + "0" * decimals if decimals else "")
    return format_currency(amount, currency, pattern, locale=_ENGLISH, currency_digits=False)


def render_money(minor_units: int, currency: str) -> pb.Money:
    return pb.Money(minor_units=minor_units, currency=currency)
