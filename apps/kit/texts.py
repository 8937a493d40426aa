"""What people read, in their language: gettext catalogues read by Babel, one folder `locale` a
service.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Self

from babel import Locale
from babel.localedata import locale_identifiers
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from starlette.requests import Request
from starlette.responses import Response

# The texts in the code and the templates are English; each other language has a catalogue.
LANGUAGES: Mapping[str, str] = {"en": "English", "es": "Español"}
DEFAULT = "en"
# What people type where their language leaves the order open.
REGIONS = {"en": "en_US", "es": "es_ES"}
MAX_HEADER_CHARS = 500
MAX_HEADER_TAGS = 10
# Of a tag only the language and the region are used: not the script, nor what comes after.
TAG = re.compile(
    rf"(?P<language>{'|'.join(LANGUAGES)})([-_][a-z]{{4}})?([-_](?P<region>[a-z]{{2}}|[0-9]{{3}}))?"
    r"([-_][a-z0-9_-]*)?",
    re.ASCII | re.IGNORECASE,
)
# Babel remembers every name that it is asked for, known or not, without a bound: it is asked for
# these only.
LOCALES = frozenset(locale_identifiers())
CHOICE_SECONDS = 365 * 24 * 3600


def N_(text: str) -> str:
    """Marks a text for the catalogues that is translated where it is shown."""
    return text


@cache
def read_catalogue(folder: Path, language: str) -> Mapping[str, str]:
    """Reads a language's catalogue: text -> translation."""
    path = folder / f"{language}.po"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    return {
        message.id: message.string
        for message in catalogue
        if isinstance(message.id, str)
        and message.id
        and isinstance(message.string, str)
        and message.string
        and not message.fuzzy
    }


@cache
def read_plurals(folder: Path, language: str) -> NullTranslations:
    """Reads a language's catalogue as what chooses the form of a text by its number."""
    path = folder / f"{language}.po"
    if not path.exists():
        return NullTranslations()
    compiled = BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return GNUTranslations(compiled)


@dataclass(frozen=True, slots=True)
class Texts:
    """One person's language and region. A service's own subclass names its catalogues."""

    folder: ClassVar[Path]

    language: str
    locale: Locale

    @classmethod
    def choose(cls, chosen: Sequence[str], accept_language: str) -> Self:
        """Returns the texts in the language and region that `choose_locale` gives."""
        language, locale = choose_locale(chosen, accept_language)
        return cls(language=language, locale=locale)

    def gettext(self, text: str, /, **values: Any) -> str:
        """Translates `text` and fills its `{names}`."""
        translated = read_catalogue(self.folder, self.language).get(text, text)
        return translated.format_map(values) if values else translated

    def ngettext(self, one: str, many: str, count: int) -> str:
        """Translates a text that depends on a number, and fills its `{count}`."""
        translated = read_plurals(self.folder, self.language).ngettext(one, many, count)
        return translated.format(count=self.number(count))

    def number(self, value: Any) -> str:
        """Writes a number as the locale does."""
        try:
            return format_decimal(
                Decimal(str(value)), locale=self.locale, decimal_quantization=False
            )
        except ArithmeticError:
            return str(value)

    @property
    def tag(self) -> str:
        """Writes the language and the region as BCP 47 has them, such as `es-MX`."""
        return str(self.locale).replace("_", "-")


def choose_locale(chosen: Sequence[str], accept_language: str) -> tuple[str, Locale]:
    """Chooses the first language of ours: of what was chosen, of what the browser
    asks for, else English.

    `chosen`: language tags of BCP 47, the preferred one first. The region is that of the first tag
    of the language that has a known one: who chooses English in London keeps British dates.
    """
    names = (*chosen, *_preferences(accept_language))
    tags = [found for name in names if (found := TAG.fullmatch(name))]
    language = tags[0]["language"].lower() if tags else DEFAULT
    for tag in tags:
        if tag["language"].lower() == language and tag["region"]:
            name = f"{language}_{tag['region'].upper()}"
            if name in LOCALES:
                return language, Locale.parse(name)
    return language, Locale.parse(REGIONS[language])


def _preferences(accept_language: str) -> list[str]:
    items = accept_language[:MAX_HEADER_CHARS].split(",", MAX_HEADER_TAGS)[:MAX_HEADER_TAGS]
    weighted: list[tuple[float, int, str]] = []
    for index, item in enumerate(items):
        name, _, weight = item.strip().partition(";q=")
        try:
            weighted.append((-float(weight or 1), index, name.strip()))
        except ValueError:
            continue
    return [name for _, _, name in sorted(weighted)]


def _cookie_name(*, secure: bool) -> str:
    # Neither a subdomain nor plain HTTP can plant it.
    return "__Host-language" if secure else "language"


def chosen_language(request: Request, *, secure: bool) -> str:
    """Returns the language that the person chose on a page of any service; empty without one."""
    return request.cookies.get(_cookie_name(secure=secure), "")


def keep_language(response: Response, language: str, *, secure: bool) -> None:
    """Keeps the language that a person chose; raises nothing for one that there is not."""
    if language in LANGUAGES:
        response.set_cookie(
            _cookie_name(secure=secure),
            language,
            max_age=CHOICE_SECONDS,
            path="/",
            secure=secure,
            httponly=True,
            samesite="lax",
        )
