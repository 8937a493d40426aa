"""Languages, dates as people write them, money as billing counts it."""

from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from apps.console.screens.summary import TITLES
from apps.console.web.texts import Texts, choose_texts, minor_units
from apps.patient.operations.summary import SECTIONS

MADRID = ZoneInfo("Europe/Madrid")


def texts(language: str) -> Texts:
    return choose_texts("", language, MADRID)


@pytest.mark.parametrize(
    ("accepted", "language", "locale"),
    [
        ("", "en", "en_US"),
        ("es", "es", "es_ES"),
        ("es-MX,en;q=0.5", "es", "es_MX"),
        ("fr,en-GB;q=0.8,es;q=0.1", "en", "en_GB"),
        ("de", "en", "en_US"),
        ("es;q=nonsense,en", "en", "en_US"),
        ("en-XX", "en", "en_US"),
    ],
)
def test_language_and_region_follow_the_browser(accepted: str, language: str, locale: str) -> None:
    found = texts(accepted)
    assert (found.language, str(found.locale)) == (language, locale)


def test_chosen_language_goes_before_the_browsers_and_keeps_its_region() -> None:
    assert choose_texts("es", "en-GB", MADRID).language == "es"
    # The region decides whether 11/04 is in April: choosing English again must not change it.
    assert str(choose_texts("en", "es-ES,en-GB;q=0.8", MADRID).locale) == "en_GB"
    assert str(choose_texts("es", "en-GB", MADRID).locale) == "es_ES"
    assert choose_texts("nonsense", "es-MX", MADRID).language == "es"


def test_titles_of_the_records_summary_are_known() -> None:
    assert {section.title for section in SECTIONS} == set(TITLES)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en-US", "12/31/1984", date(1984, 12, 31)),
        ("en-GB", "31/12/1984", date(1984, 12, 31)),
        ("es", "31/12/1984", date(1984, 12, 31)),
        ("es", "31/12/84", date(1984, 12, 31)),
        ("en-US", "31.12.1984", date(1984, 12, 31)),
        ("en-US", "1984-12-31", date(1984, 12, 31)),
        ("en-US", "Smith", None),
        ("en-US", "1/2", None),
        ("es", "31/02/1984", None),
        ("en-US", "", None),
    ],
)
def test_dates_are_read_as_people_write_them(
    language: str, text: str, expected: date | None
) -> None:
    assert texts(language).parse_date(text) == expected


def test_instants_are_shown_in_the_clinics_time_zone() -> None:
    assert "23:30" in texts("es").datetime("2026-07-01T21:30:00Z")
    assert texts("en-GB").date("1984-12") == "December 1984"
    assert texts("en-GB").date("1984") == "1984"


def test_money_keeps_its_currencys_decimals() -> None:
    assert texts("en-US").money({"minorUnits": "123456", "currency": "USD"}) == "$1,234.56"
    assert texts("en-US").money({"minorUnits": "1234", "currency": "JPY"}) == "¥1,234"
    assert texts("es").money({"minorUnits": "123456", "currency": "EUR"}).startswith("1.234,56")
    assert minor_units(Decimal("12.34"), "USD") == 1234
    assert minor_units(Decimal("12.345"), "USD") is None


@pytest.mark.parametrize(
    ("language", "count", "expected"),
    [
        ("en", 0, "0 events wait."),
        ("en", 1, "1 event waits."),
        ("en", 1200, "1,200 events wait."),
        ("es", 0, "Esperan 0 sucesos."),
        ("es", 1, "Espera 1 suceso."),
        ("es", 12_000, "Esperan 12.000 sucesos."),
        ("es", 1_000_000, "Esperan 1.000.000 de sucesos."),
    ],
)
def test_number_chooses_the_form_of_a_text(language: str, count: int, expected: str) -> None:
    found = texts(language).ngettext("{count} event waits.", "{count} events wait.", count)
    assert found == expected
