"""Refusals of the gateway itself: a small page for a browser, the interface's own form for
any other client.
"""

import base64
import hashlib
from html import escape

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.context import current_request_id
from apps.kit.errors import Problem
from apps.kit.operation_outcomes import render_error

STYLE = (
    ":root{color-scheme:light dark}"
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
    "Vary": "Accept, Accept-Language",
}
TEXTS = {
    "en": {
        401: "Please sign in.",
        404: "There is no such page.",
        413: "What was sent is too large.",
        429: "There were too many requests. Please wait a moment and try again.",
        502: "A part of the system gave no proper answer. Please try again in a moment.",
        503: "The system is busy or a part of it is being restarted. Please try again in a moment.",
        504: "A part of the system took too long. Please try again in a moment.",
    },
    "es": {
        401: "Inicie sesión.",
        404: "Esa página no existe.",
        413: "Lo que se envió es demasiado grande.",
        429: "Hubo demasiadas peticiones. Espere un momento e inténtelo de nuevo.",
        502: "Una parte del sistema no respondió bien. Inténtelo de nuevo en un momento.",
        503: "El sistema está ocupado o se está reiniciando una parte."
        " Inténtelo de nuevo en un momento.",
        504: "Una parte del sistema tardó demasiado. Inténtelo de nuevo en un momento.",
    },
}
OTHERWISE = {
    "en": "The request could not be answered.",
    "es": "No se pudo responder a la petición.",
}


def render_refusal(request: Request, problem: Problem) -> Response:
    """Returns a page if the request's `Accept` names `text/html`, an OperationOutcome or problem
    details otherwise.
    """
    if "text/html" not in request.headers.get("accept", ""):
        return render_error(request, problem)
    language = language_of(request.headers.get("accept-language", ""))
    text = TEXTS[language].get(problem.status, OTHERWISE[language])
    number = escape(f"{problem.status} · {current_request_id()}")
    page = (
        f'<!doctype html><html lang="{language}"><head><meta '
        f'charset="utf-8"><title>{escape(text)}</title>'
        f'<meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main><h1>{escape(text)}</h1><p><small>{number}</small></p></main></body></html>"
    )
    return Response(
        page, problem.status, headers={**problem.headers, **HEADERS}, media_type="text/html"
    )


def language_of(accept_language: str) -> str:
    """Returns the first language of ours: browsers name theirs in the order of preference."""
    names = (item.strip()[:2].lower() for item in accept_language[:500].split(","))
    return next((name for name in names if name in TEXTS), "en")
