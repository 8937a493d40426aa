"""Sign-in by the auth service (OpenID Connect code flow with PKCE), sign-out here and there,
and the language.
"""

import base64
import hashlib
import hmac
import logging
import time
from typing import cast
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from apps.catalogue import SERVICES, SignIn
from apps.console.settings import SERVICE
from apps.console.web.cookies import (
    SESSION,
    SIGN_IN,
    clear_cookie,
    read_cookie,
    set_cookie,
)
from apps.console.web.encryption import decrypt, encrypt, new_token
from apps.console.web.people import MAX_FORM_BYTES, ScreenRoute, person_of, read_form
from apps.console.web.rendering import go_to, is_local_path, page, protect, texts_of
from apps.console.web.sessions import (
    Tokens,
    delete_session,
    delete_sessions_of,
    insert_session,
)
from apps.console.web.tokens import BACK_CHANNEL_EVENT, Refused, expiry_of, request_tokens
from apps.kit.errors import BadRequest, Unauthorized
from apps.kit.texts import keep_language
from apps.kit.web import AUTHENTICATED, PUBLIC, Operation, PolicedRoute

SIGN_IN_SECONDS = 600
COOKIE_PURPOSE = b"sign-in"
CLIENT = cast(SignIn, SERVICES[SERVICE].sign_in)

log = logging.getLogger(__name__)


class PendingSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """What the way to the auth service and back is checked by; kept encrypted in a cookie."""

    state: str
    nonce: str
    verifier: str
    next: str
    expires_at: float


async def start(request: Request) -> Response:
    """Leads to the auth service, and remembers where to come back to."""
    settings = request.state.settings
    wanted = request.query_params.get("next", "/")
    pending = PendingSignIn(
        state=new_token(),
        nonce=new_token(),
        verifier=new_token(),
        next=wanted if is_local_path(wanted) else "/",
        expires_at=time.time() + SIGN_IN_SECONDS,
    )
    challenge = hashlib.sha256(pending.verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": SERVICE,
        "redirect_uri": settings.public_url + CLIENT.redirect_path,
        "scope": " ".join(CLIENT.scopes),
        "state": pending.state,
        "nonce": pending.nonce,
        "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        "ui_locales": texts_of(request).tag,
    }
    response = go_to(f"{settings.public_url}/oauth2/authorize?{urlencode(query)}")
    sealed = encrypt(settings.key, msgspec.json.encode(pending), COOKIE_PURPOSE)
    set_cookie(
        request,
        response,
        SIGN_IN,
        base64.urlsafe_b64encode(sealed).decode().rstrip("="),
        SIGN_IN_SECONDS,
    )
    return response


async def finish(request: Request) -> Response:
    """Takes the code, gets tokens for it, and begins a session; what does not fit is refused."""
    state = request.state
    settings = state.settings
    pending = _read_pending(request)
    query = request.query_params
    if pending is None or not hmac.compare_digest(
        query.get("state", "").encode(), pending.state.encode()
    ):
        return page(request, "sign_in_failed.html", 400, reason="expired")
    if query.get("iss", settings.public_url) != settings.public_url or not query.get("code"):
        return page(request, "sign_in_failed.html", 400, reason=query.get("error", "refused"))
    form = {
        "grant_type": "authorization_code",
        "code": query["code"],
        "redirect_uri": settings.public_url + CLIENT.redirect_path,
        "code_verifier": pending.verifier,
    }
    try:
        body = await request_tokens(state.neighbours.http, settings, form)
        claims = await state.statements.read(str(body.get("id_token", "")))
    except (Refused, Unauthorized):
        return page(request, "sign_in_failed.html", 400, reason="refused")
    if claims.get("nonce") != pending.nonce:
        return page(request, "sign_in_failed.html", 400, reason="refused")
    tokens = Tokens(
        access=body["access_token"],
        refresh=body.get("refresh_token", ""),
        id_token=body["id_token"],
        name=str(claims.get("name") or claims.get("email") or claims["sub"]),
    )
    async with state.database.transaction() as connection:
        old = read_cookie(request, SESSION)
        if old:
            await delete_session(connection, old)
        token = await insert_session(
            connection,
            settings.key,
            subject=str(claims["sub"]),
            auth_session=str(claims.get("sid", "")),
            tokens=tokens,
            access_expires_at=expiry_of(body),
        )
    response = go_to(pending.next)
    set_cookie(request, response, SESSION, token)
    clear_cookie(request, response, SIGN_IN)
    return response


