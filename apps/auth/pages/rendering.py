"""What people see: pages rendered here, complete without a script; forms that only our own
pages can send.
"""

import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jinja2
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from apps.auth.encryption import new_token
from apps.auth.oauth.authlib_starlette import FORM, MAX_FORM_BYTES
from apps.auth.oauth.refusals import RECORDED_CODES, record_problem
from apps.auth.paths import AUTHORIZE
from apps.auth.people.sessions import browser_cookie, session_cookie, set_cookie
from apps.auth.state import state_of
from apps.auth.texts import texts_of, wish_of
from apps.kit.context import current_request_id
from apps.kit.errors import BadRequest, Forbidden, Problem, UnsupportedMediaType
from apps.kit.texts import LANGUAGES, N_
from apps.kit.web import PUBLIC, Endpoint, Operation, PolicedRoute, render_problem

MAX_FIELDS = 30
PREFIX = "/oauth2/"
# For a person, by what went wrong, else by its status.
MESSAGES = {
    "form_expired": N_("This form is too old, or not from our page. Please go back and retry."),
    "password_needed": N_("Please confirm your password first."),
    "invalid_passkey": N_("The passkey was not accepted."),
    404: N_("There is no such page."),
    500: N_("Something failed on our side. Please try again later."),
    503: N_("The service does not answer at the moment. Please try again."),
}
# What a form hides and its page takes as well, so that a language can be chosen on either.
KEPT_FIELDS = ("next", "then", "token", "user_code")

environment = jinja2.Environment(
    loader=jinja2.PackageLoader("apps.auth.pages"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
)


def content_security_policy(form_target: str = "") -> str:
    # A browser applies form-action to where a form's answer redirects to as well: the
    # client's address.
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src "
        "data:; "
        "base-uri 'none'; frame-ancestors 'none'; "
        f"form-action 'self'{' ' + form_target if form_target else ''}"
    )


def origin_of(uri: str) -> str:
    """Returns it as a source of a content security policy: `https://host:port`, or `scheme:` of an
    application's own scheme.
    """
    parts = urlsplit(uri)
    return (
        f"{parts.scheme}://{parts.netloc}"
        if parts.scheme in ("http", "https")
        else f"{parts.scheme}:"
    )


def page(
    request: Request,
    template: str,
    status: int = 200,
    *,
    form_target: str = "",
    signed_out: bool = False,
    **values: Any,
) -> Response:
    """Returns the page. `signed_out`: the same response ends the session, and the forms of the page
    are sent without one.
    """
    secure = state_of(request).settings.secure
    browser = request.cookies.get(browser_cookie(secure))
    secret = browser or new_token()
    session = "" if signed_out else request.cookies.get(session_cookie(secure), "")
    csrf = csrf_token(secret, session)
    content = write_page(request, template, csrf=csrf, **values)
    response = Response(content, status, media_type="text/html")
    if not browser:
        set_cookie(response, browser_cookie(secure), secret, secure=secure)
    protect(response, form_target)
    return response


def error_page(
    request: Request, status: int, title: str, message: str, detail: str = ""
) -> Response:
    """Returns what a person is told who cannot go on. `detail`: for whoever looks after the
    application, in English.
    """
    return page(
        request,
        "error.html",
        status,
        title=title,
        message=message,
        detail=detail,
        request_id="",
    )


def write_page(request: Request, template: str, *, csrf: str, **values: Any) -> str:
    """Returns the page in the person's language. Without `csrf` it has no form."""
    texts = texts_of(request)
    common = {
        "_": texts.markup,
        "texts": texts,
        "languages": LANGUAGES,
        "here": address_of_page(request),
        "csrf": csrf,
    }
    return environment.get_template(template).render({**common, **values})


def address_of_page(request: Request) -> str:
    """Returns where the browser finds this page again, that of a form too."""
    query = request.url.query
    if request.method == "POST" and request.url.path != AUTHORIZE:
        fields = getattr(request.state, "fields", {})
        query = urlencode({name: fields[name] for name in KEPT_FIELDS if name in fields}) or query
    return f"{request.url.path}?{query}" if query else request.url.path


def protect(response: Response, form_target: str = "") -> None:
    response.headers.update(
        {
            "Content-Security-Policy": content_security_policy(form_target),
            "Cache-Control": "no-store",
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
    )


def csrf_token(browser: str, session: str) -> str:
    """Makes the token of this browser and session: after a sign-in, forms of before are void."""
    return hmac.new(browser.encode(), b"csrf:" + session.encode(), hashlib.sha256).hexdigest()


async def read_form(request: Request) -> dict[str, str]:
    """Returns the fields of a form of ours; raises Forbidden for one that another site sent."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMediaType("unsupported_media_type", f"expected {FORM}")
    try:
        text = (await request.body()).decode("ascii")
        fields = dict(
            parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        )
    except ValueError:
        raise BadRequest("malformed_form") from None
    secure = state_of(request).settings.secure
    browser = request.cookies.get(browser_cookie(secure), "")
    expected = csrf_token(browser, request.cookies.get(session_cookie(secure), ""))
    if not browser or not hmac.compare_digest(expected.encode(), fields.get("csrf", "").encode()):
        raise Forbidden("form_expired")
    request.state.fields = fields
    request.state.ui_locales = wish_of(fields.get("next", ""))
    return fields


def go_to(path: str) -> Response:
    """Always a path of ours: what comes after it is never taken from a request as a whole."""
    response = RedirectResponse(path, 303)
    response.headers["cache-control"] = "no-store"
    return response


def render(request: Request, problem: Problem) -> Response:
    """Renders a problem as a page for people, as problem+json for programs."""
    response = render_page(request, problem)
    if problem.code in RECORDED_CODES:
        # Once the answer is sent: a renderer waits for nothing.
        response.background = BackgroundTask(record_problem, request, problem)
    return response


def render_page(request: Request, problem: Problem) -> Response:
    _ = texts_of(request).gettext
    message = MESSAGES.get(problem.code) or MESSAGES.get(problem.status)
    if problem.code in MESSAGES:
        # A script of ours shows it as well.
        problem.detail = _(MESSAGES[problem.code])
    if not (
        request.url.path.startswith(PREFIX) and "text/html" in request.headers.get("accept", "")
    ):
        return render_problem(request, problem)
    content = write_page(
        request,
        "error.html",
        csrf="",
        title=_("That did not work"),
        message=_(message or N_("Please go back and try again.")),
        detail="",
        request_id=current_request_id(),
    )
    response = Response(content, problem.status, headers=problem.headers, media_type="text/html")
    if "www-authenticate" in response.headers:
        del response.headers["www-authenticate"]
    protect(response)
    return response


def form_route(path: str, show: Endpoint, send: Endpoint) -> PolicedRoute:
    """Makes the route of a page and its form."""
    return PolicedRoute(
        path,
        Operation("GET", show, PUBLIC),
        Operation("POST", send, PUBLIC),
        max_body_bytes=MAX_FORM_BYTES,
    )


async def style(request: Request) -> Response:
    css, _, _ = environment.loader.get_source(environment, "style.css")  # type: ignore[union-attr]
    return Response(css, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})


def routes() -> list[BaseRoute]:
    return [PolicedRoute("/oauth2/style.css", Operation("GET", style, PUBLIC))]
