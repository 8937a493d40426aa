"""The password once more, before a second factor is changed in a session that may have
been left open.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.pages.rendering import form_route, go_to, page, read_form
from apps.auth.pages.steps import next_of, refuse_password, session_of, with_next
from apps.auth.paths import CONFIRM_PASSWORD, ENROL, PASSKEYS, RECOVERY_CODES, SIGN_IN
from apps.auth.people.sessions import complete, confirm_session
from apps.auth.state import state_of

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
    """Lets the person go on if the password is right."""
    fields = await read_form(request)
    state = state_of(request)
    session = complete(await session_of(request))
    if session is None:
        return go_to(SIGN_IN)
    password = fields.get("password", "")
    if refusal := await refuse_password(
        request,
        session.user,
        password,
        lambda status, error: render(request, fields, status, error),
    ):
        return refusal

    async with state.database.connection() as connection:
        await confirm_session(connection, session)
    return go_to(with_next(TARGETS.get(fields.get("then", ""), ENROL), next_of(fields)))


def routes() -> list[BaseRoute]:
    return [form_route(CONFIRM_PASSWORD, show, confirm)]
