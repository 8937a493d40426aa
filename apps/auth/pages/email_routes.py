"""The own e-mail address: changed once the new one is confirmed by a link that was mailed to it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.oauth.refusals import record_refusal
from apps.auth.pages.rendering import error_page, form_route, go_to, page, read_form
from apps.auth.pages.steps import record_own_act, refuse_password, session_of
from apps.auth.paths import ACCOUNT, CONFIRM_EMAIL, EMAIL, SIGN_IN
from apps.auth.people.address_links import (
    create_address_link,
    select_address,
    use_address_link,
)
from apps.auth.people.mail import (
    address_changed,
    address_link,
    insert_mail,
    insert_mail_with_link,
)
from apps.auth.people.mail_limits import may_mail
from apps.auth.people.sessions import complete, lock_session
from apps.auth.people.user_fields import is_email
from apps.auth.people.users import lock_user, update_email
from apps.auth.state import state_of
from apps.auth.texts import texts_of
from apps.kit.errors import Conflict
from apps.kit.texts import N_

TOO_MANY = N_("Too many mails were sent within the hour. Please wait an hour and try again.")


async def show(request: Request) -> Response:
    session = complete(await session_of(request))
    if session is None:
        return go_to(SIGN_IN)
    return page(request, "email.html", user=session.user, error="")


async def change(request: Request) -> Response:
    """Mails a link to the new address. The same page whether it is free or taken: nobody
    learns who is here.
    """
    fields = await read_form(request)
    state = state_of(request)
    session = complete(await session_of(request))
    if session is None:
        return go_to(SIGN_IN)

    user, texts = session.user, texts_of(request)
    email = fields.get("email", "").strip()
    if not is_email(email):
        error = texts.gettext("This is not an e-mail address.")
        return page(request, "email.html", 422, user=user, error=error)
    password = fields.get("password", "")
    if refusal := await refuse_password(
        request,
        user,
        password,
        lambda status, error: page(request, "email.html", status, user=user, error=error),
    ):
        return refusal

    async with state.database.transaction() as connection:
        if await lock_session(connection, request, session, secure=state.settings.secure) is None:
            return go_to(SIGN_IN)
        if not await may_mail(connection, "address", user_id=user.id, recipient=email):
            error = texts.gettext(TOO_MANY)
            return page(request, "email.html", 429, user=user, error=error)
        link = await create_address_link(connection, user.id, email, state.settings.issuer)
        key = state.settings.key_encryption_key
        await insert_mail_with_link(connection, address_link(texts, email, link), key)
    return go_to(f"{ACCOUNT}?done=email-sent")


async def show_confirmation(request: Request) -> Response:
    token = request.query_params.get("token", "")
    async with state_of(request).database.connection() as connection:
        email = await select_address(connection, token)
    if email is None:
        return await no_such_link(request)
    return page(request, "confirm_email.html", token=token, email=email)


async def confirm(request: Request) -> Response:
    """Sets the address, and tells the one before."""
    fields = await read_form(request)
    state = state_of(request)
    try:
        async with state.database.transaction() as connection:
            confirmed = await use_address_link(connection, fields.get("token", ""))
            user = await lock_user(connection, confirmed[0]) if confirmed else None
            if confirmed is None or user is None:
                return await no_such_link(request)
            await update_email(connection, user.id, confirmed[1])
            if user.email != confirmed[1]:
                await insert_mail(connection, address_changed(texts_of(request), user.email))
            await record_own_act(connection, request, "email_confirmed", user.id)
    except Conflict:
        # Somebody took the address since the link was sent: no word of whom.
        return await no_such_link(request)
    return go_to(f"{ACCOUNT}?done=email")


async def no_such_link(request: Request) -> Response:
    await record_refusal(request, "email_confirmed", "invalid_link")
    _ = texts_of(request).gettext
    return error_page(
        request,
        404,
        _("This link is not valid"),
        _("It was used before, or it is too old. Ask for a new one on your account's page."),
    )


def routes() -> list[BaseRoute]:
    return [
        form_route(EMAIL, show, change),
        form_route(CONFIRM_EMAIL, show_confirmation, confirm),
    ]
