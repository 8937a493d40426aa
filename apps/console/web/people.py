"""Who looks at a page: the session, the rights of its access token, the language; and pages
guarded by them.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from apps.console.neighbours.api import Api
from apps.console.neighbours.calls import ApiError
from apps.console.web.cookies import SESSION, read_cookie
from apps.console.web.rendering import protect, resend_page, texts_of
from apps.console.web.sessions import SEEN_PERIOD_SECONDS, Session, select_session, update_seen
from apps.console.web.texts import Texts
from apps.console.web.tokens import refresh_session
from apps.kit.errors import BadRequest, Forbidden, Problem, Unauthorized, UnsupportedMediaType
from apps.kit.scopes import Principal
from apps.kit.web import Operation, PolicedRoute

FORM = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 128 * 1024
MAX_FIELDS = 300
# Renewed before it ends, so that no call of a page meets an expired token.
RENEW_BEFORE_SECONDS = 60


class SignInRequired(Problem):
    """Nobody is signed in: a page leads to the sign-in."""

    status = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A signed-in person. What they may do is what their access token says, nothing else."""

    session: Session = field(repr=False)
    principal: Principal
    api: Api
    texts: Texts

    @property
    def name(self) -> str:
        return self.session.tokens.name

    @property
    def is_patient(self) -> bool:
        """Tells whether this is a patient's own login, which sees one record."""
        return self.own_patient_id is not None

    @property
    def own_patient_id(self) -> str | None:
        access = self.principal.access_to("Patient", "r")
        return access.only_patient_id if access else None

    def may(self, resource_type: str, interaction: str) -> bool:
        """Tells whether the token allows c, r, u, d or s on a type."""
        return self.principal.access_to(resource_type, interaction) is not None

    def has(self, *any_of: str) -> bool:
        """Tells whether the token has any of these scopes."""
        return self.principal.has_scope(*any_of)

    @property
    def csrf(self) -> str:
        return csrf_token(self.session)


def csrf_token(session: Session) -> str:
    """Makes the token of this session's forms."""
    return hmac.new(session.token.encode(), b"csrf", hashlib.sha256).hexdigest()


async def find_person(request: Request) -> Person | None:
    """Finds who sends the request; None where nobody is signed in, or the sign-in has ended."""
    state = request.state
    token = read_cookie(request, SESSION)
    if not token:
        return None
    settings = state.settings
    async with state.database.connection() as connection:
        session = await select_session(
            connection, settings.key, token, idle_minutes=settings.idle_minutes
        )
        now = datetime.now(UTC)
        if session and now - session.seen_at > timedelta(seconds=SEEN_PERIOD_SECONDS):
            await update_seen(connection, token)
    if session is None:
        return None
    if session.access_expires_at - now < timedelta(seconds=RENEW_BEFORE_SECONDS):
        session = await refresh_session(request, session)
        if session is None:
            return None
    try:
        await state.verifier.verify(session.tokens.access)
    except Unauthorized:
        # Revoked: an administrator ended it, or the account changed. A refresh tells.
        session = await refresh_session(request, session, force=True)
        if session is None:
            return None
    return await _make_person(request, session)


async def _make_person(request: Request, session: Session) -> Person:
    texts = texts_of(request)
    return Person(
        session=session,
        principal=await request.state.verifier.verify(session.tokens.access),
        api=Api(request.state.neighbours, session.tokens.access, texts.tag),
        texts=texts,
    )


def person_of(request: Request) -> Person:
    """Gives who is signed in; set by the route once the policy was met."""
    person: Person = request.state.person
    return person


class Form(dict[str, str]):
    """A form's fields, the last value of each name, without blanks around; `lists`
    has all of them.
    """

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__((name, value.strip()) for name, value in pairs)
        self.pairs = pairs

    def lists(self, name: str) -> list[str]:
        """Gives all values of a field that may be there several times."""
        return [value.strip() for key, value in self.pairs if key == name]


async def read_form(request: Request) -> Form:
    """Reads a form's fields; raises a Problem for another media type, or one that is malformed."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMediaType("unsupported_media_type", f"expected {FORM}")
    try:
        text = (await request.body()).decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise BadRequest("malformed_form") from None
    if any("\0" in value for _, value in pairs):
        raise BadRequest("malformed_form")
    return Form(pairs)


def check_origin(request: Request) -> None:
    """Raises Forbidden for what another site makes a browser send."""
    settings = request.state.settings
    origin = request.headers.get("origin")
    if origin is not None and origin != settings.public_url:
        raise Forbidden("cross_site_request")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("cross_site_request")


class ScreenRoute(PolicedRoute):
    """A page and its forms: a session instead of a bearer token, and forms that only our
    pages can send.
    """

    def __init__(self, path: str, *operations: Operation) -> None:
        super().__init__(path, *operations, max_body_bytes=MAX_FORM_BYTES)

    async def _dispatch(self, request: Request) -> Response:
        operation = self.operations["GET" if request.method == "HEAD" else request.method]
        person = await find_person(request)
        request.state.person = person
        is_change = request.method == "POST"
        if is_change:
            check_origin(request)
            request.state.form = await read_form(request)
        if operation.policy.check is not None:
            if person is None:
                if is_change:
                    return resend_page(request, 401)
                raise SignInRequired("sign_in_required")
            request.state.principal = person.principal
            sent = request.state.form.get("csrf", "") if is_change else ""
            if is_change and not hmac.compare_digest(sent.encode(), person.csrf.encode()):
                # Signed in anew since the page was made: what was typed is asked for
                # again, not lost.
                return resend_page(request, 403)
            if not operation.policy.check(person.principal, request):
                raise Forbidden("insufficient_scope", f"this needs {operation.policy.name}")
        try:
            response = await _answer(request, operation)
        except ApiError as error:
            if not (is_change and error.is_unavailable):
                raise
            # Whoever typed it sends it again in a moment: under the same key it counts once.
            return resend_page(request, error.status, error)
        protect(response)
        return response


async def _answer(request: Request, operation: Operation) -> Response:
    """Answers, once more with new tokens where a service knows before us that the old
    ones were revoked.
    """
    try:
        return await operation.endpoint(request)
    except ApiError as error:
        person: Person | None = request.state.person
        if error.status != 401 or person is None:
            raise
    session = await refresh_session(request, person.session, force=True)
    if session is None:
        request.state.person = None
        if request.method == "POST":
            return resend_page(request, 401)
        raise SignInRequired("sign_in_required")
    request.state.person = await _make_person(request, session)
    return await operation.endpoint(request)
