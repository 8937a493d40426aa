"""`/auth/v1/me`: the account of the person who asks, their sessions and consents."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.admin.requests import no_store, record
from apps.auth.admin.user_routes import as_json, session_as_json
from apps.auth.oauth.consents import Consent, select_consents
from apps.auth.oauth.session_ends import end_sessions, withdraw_consent
from apps.auth.people.sessions import select_sessions
from apps.auth.people.users import User, lock_user, select_user
from apps.auth.state import state_of
from apps.auth.texts import texts_of
from apps.kit.database import Connection
from apps.kit.errors import Forbidden, NotFound
from apps.kit.web import JSONResponse, Operation, PolicedRoute, principal_of, scopes

ME = "/auth/v1/me"
# An application that signs people in may not end their sessions elsewhere, nor read their address.
ACCOUNT = scopes("account")


async def read(request: Request) -> Response:
    async with state_of(request).database.connection() as connection:
        user = await person(connection, request)
    return no_store(JSONResponse(as_json(user)))


async def list_sessions(request: Request) -> Response:
    async with state_of(request).database.connection() as connection:
        user = await person(connection, request)
        sessions = await select_sessions(connection, user.id)
    return no_store(JSONResponse({"items": [session_as_json(each) for each in sessions]}))


async def end_one_session(request: Request) -> Response:
    session_id = request.path_params["session"]
    async with state_of(request).database.transaction() as connection:
        user = await person(connection, request, locked=True)
        # PostgreSQL takes no NUL.
        if not session_id.isprintable() or not await end_sessions(
            connection, user.id, [session_id]
        ):
            raise NotFound("not_found")
        await record(connection, request, "session_ended", user.id)
    return Response(status_code=204)


async def end_all_sessions(request: Request) -> Response:
    """Ends every session of the person, the one behind this token among them."""
    async with state_of(request).database.transaction() as connection:
        user = await person(connection, request, locked=True)
        sessions = await select_sessions(connection, user.id)
        await end_sessions(connection, user.id, [each.id for each in sessions])
        await record(connection, request, "sessions_ended", user.id)
    return Response(status_code=204)


async def list_consents(request: Request) -> Response:
    async with state_of(request).database.connection() as connection:
        user = await person(connection, request)
        consents = await select_consents(connection, user.id, texts_of(request))
    return no_store(JSONResponse({"items": [consent_as_json(each) for each in consents]}))


async def withdraw(request: Request) -> Response:
    """Withdraws a consent and ends what the application holds of the person."""
    client_id = request.path_params["client"]
    async with state_of(request).database.transaction() as connection:
        user = await person(connection, request, locked=True)
        if not client_id.isprintable() or not await withdraw_consent(
            connection, user.id, client_id
        ):
            raise NotFound("not_found")
        await record(connection, request, "consent_withdrawn", user.id)
    return Response(status_code=204)


async def person(connection: Connection, request: Request, *, locked: bool = False) -> User:
    """Returns the user behind the token; raises Forbidden for a client's or a
    service's own token.
    """
    subject = principal_of(request).subject
    user = await (lock_user if locked else select_user)(connection, subject)
    if user is None:
        raise Forbidden("no_person", "no person stands behind this token")
    return user


def consent_as_json(consent: Consent) -> dict[str, Any]:
    return {
        "clientId": consent.client_id,
        "clientName": consent.client_name,
        "scopes": consent.scopes,
        "grantedAt": consent.granted_at,
    }


def routes() -> list[BaseRoute]:
    return [
        PolicedRoute(ME, Operation("GET", read, ACCOUNT)),
        PolicedRoute(
            ME + "/sessions",
            Operation("GET", list_sessions, ACCOUNT),
            Operation("DELETE", end_all_sessions, ACCOUNT),
        ),
        PolicedRoute(ME + "/sessions/{session}", Operation("DELETE", end_one_session, ACCOUNT)),
        PolicedRoute(ME + "/consents", Operation("GET", list_consents, ACCOUNT)),
        PolicedRoute(ME + "/consents/{client}", Operation("DELETE", withdraw, ACCOUNT)),
    ]
