"""Pages: Jinja templates, complete without a script, under a strict content security policy."""

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jinja2
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from apps.console.neighbours import fhir
from apps.console.neighbours.observations import value_of
from apps.console.web.assets import ICON_PATH, SCRIPT_PATH, STYLE_PATH
from apps.console.web.texts import Texts, choose_texts
from apps.console.web.words import NOTICES, PRICE_WORDS, STATUSES, TYPES
from apps.kit.context import current_request_id, new_id
from apps.kit.errors import Problem
from apps.kit.texts import LANGUAGES, N_, chosen_language
from apps.kit.web import render_problem

if TYPE_CHECKING:
    from apps.console.web.people import Person

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# Label, path, and who is shown it: a scope, or a FHIR interaction.
NAVIGATION = (
    (N_("Home"), "/", lambda person: True),
    (
        N_("Patients"),
        "/patients",
        lambda person: not person.is_patient and person.may("Patient", "s"),
    ),
    (N_("My record"), "/my", lambda person: person.is_patient),
    (N_("Cash desk"), "/cash-desk", lambda person: person.has("billing.read")),
    (N_("Figures"), "/figures", lambda person: person.has("analytics.read")),
    (N_("Administration"), "/administration", lambda person: person.has("admin")),
    (N_("Operations"), "/operations", lambda person: person.has("admin")),
)

environment = jinja2.Environment(
    loader=jinja2.PackageLoader("apps.console"),
    autoescape=True,
    # What other services send may lack any element: it is shown as nothing.
    undefined=jinja2.ChainableUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.globals.update(
    fhir=fhir,
    statuses=STATUSES,
    notices=NOTICES,
    types=TYPES,
    price_words=PRICE_WORDS,
    style_path=STYLE_PATH,
    script_path=SCRIPT_PATH,
    icon_path=ICON_PATH,
    new_id=new_id,
)


def texts_of(request: Request) -> Texts:
    """Gives the texts in the language of whoever sends the request."""
    settings = request.state.settings
    return choose_texts(
        chosen_language(request, secure=settings.secure),
        request.headers.get("accept-language", ""),
        settings.time_zone,
    )


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Renders a page for whoever sends the request."""
    person: Person | None = getattr(request.state, "person", None)
    texts = texts_of(request)
    settings = request.state.settings
    calls = person.api.calls if person else []
    common = {
        "_": texts.gettext,
        "ngettext": texts.ngettext,
        "texts": texts,
        "value_of": partial(value_of, write=texts.number),
        "person": person,
        "csrf": person.csrf if person else "",
        "path": request.url.path,
        "languages": LANGUAGES,
        "clinic_name": settings.clinic_name,
        "idle_seconds": settings.idle_minutes * 60 if person else 0,
        "navigation": [
            (label, path) for label, path, shown in NAVIGATION if person and shown(person)
        ],
        "curls": [call.as_curl(settings.public_url) for call in calls],
        "calls": calls,
        "notice": request.query_params.get("notice", ""),
    }
    content = environment.get_template(template).render({**common, **values})
    response = Response(content, status, media_type="text/html")
    protect(response)
    return response


def protect(response: Response) -> None:
    """Sets the headers of every page: nothing is kept, framed, or loaded from elsewhere."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def go_to(path: str) -> Response:
    """Leads to another page of ours, after a form (303)."""
    response = RedirectResponse(path, 303)
    protect(response)
    return response


def is_local_path(path: str) -> bool:
    """Tells whether `path` stays on this site, however a browser reads it."""
    return (
        path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and path.isprintable()
        and "\\" not in path
    )


def resend_page(request: Request, status: int, problem: Problem | None = None) -> Response:
    """Asks to send a form again that came without a valid session, or while a service was
    away, with all that was typed in it.
    """
    pairs = [(name, value) for name, value in request.state.form.pairs if name != "csrf"]
    is_signed_out = problem is None and status == 401
    return page(
        request, "resend.html", status, pairs=pairs, signed_out=is_signed_out, problem=problem
    )


def render(request: Request, problem: Problem) -> Response:
    """Renders a problem: as a page for a browser, as problem details for programs."""
    if "text/html" not in request.headers.get("accept", ""):
        return render_problem(request, problem)
    if problem.status == 401 and request.method in ("GET", "HEAD"):
        query = f"?{request.url.query}" if request.url.query else ""
        return go_to("/sign-in?next=" + quote(request.url.path + query, safe=""))
    headers = {name: value for name, value in problem.headers.items() if name != "WWW-Authenticate"}
    response = page(
        request, "error.html", problem.status, problem=problem, request_id=current_request_id()
    )
    response.headers.update(headers)
    return response
