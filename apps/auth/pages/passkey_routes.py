"""Passkeys: registered on the account's pages, used to sign in, alone or as the second factor.

The browser's part is a script, which sends JSON; the form's token goes in the header `X-CSRF`.
"""

import hmac
import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.oauth.refusals import record_refusal
from apps.auth.oauth.revocations import revoke_subject
from apps.auth.pages.rendering import (
    csrf_token,
    environment,
    form_route,
    go_to,
    page,
    read_form,
)
from apps.auth.pages.steps import (
    MAX_NEXT_CHARS,
    continue_to,
    record_own_act,
    session_of,
    start_session,
)
from apps.auth.paths import ACCOUNT, CONFIRM_PASSWORD, PASSKEYS, RECOVERY_CODES, SIGN_IN
from apps.auth.people.devices import forget_devices
from apps.auth.people.mail import factor_changed, insert_mail
from apps.auth.people.passkeys import (
    MAX_CREDENTIAL_BYTES,
    PasskeyError,
    RelyingParty,
    delete_passkey,
    read_credential,
    register_passkey,
    registration_options,
    select_passkeys,
    sign_in_options,
    verify_passkey,
)
from apps.auth.people.sessions import (
    Session,
    browser_cookie,
    complete,
    lock_session,
    session_cookie,
)
from apps.auth.people.totp import replace_recovery_codes
from apps.auth.people.users import lock_unchanged
from apps.auth.state import state_of
from apps.auth.texts import texts_of
from apps.kit.errors import BadRequest, Forbidden, Unauthorized
from apps.kit.texts import N_
from apps.kit.web import PUBLIC, JSONResponse, Operation, PolicedRoute

# RFC 8176: a key of the device, the person's presence and the device's check of the person.
METHODS = ("hwk", "user", "mfa")

log = logging.getLogger(__name__)


async def show(request: Request) -> Response:
    """Lists the passkeys. Who left the session open a while ago proves the password first."""
    session = complete(await session_of(request))
    if session is None:
        return go_to(SIGN_IN)
    if not session.confirmed:
        return go_to(f"{CONFIRM_PASSWORD}?then=passkeys")
    async with state_of(request).database.connection() as connection:
        passkeys = await select_passkeys(connection, session.user.id)
    return page(
        request, "passkeys.html", passkeys=passkeys, done=request.query_params.get("done", "")
    )


async def delete(request: Request) -> Response:
    fields = await read_form(request)
    state = state_of(request)
    session = await confirmed_session(request)
    async with state.database.transaction() as connection:
        locked = await lock_session(connection, request, session, secure=state.settings.secure)
        if locked and await delete_passkey(connection, locked.user.id, fields.get("passkey", "")):
            what = N_("a passkey was removed from it")
            await insert_mail(
                connection, factor_changed(texts_of(request), locked.user.email, what)
            )
            await record_own_act(connection, request, "passkey_removed", locked.user.id)
    return go_to(f"{PASSKEYS}?done=removed")


async def begin_registration(request: Request) -> Response:
    browser = check_script(request)
    session = await confirmed_session(request)
    state = state_of(request)
    async with state.database.connection() as connection:
        options = await registration_options(
            connection, RelyingParty(state.settings.issuer), session.user, browser
        )
    return json_text(options)


async def finish_registration(request: Request) -> Response:
    """Takes `{"name", "credential"}`; answers where the browser goes on."""
    browser = check_script(request)
    session = await confirmed_session(request)
    state = state_of(request)
    try:
        body = read_credential(await request.body())
        credential: Any = body.get("credential")
        if not isinstance(credential, dict):
            raise PasskeyError("no credential")
        response = JSONResponse({"location": f"{PASSKEYS}?done=added"})
        async with state.database.transaction() as connection:
            locked = await lock_session(connection, request, session, secure=state.settings.secure)
            if locked is None:
                raise Unauthorized("signed_out")
            await register_passkey(
                connection,
                RelyingParty(state.settings.issuer),
                locked.user,
                browser,
                credential=credential,
                name=str(body.get("name", "")).strip(),
            )
            what = N_("a passkey was added to it")
            await insert_mail(
                connection, factor_changed(texts_of(request), locked.user.email, what)
            )
            if not locked.user.has_second_factor:
                # Whoever else holds a session or token of this user never proved a second factor.
                await revoke_subject(connection, locked.user.id)
                await forget_devices(connection, locked.user.id)
                await start_session(
                    connection, request, response, locked.user, methods=METHODS, confirmed=True
                )
            await record_own_act(connection, request, "passkey_added", locked.user.id)
    except PasskeyError as error:
        await record_refusal(
            request, "passkey_added", str(error), actor_id=session.user.id, subject=session.user.id
        )
        raise BadRequest("invalid_passkey") from None
    return response


