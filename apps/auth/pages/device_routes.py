"""`/oauth2/device`: a person enters the code that a device shows, and lets it act for them
(RFC 8628, 3.3).
"""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.audit import Event, insert_audit
from apps.auth.oauth.clients import Client, select_active_client
from apps.auth.oauth.consents import describe
from apps.auth.oauth.device_grant import DeviceCode, answer_device_code, select_user_code
from apps.auth.oauth.logout_notices import insert_session_client
from apps.auth.oauth.oauth_routes import make_server
from apps.auth.pages.rendering import form_route, go_to, page, read_form
from apps.auth.pages.steps import session_of, too_many
from apps.auth.paths import DEVICE, SIGN_IN
from apps.auth.people.lockout import Attempt, settle_attempt, waiting_seconds
from apps.auth.people.sessions import Session, complete, hold_session
from apps.auth.state import address_of, state_of
from apps.auth.texts import texts_of
from apps.kit.database import Connection
from apps.kit.texts import N_

MAX_CODE_CHARS = 20
WRONG = N_("No device is waiting under this code. Please check it; it is good for ten minutes.")


async def show(request: Request) -> Response:
    """Shows the page, with the code filled in where the device's address carried it: it is still
    the person who sends it.
    """
    session = complete(await session_of(request))
    user_code = request.query_params.get("user_code", "")[:MAX_CODE_CHARS]
    if session is None:
        back = urlencode({"device": user_code or "-"})
        return go_to(f"{SIGN_IN}?{urlencode({'next': back})}")
    return page(request, "device.html", user_code=user_code, error="")


async def send(request: Request) -> Response:
    fields = await read_form(request)
    state = state_of(request)
    user_code = fields.get("user_code", "")[:MAX_CODE_CHARS]
    async with state.database.transaction() as connection:
        session = complete(await hold_session(connection, request, secure=state.settings.secure))
        if session is None:
            return go_to(DEVICE)

        attempt = Attempt(f"device:{session.user.id}", address_of(request), "second_factor")
        if wait_seconds := await waiting_seconds(connection, attempt):
            error = too_many(texts_of(request), wait_seconds)
            return page(request, "device.html", 429, user_code=user_code, error=error)
        code = await select_user_code(connection, user_code)
        client = await select_active_client(connection, code.client_id) if code else None
        await settle_attempt(connection, attempt, client is not None)
        if code is None or client is None:
            error = texts_of(request).gettext(WRONG)
            return page(request, "device.html", 400, user_code=user_code, error=error)
        return await respond(request, connection, session, code=code, client=client, fields=fields)


async def respond(
    request: Request,
    connection: Connection,
    session: Session,
    *,
    code: DeviceCode,
    client: Client,
    fields: dict[str, str],
) -> Response:
    """Asks for consent, or notes what the person decided."""
    state = state_of(request)
    user = session.user
    server = make_server(state, connection, address_of(request), session)
    scopes = server.allowed_scopes(client, user, code.scope, launched=user.patient_id is not None)
    decision = fields.get("decision", "")
    if not decision:
        return page(
            request,
            "device_consent.html",
            user_code=fields.get("user_code", ""),
            client_name=client.name,
            email=user.email,
            wishes=sorted({describe(texts_of(request), scope) for scope in scopes}),
        )

    approved = decision == "allow"
    await answer_device_code(
        connection,
        code,
        user_id=user.id,
        session_id=session.public_id,
        authenticated_at=session.authenticated_at,
        methods=session.methods,
        scope=" ".join(sorted(scopes)),
        approved=approved,
    )
    if approved:
        await insert_session_client(
            connection, session_id=session.public_id, client_id=client.id, user_id=user.id
        )
    event = Event(
        name="device_approved" if approved else "device_denied",
        actor_id=user.id,
        client_id=client.id,
        subject=user.id,
        address=address_of(request),
    )
    await insert_audit(connection, event)
    return page(request, "device_done.html", approved=approved, client_name=client.name)


def routes() -> list[BaseRoute]:
    return [form_route(DEVICE, show, send)]
