"""What people read of the auth service, on pages and in mails: their language, and dates in it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.dates import format_date, format_datetime
from babel.lists import format_list
from markupsafe import Markup, escape
from starlette.requests import Request

from apps.auth.paths import pairs_of
from apps.kit import texts as kit
from apps.kit.texts import chosen_language

# Of the tags that an application wishes for, so many are looked at.
MAX_LOCALES = 10


@dataclass(frozen=True, slots=True)
class Texts(kit.Texts):
    """One person's language and region."""

    folder = Path(__file__).parent / "locale"

    def markup(self, text: str, /, **values: Any) -> Markup:
        """Translates for a template: what fills the `{names}` is escaped unless it is markup."""
        translated = Markup(escape(self.gettext(text)))  # noqa: S704
        return translated.format_map(values) if values else translated

    def date(self, value: datetime) -> str:
        return format_date(value.astimezone(UTC), "medium", locale=self.locale)

    def datetime(self, value: datetime) -> str:
        """Writes an instant in UTC, the one zone that is known of whoever reads it."""
        return f"{format_datetime(value.astimezone(UTC), 'short', locale=self.locale)} UTC"

    def list(self, words: list[str]) -> str:
        return format_list(words, locale=self.locale)


ENGLISH = Texts.choose((), "")


def texts_of(request: Request) -> Texts:
    """Returns the texts in the language of whoever sends the request.

    The application's wish goes first (`ui_locales`: OpenID Connect Core, 3.1.2.1), then the choice
    on a page of any service, then what the browser asks for.
    """
    secure = request.state.settings.secure
    chosen = (*ui_locales_of(request), chosen_language(request, secure=secure))
    return Texts.choose(chosen, request.headers.get("accept-language", ""))


def ui_locales_of(request: Request) -> list[str]:
    """Returns the tags that the application wishes for, in the request or in the one that the
    sign-in goes on with.
    """
    query = request.query_params
    wish = query.get("ui_locales") or getattr(request.state, "ui_locales", "")
    return (wish or wish_of(query.get("next", ""))).split()[:MAX_LOCALES]


def wish_of(query: str) -> str:
    """Returns the `ui_locales` of an authorization request; empty without."""
    return dict(pairs_of(query)).get("ui_locales", "")
