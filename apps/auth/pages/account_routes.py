"""Pages of one's own account: password, second factor, signing out."""

from urllib.parse import urlencode

from authlib.oauth2.rfc6749 import OAuth2Error
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.oauth.authlib_starlette import read_oauth2_request
from apps.auth.oauth.logout_notices import insert_logout_notices
from apps.auth.oauth.oauth_routes import make_server
from apps.auth.oauth.refusals import record_refusal
from apps.auth.oauth.revocations import revoke_subject
from apps.auth.pages.authorize_routes import refuse
from apps.auth.pages.rendering import error_page, form_route, go_to, origin_of, page, read_form
from apps.auth.pages.steps import record_own_act, refuse_password, session_of, start_session
from apps.auth.paths import ACCOUNT, LOGOUT, PASSWORD, RESET, SIGN_IN
from apps.auth.people.devices import forget_devices
from apps.auth.people.mail import insert_mail, password_changed
from apps.auth.people.resets import ResetLink, select_reset_link, use_reset_token
from apps.auth.people.sessions import (
    clear_cookie,
    complete,
    end_session,
    lock_session,
    select_session,
    session_cookie,
)
from apps.auth.people.users import update_password
from apps.auth.state import address_of, state_of
from apps.auth.texts import texts_of
from apps.kit.errors import Unprocessable
from apps.kit.texts import N_
from apps.kit.web import PUBLIC, Operation, PolicedRoute

DONE = {
    "password": N_("Your password was changed. Everywhere else you are signed out."),
    "email-sent": N_("A mail with a link is on its way to your new address."),
    "email": N_("Your e-mail address is confirmed."),
}


async def show_account(request: Request) -> Response:
    session = complete(await session_of(request))
    if session is None:
        return go_to(SIGN_IN)
    done = texts_of(request).gettext(DONE.get(request.query_params.get("done", ""), ""))
    return page(request, "account.html", user=session.user, done=done)


async def show_password(request: Request) -> Response:
    if complete(await session_of(request)) is None:
        return go_to(SIGN_IN)
    return page(request, "password.html", error="")


async def change_password(request: Request) -> Response:
    """Ends every other session and token of the user."""
    fields = await read_form(request)
    state = state_of(request)
    session = complete(await session_of(request))
    if session is None:
        return go_to(SIGN_IN)
    user, texts = session.user, texts_of(request)

    def show_error(status: int, error: str) -> Response:
        return page(request, "password.html", status, error=error)

    try:
        new_password = await state.hashing.check_new(
            fields.get("new_password", ""), (user.email, user.name)
        )
    except Unprocessable as error:
        rule = texts.gettext(error.detail)
        return show_error(422, texts.gettext("The password must be {rule}.", rule=rule))
    password = fields.get("password", "")
    if refusal := await refuse_password(request, user, password, show_error):
        return refusal

    password_hash = await state.hashing.hash(new_password)
    response = go_to(f"{ACCOUNT}?done=password")
    async with state.database.transaction() as connection:
        if await lock_session(connection, request, session, secure=state.settings.secure) is None:
            return go_to(SIGN_IN)
        await update_password(connection, user.id, password_hash)
        await revoke_subject(connection, user.id)
        await forget_devices(connection, user.id)
        await start_session(connection, request, response, user, methods=session.methods)
        await record_own_act(connection, request, "password_changed", user.id)
        await insert_mail(connection, password_changed(texts, user.email))
    return response


async def show_reset(request: Request) -> Response:
    token = request.query_params.get("token", "")
    async with state_of(request).database.connection() as connection:
        link = await select_reset_link(connection, token)
    if link is None or link.is_external:
        return await refuse_link(request, link)
    return page(request, "reset.html", token=token, error="")


