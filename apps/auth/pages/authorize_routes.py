"""`/oauth2/authorize`: a person lets an application act for them (RFC 6749, 4.1; OpenID Connect Core, 3.1.2)."""

from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import OAuth2Error
from authlib.oidc.core.errors import (
    ConsentRequiredError,
    LoginRequiredError,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.audit import Event, insert_audit
from apps.auth.oauth.authlib_starlette import StarletteOAuth2Request, read_oauth2_request
from apps.auth.oauth.authorization_requests import check_supported, must_sign_in, read_prompts
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.clients import select_active_client
from apps.auth.oauth.consents import describe, has_consented, save_consent
from apps.auth.oauth.oauth_routes import make_server
from apps.auth.oauth.refusals import record_refusal
from apps.auth.pages.rendering import form_route, go_to, origin_of, page, read_form
from apps.auth.paths import AUTHORIZE, SIGN_IN
from apps.auth.people.sessions import Session, complete, hold_session
from apps.auth.state import address_of, state_of
from apps.kit.database import Connection

# What `prompt=none` asks for: an answer, no attempt.
ROUTINE = (LoginRequiredError.error, ConsentRequiredError.error)


async def show(request: Request) -> Response:
    return await decide(request, "")


async def answer(request: Request) -> Response:
    """The consent page's form; or an authorization request by POST, which OpenID Connect allows."""
    if "client_id" in request.query_params:
        fields = await read_form(request)
        return await decide(request, "allow" if fields.get("decision") == "allow" else "deny")
    try:
        asked = await read_oauth2_request(request, state_of(request).settings.issuer)
    except OAuth2Error as error:
        return await refuse(request, error)
    return go_to(f"{AUTHORIZE}?{urlencode(asked.form)}")


async def decide(request: Request, decision: str) -> Response:
    """Error, sign-in page, consent page or code. `decision`: `allow` or `deny`, where the consent page was sent."""
    state = state_of(request)
    try:
        asked = await read_oauth2_request(request, state.settings.issuer)
        async with state.database.transaction() as connection:
            session = complete(
                await hold_session(connection, request, secure=state.settings.secure)
            )
            server = make_server(state, connection, address_of(request), session)
            return await respond(request, server, asked, session, decision)
    except OAuth2Error as error:
        return await refuse(request, error)


async def respond(
    request: Request,
    server: IdentityServer,
    asked: StarletteOAuth2Request,
    session: Session | None,
    decision: str,
) -> Response:
    user = session.user if session else None
    grant = await server.run(server.get_consent_grant, asked, user)
    redirect_uri: str = grant.redirect_uri
    try:
        client = asked.client
        check_supported(server, asked, client)
        prompts = read_prompts(asked)
        # Whoever has just answered the consent page has also signed in again, where that was asked for.
        if (
            session is None
            or user is None
            or (not decision and must_sign_in(asked, session, prompts))
        ):
            if "none" in prompts:
                raise LoginRequiredError()
            return go_to(f"{SIGN_IN}?{urlencode({'next': request.url.query})}")
        scopes = server.allowed_scopes(client, user, asked.scope)
        if not decision:
            known = await has_consented(server.connection, user.id, client, scopes, redirect_uri)
            if known and "consent" not in prompts:
                decision = "allow"
            elif "none" in prompts:
                raise ConsentRequiredError()
            else:
                return page(
                    request,
                    "consent.html",
                    form_target=origin_of(redirect_uri),
                    query=request.url.query,
                    client_name=client.name,
                    destination=host_of(redirect_uri),
                    email=user.email,
                    wishes=sorted({describe(scope) for scope in scopes}),
                )
        elif decision == "allow":
            await save_consent(server.connection, user.id, client.id, scopes)
        if decision == "deny":
            event = Event(
                "authorization", "failure", "denied", user.id, client.id, user.id, server.address
            )
            await insert_audit(server.connection, event)
        granting = user if decision == "allow" else None
        response: Response = await server.run(
            server.create_authorization_response, asked, grant_user=granting, grant=grant
        )
    except OAuth2Error as error:
        error.redirect_uri, error.state = redirect_uri, asked.payload.state
        raise
    return with_issuer(response, server.settings.issuer)


def host_of(redirect_uri: str) -> str:
    """Returns where the browser goes back to, as a person reads it: a host, or an application's own scheme."""
    parts = urlsplit(redirect_uri)
    return parts.netloc or f"{parts.scheme}:"


def after_sign_in(query: str) -> str:
    """The authorization request that led to the sign-in, on this service and nowhere else, its wish for it met."""
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=50)
    kept = [(name, value) for name, value in pairs if name not in ("prompt", "max_age")]
    prompts = " ".join(
        value for name, value in pairs if name == "prompt" and "consent" in value.split()
    )
    return f"{AUTHORIZE}?{urlencode([*kept, ('prompt', 'consent')] if prompts else kept)}"


async def form_target(connection: Connection, query: str) -> str:
    """Where the browser may end up after a form: the client's address, if it is registered."""
    asked = dict(parse_qsl(query, max_num_fields=50))
    client = await select_active_client(connection, asked.get("client_id", ""))
    uri = asked.get("redirect_uri", "")
    return origin_of(uri) if client and client.check_redirect_uri(uri) else ""


async def refuse(request: Request, error: OAuth2Error, event: str = "authorization") -> Response:
    """To the client, where its address is known to be its own; else a page: an open redirector would be of use to
    whoever phishes."""
    if error.error not in ROUTINE:
        await record_refusal(
            request, event, error.error, client_id=request.query_params.get("client_id", "")
        )
    if error.redirect_uri:
        response = go_to_client(error)
        return with_issuer(response, state_of(request).settings.issuer)
    return page(
        request, "error.html", 400, title="The application's request is not valid",
        message=error.description or error.error, request_id="",
    )  # fmt: skip


def go_to_client(error: OAuth2Error) -> Response:
    location = add_params_to_uri(error.redirect_uri, error.get_body())
    return Response(status_code=302, headers={"Location": location, "Cache-Control": "no-store"})


def with_issuer(response: Response, issuer: str) -> Response:
    """RFC 9207: a client of several servers knows which one answered."""
    if "location" in response.headers:
        response.headers["location"] = add_params_to_uri(
            response.headers["location"], [("iss", issuer)]
        )
    return response


def routes() -> list[BaseRoute]:
    return [form_route(AUTHORIZE, show, answer)]
