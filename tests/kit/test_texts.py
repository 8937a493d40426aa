"""Every text of every service's pages, in every language; and which language is chosen."""

import re
from itertools import product
from pathlib import Path
from string import ascii_lowercase

import pytest
from babel.localedata import exists

from apps.gateway.error_page import PageTexts as GatewayTexts
from apps.kit.catalogues import find_folders, missing_texts
from apps.kit.texts import DEFAULT, LANGUAGES, choose_locale, read_catalogue

NAMES = re.compile(r"\{[a-z]+\}")
CATALOGUES = pytest.mark.parametrize(
    ("folder", "language"),
    [(folder, language) for folder in find_folders() for language in LANGUAGES.keys() - {DEFAULT}],
    ids=lambda value: value.parent.name if isinstance(value, Path) else value,
)


@CATALOGUES
def test_every_text_is_translated(folder: Path, language: str) -> None:
    missing = missing_texts(folder, language)
    assert missing == [], "run scripts/texts and translate what it lists"


@CATALOGUES
def test_translations_fill_the_same_names(folder: Path, language: str) -> None:
    catalogue = read_catalogue(folder, language)
    assert catalogue
    for text, translated in catalogue.items():
        assert sorted(NAMES.findall(text)) == sorted(NAMES.findall(translated)), text


@pytest.mark.parametrize(
    ("chosen", "accepted", "expected"),
    [
        ((), "", ("en", "en_US")),
        (("es",), "en-GB", ("es", "es_ES")),
        (("fr-CA", "es-MX", "en"), "en-GB", ("es", "es_MX")),
        (("fr",), "es-AR,en;q=0.5", ("es", "es_AR")),
        (("en",), "es-ES,en-GB;q=0.8", ("en", "en_GB")),
        (("",), "en;q=0.2,es;q=0.9", ("es", "es_ES")),
        (("x" * 5000, "\0"), "é" * 5000, ("en", "en_US")),
        ((), "es-419", ("es", "es_419")),
        ((), "EN_latn_gb", ("en", "en_GB")),
        ((), "en-GB-u-ca-gregory", ("en", "en_GB")),
        ((), "es-ZZ,es-Abcd-XY,es-CL", ("es", "es_CL")),
        ((), "spanish", ("en", "en_US")),
        (("e\u017f",), "", ("en", "en_US")),
        ((), "fr," * 10 + "es", ("en", "en_US")),
    ],
)
def test_what_was_chosen_goes_before_what_the_browser_asks_for(
    chosen: tuple[str, ...], accepted: str, expected: tuple[str, str]
) -> None:
    language, locale = choose_locale(chosen, accepted)
    assert (language, str(locale)) == expected


def test_made_up_tags_are_not_remembered() -> None:
    """Babel's own table of names has no bound."""
    known = exists.cache_info().currsize
    for first, second in product(ascii_lowercase, repeat=2):
        name = f"es-{first}{second}ab-x{second}"
        choose_locale((f"es-{first}{second}@{first}",), f"{name},es_{first}q_{second},{name}-abcde")
    # Of made-up regions some exist.
    assert exists.cache_info().currsize < known + 5


@pytest.mark.parametrize("end", ["@a\r\nX: 1", "\n", "-a\r\nX: 1", "@a", " X"])
def test_tag_has_nothing_of_a_cookie_but_language_and_region(end: str) -> None:
    """The console sends it to services in a header."""
    for chosen in (f"es-MX{end}", f"es{end}"):
        assert GatewayTexts.choose((chosen,), "es-MX").tag == "es-MX"
