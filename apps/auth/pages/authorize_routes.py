"""`/oauth2/authorize`: a person lets an application act for them (RFC 6749, 4.1; OpenID
Connect Core, 3.1.2).
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import OAuth2Error
from authlib.oidc.core.errors import (
    ConsentRequiredError,
    InteractionRequiredError,
    LoginRequiredError,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.audit import Event, insert_audit
from apps.auth.oauth.authlib_starlette import (
    StarletteOAuth2Request,
    read_oauth2_request,
)
from apps.auth.oauth.authorization_requests import (
    check_supported,
    is_expected_person,
    must_sign_in,
    read_prompts,
)
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.clients import Client, select_active_client
from apps.auth.oauth.consents import describe, has_consented, save_consent
from apps.auth.oauth.launches import LaunchContext, delete_launch
from apps.auth.oauth.oauth_routes import make_server
from apps.auth.oauth.pushed_requests import (
    check_pushed,
    delete_pushed_request,
    expand,
    note_signed_in,
    select_pushed_request,
)
from apps.auth.oauth.refusals import record_refusal
from apps.auth.pages.patient_picker import PatientNeeded, read_launch, show_picker
from apps.auth.pages.rendering import error_page, form_route, go_to, origin_of, page, read_form
from apps.auth.paths import AUTHORIZE, SIGN_IN, pairs_of
from apps.auth.people.sessions import Session, complete, hold_session
from apps.auth.people.users import User
from apps.auth.state import address_of, state_of
from apps.auth.texts import texts_of
from apps.kit.database import Connection

# What `prompt=none` asks for: an answer, no attempt.
ROUTINE = (LoginRequiredError.error, ConsentRequiredError.error, InteractionRequiredError.error)


async def show(request: Request) -> Response:
    return await decide(request, {})


async def answer(request: Request) -> Response:
    """Takes the consent page's or the patient picker's form, or an authorization
    request by POST.
    """
    if "client_id" in request.query_params:
        return await decide(request, await read_form(request))
    try:
        asked = await read_oauth2_request(request, state_of(request).settings.issuer)
    except OAuth2Error as error:
        return await refuse(request, error)
    return go_to(f"{AUTHORIZE}?{urlencode(asked.form)}")


async def decide(request: Request, fields: Mapping[str, str]) -> Response:
    """Answers with an error, the sign-in page, the patient picker, the consent page or a code.

    `fields`: of our own form, empty for a request that comes from the application.
    """
    state = state_of(request)
    try:
        asked = await read_oauth2_request(request, state.settings.issuer)
        async with state.database.transaction() as connection:
            session = complete(
                await hold_session(connection, request, secure=state.settings.secure)
            )
            server = make_server(state, connection, address_of(request), session)
            asked = await expand(connection, asked)
            # Of a pushed request: the address has none.
            request.state.ui_locales = asked.payload.data.get("ui_locales", "")
            return await respond(request, server, asked, session, fields)
    except OAuth2Error as error:
        return await refuse(request, error)


async def respond(
    request: Request,
    server: IdentityServer,
    asked: StarletteOAuth2Request,
    session: Session | None,
    fields: Mapping[str, str],
) -> Response:
    user = session.user if session else None
    grant = await server.run(server.get_consent_grant, asked, user)
    redirect_uri: str = grant.redirect_uri
    try:
        client: Client = asked.client
        check_pushed(asked, client.pushed_requests_only)
        check_supported(server, asked, client)
        prompts = read_prompts(asked)
        # Whoever has just sent one of our forms has also signed in again, where that was asked for.
        if session is None or (not fields and must_sign_in(asked, session, prompts)):
            if "none" in prompts:
                raise LoginRequiredError()
            return await ask_to_sign_in(request, server)
        if not is_expected_person(server, asked, session):
            raise LoginRequiredError()

        try:
            chosen = fields.get("patient", "")
            server.launch = await read_launch(server, asked, session.user, chosen)
        except PatientNeeded:
            return await show_picker(request, server, client, session.user, fields)
        response = await respond_signed_in(
            request, server, asked, session, grant=grant, prompts=prompts, fields=fields
        )
    except OAuth2Error as error:
        error.redirect_uri = redirect_uri
        error.state = asked.payload.state
        raise
    return with_issuer(response, server.settings.issuer)


def host_of(redirect_uri: str) -> str:
    """Returns where the browser goes back to, as a person reads it: a host, or an
    application's own scheme.
    """
    parts = urlsplit(redirect_uri)
    return parts.netloc or f"{parts.scheme}:"


async def ask_to_sign_in(request: Request, server: IdentityServer) -> Response:
    """Sends the browser to the sign-in page, from where it comes back to this request."""
    if request_uri := request.query_params.get("request_uri"):
        await note_signed_in(server.connection, request_uri)
    query = request.url.query
    if request.state.ui_locales and "ui_locales" not in request.query_params:
        query += "&" + urlencode({"ui_locales": request.state.ui_locales})
    return go_to(f"{SIGN_IN}?{urlencode({'next': query})}")


async def respond_signed_in(
    request: Request,
    server: IdentityServer,
    asked: StarletteOAuth2Request,
    session: Session,
    *,
    grant: Any,
    prompts: set[str],
    fields: Mapping[str, str],
) -> Response:
    """Answers with the consent page, or with what the person decided: a code or a refusal."""
    client: Client = asked.client
    user = session.user
    connection = server.connection
    launched = server.launch.patient_id is not None
    scopes = server.allowed_scopes(client, user, asked.payload.scope, launched=launched)

    decision = fields.get("decision", "")
    if decision not in ("", "allow"):
        decision = "deny"
    if not decision:
        known = await has_consented(connection, user.id, client, scopes, grant.redirect_uri)
        if not known or "consent" in prompts:
            if "none" in prompts:
                raise ConsentRequiredError()
            return show_consent(
                request,
                client,
                user,
                scopes=scopes,
                launch=server.launch,
                redirect_uri=grant.redirect_uri,
            )
    elif decision == "allow":
        await save_consent(connection, user.id, client.id, scopes)
    else:
        event = Event(
            "authorization",
            "failure",
            "denied",
            actor_id=user.id,
            client_id=client.id,
            subject=user.id,
            address=server.address,
        )
        await insert_audit(connection, event)

    response: Response = await server.run(
        server.create_authorization_response,
        asked,
        grant_user=user if decision != "deny" else None,
        grant=grant,
    )
    # One code for one launch, and for one pushed request.
    if launch := asked.payload.data.get("launch"):
        await delete_launch(connection, launch)
    if request_uri := request.query_params.get("request_uri"):
        await delete_pushed_request(connection, request_uri)
    return response


def show_consent(
    request: Request,
    client: Client,
    user: User,
    *,
    scopes: frozenset[str],
    launch: LaunchContext,
    redirect_uri: str,
) -> Response:
    chosen = launch.patient_id if launch.patient_id != user.patient_id else None
    return page(
        request,
        "consent.html",
        form_target=origin_of(redirect_uri),
        query=request.url.query,
        client_name=client.name,
        destination=host_of(redirect_uri),
        email=user.email,
        patient=chosen or "",
        wishes=sorted(
            {describe(texts_of(request), scope, is_chosen=bool(chosen)) for scope in scopes}
        ),
    )


def after_sign_in(query: str) -> str:
    """Returns the authorization request that led to the sign-in, on this service and nowhere
    else, its wish for it met.
    """
    pairs = pairs_of(query)
    kept = [(name, value) for name, value in pairs if name not in ("prompt", "max_age")]
    prompts = " ".join(
        value for name, value in pairs if name == "prompt" and "consent" in value.split()
    )
    return f"{AUTHORIZE}?{urlencode([*kept, ('prompt', 'consent')] if prompts else kept)}"


async def form_target(connection: Connection, query: str) -> str:
    """Returns where the browser may end up after a form: the client's registered address."""
    asked = dict(pairs_of(query))
    client_id = asked.get("client_id", "")
    if request_uri := asked.get("request_uri"):
        pushed = await select_pushed_request(connection, request_uri, client_id, locked=False)
        asked = dict(pushed or ())
    client = await select_active_client(connection, client_id)
    uri = asked.get("redirect_uri", "")
    return origin_of(uri) if client and client.check_redirect_uri(uri) else ""