async def refuse_link(request: Request, link: ResetLink | None) -> Response:
    """Answers to a link that sets no password: it is not valid, or it is that of a person of the
    external provider.
    """
    reason = "external_account" if link else "invalid_link"
    await record_refusal(request, "password_reset", reason, subject=link.user_id if link else "")
    _ = texts_of(request).gettext
    if link:
        return error_page(
            request,
            409,
            _("You have no password here"),
            _("You sign in by your organization: change your password there."),
        )
    return error_page(
        request,
        404,
        _("This link is not valid"),
        _("It was used before, or it is too old. Ask your administrator for a new one."),
    )


async def reset_password(request: Request) -> Response:
    fields = await read_form(request)
    state, token, texts = state_of(request), fields.get("token", ""), texts_of(request)
    async with state.database.connection() as connection:
        # Judging and hashing a password is expensive: only for a valid link.
        link = await select_reset_link(connection, token)
    if link is None or link.is_external:
        return await refuse_link(request, link)
    try:
        new_password = await state.hashing.check_new(
            fields.get("new_password", ""), (link.email, link.name)
        )
    except Unprocessable as error:
        rule = texts.gettext(error.detail)
        message = texts.gettext("The password must be {rule}.", rule=rule)
        return page(request, "reset.html", 422, token=token, error=message)
    password_hash = await state.hashing.hash(new_password)
    async with state.database.transaction() as connection:
        user_id = await use_reset_token(connection, token)
        if user_id:
            await update_password(connection, user_id, password_hash)
            await revoke_subject(connection, user_id)
            await forget_devices(connection, user_id)
            await record_own_act(connection, request, "password_reset", user_id)
            await insert_mail(connection, password_changed(texts, link.email))
    return go_to(f"{SIGN_IN}?done=password") if user_id else await refuse_link(request, None)


async def show_logout(request: Request) -> Response:
    return await logout(request, confirmed=False)


async def send_logout(request: Request) -> Response:
    """Ends the session by our page's form. A form of a client's site is turned into a
    request by GET.

    With a form of another site the browser sends no cookie of ours (SameSite=Lax), with the
    redirect it does.
    """
    try:
        asked = await read_oauth2_request(request, state_of(request).settings.issuer)
    except OAuth2Error as error:
        return await refuse(request, error, "sign_out")
    if "csrf" in asked.form:
        await read_form(request)
        return await logout(request, confirmed=True)
    return go_to(f"{LOGOUT}?{urlencode({**asked.args, **asked.form})}")


async def logout(request: Request, *, confirmed: bool) -> Response:
    """Ends the session (OpenID Connect RP-Initiated Logout): at once where an id token names the
    person, else after a question.
    """
    state = state_of(request)
    secure = state.settings.secure
    try:
        asked = await read_oauth2_request(request, state.settings.issuer)
        async with state.database.transaction() as connection:
            session = await select_session(connection, request, secure=secure)
            server = make_server(state, connection, address_of(request))
            wish = await server.run(server.validate_endpoint_request, "end_session", asked)
            claims = wish.id_token_claims or {}
            if session and not confirmed and claims.get("sub") != session.user.id:
                target = origin_of(wish.redirect_uri) if wish.redirect_uri else ""
                return page(request, "sign_out.html", query=request.url.query, form_target=target)
            if session:
                await end_session(connection, request, secure=secure)
                user_id = session.user.id
                await insert_logout_notices(connection, user_id, session.public_id)
                await record_own_act(connection, request, "sign_out", user_id)
            leaving: Response | None = await server.run(
                server.create_endpoint_response, "end_session", wish
            )
    except OAuth2Error as error:
        return await refuse(request, error, "sign_out")
    response = leaving or page(request, "signed_out.html", signed_out=True)
    clear_cookie(response, session_cookie(secure), secure=secure)
    return response


def routes() -> list[BaseRoute]:
    return [
        PolicedRoute(ACCOUNT, Operation("GET", show_account, PUBLIC)),
        form_route(PASSWORD, show_password, change_password),
        form_route(RESET, show_reset, reset_password),
        form_route(LOGOUT, show_logout, send_logout),
    ]