def _read_pending(request: Request) -> PendingSignIn | None:
    try:
        text = read_cookie(request, SIGN_IN)
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    content = decrypt(request.state.settings.key, sealed, COOKIE_PURPOSE)
    if content is None:
        return None
    pending = msgspec.json.decode(content, type=PendingSignIn)
    return pending if pending.expires_at > time.time() else None


async def sign_out(request: Request) -> Response:
    """Ends the session here, then leads to the auth service to end it there."""
    settings = request.state.settings
    session = person_of(request).session
    async with request.state.database.connection() as connection:
        await delete_session(connection, session.token)
    query = {
        "client_id": SERVICE,
        "id_token_hint": session.tokens.id_token,
        "post_logout_redirect_uri": settings.public_url + CLIENT.signed_out_path,
    }
    response = RedirectResponse(f"{settings.public_url}/oauth2/logout?{urlencode(query)}", 303)
    protect(response)
    clear_cookie(request, response, SESSION)
    return response


async def show_signed_out(request: Request) -> Response:
    """Says that the person is signed out."""
    return page(request, "signed_out.html")


async def sign_out_by_auth(request: Request) -> Response:
    """Ends sessions that the auth service ended (OpenID Connect Back-Channel Logout
    1.0, 2.5 to 2.8).
    """
    form = await read_form(request)
    claims = await request.state.statements.read(form.get("logout_token", ""))
    events = claims.get("events")
    subject, auth_session = claims.get("sub", ""), claims.get("sid", "")
    if (
        not isinstance(events, dict)
        or BACK_CHANNEL_EVENT not in events
        or "nonce" in claims
        or not isinstance(subject, str)
        or not isinstance(auth_session, str)
        or not (subject or auth_session)
    ):
        raise BadRequest("invalid_logout_token")
    async with request.state.database.connection() as connection:
        ended = await delete_sessions_of(connection, subject=subject, auth_session=auth_session)
    log.info("sessions ended by auth", extra={"ended": ended})
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


async def keep(request: Request) -> Response:
    """Answers nothing: the request itself keeps the session."""
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


async def choose_language(request: Request) -> Response:
    """Keeps the language that a person chose, and goes back to the page."""
    form = request.state.form
    wanted = form.get("next", "/")
    response = go_to(wanted if is_local_path(wanted) else "/")
    keep_language(response, form.get("language", ""), secure=request.state.settings.secure)
    return response


def sign_in_routes() -> list[BaseRoute]:
    """Gives the routes around a session. Those before it are public; each checks
    what it is given.
    """
    return [
        ScreenRoute("/sign-in", Operation("GET", start, PUBLIC)),
        ScreenRoute(CLIENT.redirect_path, Operation("GET", finish, PUBLIC)),
        ScreenRoute("/sign-out", Operation("POST", sign_out, AUTHENTICATED)),
        ScreenRoute(CLIENT.signed_out_path, Operation("GET", show_signed_out, PUBLIC)),
        PolicedRoute(
            CLIENT.back_channel_logout_path,
            Operation("POST", sign_out_by_auth, PUBLIC),
            max_body_bytes=MAX_FORM_BYTES,
        ),
        ScreenRoute("/session", Operation("GET", keep, AUTHENTICATED)),
        ScreenRoute("/language", Operation("POST", choose_language, PUBLIC)),
    ]
