"""Refusals of the gateway itself: a small page for a browser, the interface's own form for
any other client.
"""

import base64
import hashlib
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.context import current_request_id
from apps.kit.errors import Problem
from apps.kit.operation_outcomes import render_error
from apps.kit.texts import N_, Texts, chosen_language

STYLE = (
    # Named, so that whoever measures the contrast sees both.
    ":root{color-scheme:light dark;background:Canvas;color:CanvasText}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em}"
)
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept, Accept-Language, Cookie",
}
SENTENCES = {
    401: N_("Please sign in."),
    404: N_("There is no such page."),
    413: N_("What was sent is too large."),
    429: N_("There were too many requests. Please wait a moment and try again."),
    502: N_("A part of the system gave no proper answer. Please try again in a moment."),
    503: N_("The system is busy or a part of it is being restarted. Please try again in a moment."),
    504: N_("A part of the system took too long. Please try again in a moment."),
}
OTHERWISE = N_("The request could not be answered.")


class PageTexts(Texts):
    folder = Path(__file__).with_name("locale")


def render_refusal(request: Request, problem: Problem) -> Response:
    """Returns a page if the request's `Accept` names `text/html`, an OperationOutcome or problem
    details otherwise.
    """
    if "text/html" not in request.headers.get("accept", ""):
        return render_error(request, problem)
    chosen = chosen_language(request, secure=request.state.settings.public_url.startswith("https:"))
    texts = PageTexts.choose((chosen,), request.headers.get("accept-language", ""))
    text = texts.gettext(SENTENCES.get(problem.status, OTHERWISE))
    number = escape(f"{problem.status} · {current_request_id()}")
    page = (
        f'<!doctype html><html lang="{texts.language}"><head><meta '
        f'charset="utf-8"><title>{escape(text)}</title>'
        f'<meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main><h1>{escape(text)}</h1><p><small>{number}</small></p></main></body></html>"
    )
    return Response(
        page, problem.status, headers={**problem.headers, **HEADERS}, media_type="text/html"
    )