async def refuse(request: Request, error: OAuth2Error, event: str = "authorization") -> Response:
    """Sends it to the client, where its address is known to be its own; else shows a page: an
    open redirector would be of use to whoever phishes.
    """
    if error.error not in ROUTINE:
        await record_refusal(
            request, event, error.error, client_id=request.query_params.get("client_id", "")
        )
    if error.redirect_uri:
        response = go_to_client(error)
        return with_issuer(response, state_of(request).settings.issuer)
    _ = texts_of(request).gettext
    return error_page(
        request,
        400,
        _("The application's request is not valid"),
        _("Please tell whoever looks after the application what it did wrong:"),
        detail=error.description or error.error,
    )


def go_to_client(error: OAuth2Error) -> Response:
    location = add_params_to_uri(error.redirect_uri, error.get_body())
    return Response(status_code=302, headers={"Location": location, "Cache-Control": "no-store"})


def with_issuer(response: Response, issuer: str) -> Response:
    """Adds the issuer (RFC 9207): a client of several servers knows which one answered."""
    if "location" in response.headers:
        response.headers["location"] = add_params_to_uri(
            response.headers["location"], [("iss", issuer)]
        )
    return response


def routes() -> list[BaseRoute]:
    return [form_route(AUTHORIZE, show, answer)]
