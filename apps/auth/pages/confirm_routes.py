"""The password once more, before a second factor is changed in a session that may have been left open."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.pages.rendering import form_route, go_to, page, read_form
from apps.auth.pages.sign_in_routes import (
    PAGES_CLIENT,
    next_of,
    session_of,
    too_many,
    with_next,
)
from apps.auth.paths import CONFIRM_PASSWORD, ENROL, PASSKEYS, RECOVERY_CODES, SIGN_IN
from apps.auth.people.devices import device_of
from apps.auth.people.password_check import check_password
from apps.auth.people.sessions import complete, confirm_session
from apps.auth.state import address_of, state_of
from apps.kit.errors import TooManyRequests

TARGETS = {"enrol": ENROL, "passkeys": PASSKEYS, "recovery-codes": RECOVERY_CODES}


async def show(request: Request) -> Response:
    if complete(await session_of(request)) is None:
        return go_to(SIGN_IN)
    return render(request, dict(request.query_params))


def render(
    request: Request, fields: dict[str, str], status: int = 200, error: str = ""
) -> Response:
    then = fields.get("then", "")
    return page(
        request,
        "confirm_password.html",
        status,
        error=error,
        next=next_of(fields),
        then=then if then in TARGETS else "enrol",
    )


async def confirm(request: Request) -> Response:
    """Lets the person go on if the password is right; wrong ones count as in a sign-in."""
    fields = await read_form(request)
    state = state_of(request)
    session = complete(await session_of(request))
    if session is None:
        return go_to(SIGN_IN)
    try:
        right = await check_password(
            state.database,
            state.hashing,
            email=session.user.email,
            password=fields.get("password", ""),
            address=address_of(request),
            client_id=PAGES_CLIENT,
            device=device_of(request, secure=state.settings.secure),
        )
    except TooManyRequests as refused:
        wait_seconds = int(refused.headers["Retry-After"])
        response = render(request, fields, 429, too_many(wait_seconds))
        response.headers["retry-after"] = str(wait_seconds)
        return response
    if right is None or right.id != session.user.id:
        return render(request, fields, 400, "The password is not right.")

    async with state.database.transaction() as connection:
        await confirm_session(connection, session)
    return go_to(with_next(TARGETS.get(fields.get("then", ""), ENROL), next_of(fields)))


def routes() -> list[BaseRoute]:
    return [form_route(CONFIRM_PASSWORD, show, confirm)]
