"""What people read, in their language: texts by gettext catalogues, dates, numbers and
money by locale.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from datetime import date as Date
from datetime import datetime as Datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_time, get_date_format, parse_date
from babel.numbers import (
    format_currency,
    format_decimal,
    get_currency_precision,
    get_group_symbol,
)

from apps.kit import texts as kit
from apps.kit.errors import Problem
from apps.kit.texts import N_, choose_locale


@dataclass(frozen=True, slots=True)
class Texts(kit.Texts):
    """One person's language, region and the clinic's time zone."""

    folder = Path(__file__).parents[1] / "locale"

    time_zone: ZoneInfo

    def problem(self, problem: Problem) -> str:
        """Says in a sentence what went wrong."""
        return self.gettext(SENTENCES.get(problem.status, N_("The request could not be answered.")))

    def date(self, value: str | Date | None, style: str = "medium") -> str:
        """Writes a FHIR date, to the day, month or year that it says."""
        if not value:
            return ""
        if isinstance(value, str):
            if len(value) > 10:
                return self.date(self.moment(value).date(), style)
            parts = value.split("-")
            try:
                if len(parts) == 1:
                    return str(int(value))
                if len(parts) == 2:
                    first = Date(int(parts[0]), int(parts[1]), 1)
                    return format_date(first, "MMMM yyyy", locale=self.locale)
                value = Date.fromisoformat(value)
            except ValueError:
                return str(value)
        return format_date(value, style, locale=self.locale)

    def time(self, value: str | Datetime | None) -> str:
        """Writes the time of day of an instant, in the clinic's time zone."""
        if not value:
            return ""
        return format_time(self.moment(value), "short", locale=self.locale)

    def datetime(self, value: str | Datetime | None) -> str:
        """Writes an instant in the clinic's time zone; a date alone as a date."""
        if not value:
            return ""
        if isinstance(value, str) and len(value) <= 10:
            return self.date(value)
        return format_datetime(self.moment(value), "short", locale=self.locale)

    def moment(self, value: str | Datetime) -> Datetime:
        """Reads an ISO 8601 instant into the clinic's time zone."""
        if isinstance(value, str):
            try:
                value = Datetime.fromisoformat(value.replace("Z", "+00:00"))
            except ValueError:
                return Datetime.fromtimestamp(0, UTC)
        if value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return value.astimezone(self.time_zone)

    def now(self) -> Datetime:
        """Gives the time at the clinic."""
        return Datetime.now(self.time_zone)

    def money(self, money: Mapping[str, Any] | None) -> str:
        """Writes an amount in minor units, as billing gives it, with its currency."""
        if not money or not money.get("currency"):
            return ""
        return write_money(
            str(money["currency"]), int(money.get("minorUnits", 0)), str(self.locale)
        )

    def amount(self, value: float, currency: str) -> str:
        """Writes an amount in whole units of its currency."""
        return format_currency(Decimal(str(value)), currency, locale=self.locale)

    def typed_amount(self, money: Mapping[str, Any]) -> str:
        """Writes an amount in minor units as a form takes it: without currency and thousands
        separators.
        """
        digits = get_currency_precision(str(money["currency"]))
        pattern = "0" + ("." + "0" * digits if digits else "")
        return format_decimal(major_units(money), pattern, locale=self.locale)

    def may_be_grouped(self, text: str) -> bool:
        """Tells whether the last separator may be one of thousands, as people of this locale
        write them: then `1,000` is not 1.
        """
        symbol = re.escape(get_group_symbol(self.locale))
        return re.search(rf"{symbol}[0-9]{{3}}$", text) is not None

    def parse_date(self, text: str) -> Date | None:
        """Reads a date as people of this locale write it, or ISO 8601; None for anything else."""
        text = text.strip()
        try:
            return Date.fromisoformat(text)
        except ValueError:
            pass
        digits = text.replace(".", "/").replace("-", "/").replace(" ", "")
        if not digits or set(digits) - set("0123456789/") or digits.count("/") != 2:
            return None
        # With dots the day comes first, everywhere.
        locale = Locale("es") if "." in text else self.locale
        try:
            found = parse_date(digits, locale=locale, format="short")
        except (ValueError, IndexError):
            return None
        year = int(max(digits.split("/"), key=len))
        if year < 100:
            # A birth year of two digits is never in the future.
            year = found.year if found <= Date.today() else found.year - 100
        try:
            return found.replace(year=year)
        except ValueError:
            return None

    @property
    def date_hint(self) -> str:
        """Shows how a date may be written here: the last day of a year."""
        return self.short_date(Date(1984, 12, 31))

    def short_date(self, value: Date) -> str:
        """Writes a date in numbers with the whole year, as `parse_date` reads it."""
        pattern = re.sub("y+", "yyyy", get_date_format("short", locale=self.locale).pattern)
        return format_date(value, pattern, locale=self.locale)


@lru_cache(maxsize=4096)
def write_money(currency: str, minor_units: int, locale: str) -> str:
    """Writes an amount; remembered, as a price list of hundreds of rows stands on a
    page of money.
    """
    amount = major_units({"minorUnits": minor_units, "currency": currency})
    return format_currency(amount, currency, locale=locale)


def major_units(money: Mapping[str, Any]) -> Decimal:
    """Gives billing's integer minor units as a decimal number of the currency."""
    digits = get_currency_precision(str(money["currency"]))
    return Decimal(int(money.get("minorUnits", 0))).scaleb(-digits)


def minor_units(amount: Decimal, currency: str) -> int | None:
    """Gives an amount as integer minor units; None where it has more decimals than the currency."""
    scaled = amount.scaleb(get_currency_precision(currency))
    return int(scaled) if scaled == scaled.to_integral_value() else None


def choose_texts(cookie: str, accept_language: str, time_zone: ZoneInfo) -> Texts:
    """Chooses by the person's choice, else by what the browser asks for, else English."""
    language, locale = choose_locale((cookie,), accept_language)
    return Texts(language=language, locale=locale, time_zone=time_zone)


SENTENCES: Mapping[int, str] = {
    400: N_("The request is not valid."),
    401: N_("You are not signed in."),
    403: N_("You may not do this."),
    404: N_("There is nothing here."),
    405: N_("This page does not take that."),
    409: N_("This was changed by somebody else meanwhile."),
    410: N_("This was deleted."),
    412: N_("This was changed by somebody else meanwhile."),
    413: N_("What you sent is too large."),
    415: N_("This form was sent in a way that is not understood."),
    422: N_("Some of what you entered is not valid."),
    429: N_("Too many requests: please wait a moment."),
    500: N_("Something failed here."),
    501: N_("This is not available here."),
    502: N_("A service behind this page failed."),
    503: N_("A service behind this page does not answer."),
    504: N_("A service behind this page did not answer in time."),
}
