"""The page to sign in by e-mail address and password."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.audit import Event, insert_audit
from apps.auth.pages.rendering import form_route, go_to, read_form
from apps.auth.pages.steps import (
    PAGES_CLIENT,
    continue_to,
    next_of,
    show_locked,
    show_page,
    start_session,
    with_next,
)
from apps.auth.paths import ENROL, SECOND_FACTOR, SIGN_IN
from apps.auth.people.devices import device_of
from apps.auth.people.password_check import check_password
from apps.auth.people.users import lock_unchanged
from apps.auth.state import address_of, state_of
from apps.auth.texts import texts_of
from apps.kit.errors import TooManyRequests
from apps.kit.texts import N_

WRONG = N_("The e-mail address or the password is not right.")
DONE = {"password": N_("Your password was set. Please sign in.")}


async def show_sign_in(request: Request) -> Response:
    done = texts_of(request).gettext(DONE.get(request.query_params.get("done", ""), ""))
    return await show_page(
        request, "sign_in.html", next=next_of(dict(request.query_params)), done=done
    )


async def sign_in(request: Request) -> Response:
    fields = await read_form(request)
    state, address, query = state_of(request), address_of(request), next_of(fields)
    email, password = fields.get("email", ""), fields.get("password", "")
    again = {"next": query, "email": email}
    wrong = texts_of(request).gettext(WRONG)
    try:
        user = await check_password(
            state.database,
            state.hashing,
            email=email,
            password=password,
            address=address,
            client_id=PAGES_CLIENT,
            device=device_of(request, secure=state.settings.secure),
        )
    except TooManyRequests as error:
        return await show_locked(
            request, "sign_in.html", int(error.headers["Retry-After"]), **again
        )
    if user is None:
        return await show_page(request, "sign_in.html", 400, error=wrong, **again)
    pending = user.must_prove_more(state.settings.mfa_required_roles)
    target = continue_to(query)
    if pending:
        target = with_next(SECOND_FACTOR if user.has_second_factor else ENROL, query)
    response = go_to(target)
    async with state.database.transaction() as connection:
        # Hashing takes its time: whoever was disabled or changed meanwhile is refused.
        unchanged = await lock_unchanged(connection, user)
        if unchanged:
            await start_session(
                connection, request, response, user, methods=("pwd",), pending=pending
            )
        event = Event(
            "password_accepted" if pending and unchanged else "sign_in",
            "success" if unchanged else "failure",
            "" if unchanged else "changed_meanwhile",
            actor_id=user.id,
            client_id=PAGES_CLIENT,
            subject=user.id,
            address=address,
        )
        await insert_audit(connection, event)
    return (
        response
        if unchanged
        else await show_page(request, "sign_in.html", 400, error=wrong, **again)
    )


def routes() -> list[BaseRoute]:
    return [form_route(SIGN_IN, show_sign_in, sign_in)]
