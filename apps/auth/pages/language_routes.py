"""The language, chosen at the foot of each page; kept for every service's pages."""

import re
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.oauth.authlib_starlette import MAX_FORM_BYTES
from apps.auth.pages.rendering import go_to, read_form
from apps.auth.paths import ACCOUNT, AUTHORIZE, LANGUAGE, pairs_of
from apps.auth.state import state_of
from apps.kit.texts import LANGUAGES, keep_language
from apps.kit.web import PUBLIC, Operation, PolicedRoute

PAGE = re.compile(r"/oauth2/[a-z/-]{1,60}")


async def choose(request: Request) -> Response:
    """Keeps the language, and goes back to the page that the form stood on."""
    fields = await read_form(request)
    language = fields.get("language", "")
    path, _, query = fields.get("here", "").partition("?")
    if language not in LANGUAGES or not PAGE.fullmatch(path):
        return go_to(ACCOUNT)
    response = go_to(f"{path}?{in_language(path, query, language)}" if query else path)
    keep_language(response, language, secure=state_of(request).settings.secure)
    return response


def in_language(path: str, query: str, language: str) -> str:
    """Returns the page's query with the person's choice in the place of what the
    application wished for.
    """
    pairs = pairs_of(query)
    if path == AUTHORIZE:
        kept = [(name, value) for name, value in pairs if name != "ui_locales"]
        return urlencode([*kept, ("ui_locales", language)])
    return urlencode(
        [
            (name, in_language(AUTHORIZE, value, language) if is_request(name, value) else value)
            for name, value in pairs
        ]
    )


def is_request(name: str, value: str) -> bool:
    """Tells whether a parameter carries an authorization request."""
    return name == "next" and "client_id" in dict(pairs_of(value))


def routes() -> list[BaseRoute]:
    return [
        PolicedRoute(LANGUAGE, Operation("POST", choose, PUBLIC), max_body_bytes=MAX_FORM_BYTES)
    ]
