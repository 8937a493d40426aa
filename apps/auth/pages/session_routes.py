"""The own sessions and consents: listed, ended, withdrawn."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.oauth.consents import select_consents
from apps.auth.oauth.session_ends import end_sessions, withdraw_consent
from apps.auth.pages.rendering import form_route, go_to, page, read_form
from apps.auth.pages.steps import record_own_act, session_of
from apps.auth.paths import CONSENTS, SESSIONS, SIGN_IN
from apps.auth.people.sessions import complete, lock_session, select_sessions
from apps.auth.state import state_of
from apps.auth.texts import texts_of


async def show_sessions(request: Request) -> Response:
    session = complete(await session_of(request))
    if session is None:
        return go_to(SIGN_IN)
    async with state_of(request).database.connection() as connection:
        sessions = await select_sessions(connection, session.user.id)
    return page(
        request,
        "sessions.html",
        sessions=sessions,
        own=session.public_id,
        done="done" in request.query_params,
    )


async def end(request: Request) -> Response:
    """Ends the session that the form names, or every other one."""
    fields = await read_form(request)
    state = state_of(request)
    session = complete(await session_of(request))
    if session is None:
        return go_to(SIGN_IN)
    async with state.database.transaction() as connection:
        locked = await lock_session(connection, request, session, secure=state.settings.secure)
        if locked is None:
            return go_to(SIGN_IN)
        known = await select_sessions(connection, locked.user.id)
        ids = [each.id for each in known if each.id != locked.public_id]
        if fields.get("session") != "others":
            # An id that is not among them is not looked up.
            ids = [each.id for each in known if each.id == fields.get("session")]
        await end_sessions(connection, locked.user.id, ids)
        await record_own_act(connection, request, "session_ended", locked.user.id)
    return go_to(f"{SESSIONS}?done")


async def show_consents(request: Request) -> Response:
    session = complete(await session_of(request))
    if session is None:
        return go_to(SIGN_IN)
    async with state_of(request).database.connection() as connection:
        consents = await select_consents(connection, session.user.id, texts_of(request))
    return page(request, "consents.html", consents=consents, done="done" in request.query_params)


async def withdraw(request: Request) -> Response:
    fields = await read_form(request)
    state = state_of(request)
    session = complete(await session_of(request))
    if session is None:
        return go_to(SIGN_IN)
    client_id = fields.get("client", "")
    async with state.database.transaction() as connection:
        locked = await lock_session(connection, request, session, secure=state.settings.secure)
        if locked is None:
            return go_to(SIGN_IN)
        # PostgreSQL takes no NUL.
        if client_id.isprintable() and await withdraw_consent(
            connection, locked.user.id, client_id
        ):
            await record_own_act(
                connection, request, "consent_withdrawn", locked.user.id, client_id=client_id
            )
    return go_to(f"{CONSENTS}?done")


def routes() -> list[BaseRoute]:
    return [
        form_route(SESSIONS, show_sessions, end),
        form_route(CONSENTS, show_consents, withdraw),
    ]