async def begin_sign_in(request: Request) -> Response:
    browser = check_script(request)
    state = state_of(request)
    async with state.database.connection() as connection:
        options = await sign_in_options(connection, RelyingParty(state.settings.issuer), browser)
    return json_text(options)


async def finish_sign_in(request: Request) -> Response:
    """Takes `{"credential", "next"}`. A session that waits for a second factor takes its own
    person's only.
    """
    browser = check_script(request)
    state = state_of(request)
    waiting = await session_of(request)
    try:
        body = read_credential(await request.body())
        credential: Any = body.get("credential")
        if not isinstance(credential, dict):
            raise PasskeyError("no credential")
        query = body.get("next", "")
        query = query[:MAX_NEXT_CHARS] if isinstance(query, str) else ""
        response = JSONResponse({"location": continue_to(query)})
        async with state.database.transaction() as connection:
            party = RelyingParty(state.settings.issuer)
            user = await verify_passkey(connection, party, browser, credential)
            if waiting and waiting.pending and waiting.user.id != user.id:
                raise PasskeyError("another person")
            if await lock_unchanged(connection, user) is None:
                raise PasskeyError("changed meanwhile")
            await start_session(connection, request, response, user, methods=METHODS)
            await record_own_act(connection, request, "sign_in", user.id, reason="passkey")
    except PasskeyError as error:
        log.info("passkey refused", extra={"reason": str(error)})
        await record_refusal(request, "sign_in", "wrong_passkey")
        raise BadRequest("invalid_passkey") from None
    return response


async def make_recovery_codes(request: Request) -> Response:
    """Shows new recovery codes; the ones before are void."""
    await read_form(request)
    state = state_of(request)
    session = await confirmed_session(request)
    async with state.database.transaction() as connection:
        locked = await lock_session(connection, request, session, secure=state.settings.secure)
        if locked is None:
            return go_to(SIGN_IN)
        codes = await replace_recovery_codes(connection, locked.user.id)
        what = N_("it has new recovery codes")
        await insert_mail(connection, factor_changed(texts_of(request), locked.user.email, what))
        await record_own_act(connection, request, "recovery_codes_made", locked.user.id)
    return page(request, "recovery_codes.html", codes=codes, target=ACCOUNT)


async def show_recovery_codes(request: Request) -> Response:
    session = complete(await session_of(request))
    if session is None:
        return go_to(SIGN_IN)
    if not session.confirmed:
        return go_to(f"{CONFIRM_PASSWORD}?then=recovery-codes")
    return page(request, "new_recovery_codes.html")


def check_script(request: Request) -> str:
    """Returns the browser's secret; raises Forbidden for a request that our own
    pages did not make.
    """
    state = state_of(request)
    secure = state.settings.secure
    browser = request.cookies.get(browser_cookie(secure), "")
    expected = csrf_token(browser, request.cookies.get(session_cookie(secure), ""))
    sent = request.headers.get("x-csrf", "")
    if not browser or not hmac.compare_digest(expected.encode(), sent.encode()):
        raise Forbidden("form_expired")
    return browser


async def confirmed_session(request: Request) -> Session:
    """Returns the complete session whose password was just proven; raises Unauthorized."""
    session = complete(await session_of(request))
    if session is None or not session.confirmed:
        raise Unauthorized("password_needed")
    return session


def json_text(text: str) -> Response:
    return Response(text, media_type="application/json", headers={"Cache-Control": "no-store"})


async def script(request: Request) -> Response:
    source, _, _ = environment.loader.get_source(environment, "account.js")  # type: ignore[union-attr]
    headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
    return Response(source, media_type="text/javascript", headers=headers)


def routes() -> list[BaseRoute]:
    calls = {
        f"{PASSKEYS}/register/options": begin_registration,
        f"{PASSKEYS}/register": finish_registration,
        f"{PASSKEYS}/sign-in/options": begin_sign_in,
        f"{PASSKEYS}/sign-in": finish_sign_in,
    }
    return [
        form_route(PASSKEYS, show, delete),
        form_route(RECOVERY_CODES, show_recovery_codes, make_recovery_codes),
        *(
            PolicedRoute(path, Operation("POST", call, PUBLIC), max_body_bytes=MAX_CREDENTIAL_BYTES)
            for path, call in calls.items()
        ),
        PolicedRoute("/oauth2/account.js", Operation("GET", script, PUBLIC)),
    ]
