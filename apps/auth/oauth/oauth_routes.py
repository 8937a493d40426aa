"""The endpoints that programs call: tokens, and what verifiers need."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error, OAuth2Request
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.audit import Event, insert_audit
from apps.auth.encryption import digest
from apps.auth.oauth.assertions import ClientAssertion
from apps.auth.oauth.authlib_starlette import MAX_FORM_BYTES, read_oauth2_request
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.clients import select_active_client, select_client, select_origins
from apps.auth.oauth.endpoints import register_endpoints
from apps.auth.oauth.grants import register_grants
from apps.auth.oauth.jwt_parameters import read_key_id, read_unverified_claims
from apps.auth.oauth.pushed_requests import push
from apps.auth.oauth.revocations import select_revocations
from apps.auth.oauth.tokens import user_info
from apps.auth.people.sessions import Session
from apps.auth.people.users import select_active_user
from apps.auth.state import AuthState, address_of, state_of
from apps.kit.database import Connection
from apps.kit.errors import Unauthorized
from apps.kit.scopes import Principal
from apps.kit.web import PUBLIC, JSONResponse, Operation, PolicedRoute, Policy, principal_of, scopes


def is_service(principal: Principal, request: Request) -> bool:
    """Tells a service's own token for this service: the only tokens with this audience."""
    return principal.audience == "auth"


SERVICE = Policy("a service's own token", is_service)


def make_server(
    state: AuthState, connection: Connection, address: str, session: Session | None = None
) -> IdentityServer:
    server = IdentityServer(
        settings=state.settings,
        connection=connection,
        ring=state.ring(),
        client_keys=state.client_keys,
        address=address,
        session=session,
    )
    server.register_client_auth_method("private_key_jwt", ClientAssertion(server))
    register_grants(server)
    register_endpoints(server)
    return server


def error_response(error: OAuth2Error) -> Response:
    status, body, headers = error()
    response = Response(msgspec.json.encode(dict(body)), status, headers=dict(headers))
    response.headers["cache-control"] = "no-store"
    return response


async def answer(
    request: Request, call: Callable[[IdentityServer, OAuth2Request], Any], event: str
) -> Response:
    """Returns Authlib's answer, on a transaction that is committed for an error too: a replay
    found stays found.
    """
    state, address = state_of(request), address_of(request)
    try:
        asked = await read_oauth2_request(request, state.settings.issuer)
        if asked.args:
            # RFC 6749, 3.2 and 2.3.1: addresses end up in logs and histories.
            raise InvalidRequestError("parameters belong into the body")
    except OAuth2Error as error:
        return error_response(error)
    await fetch_client_keys(state, asked)
    async with state.database.transaction() as connection:
        server = make_server(state, connection, address)
        try:
            response: Response = await server.run(call, server, asked)
        except OAuth2Error as error:
            response = error_response(error)
        if response.status_code >= 400:
            await record_refusal(connection, event, asked, response, address)
    return response


async def fetch_client_keys(state: AuthState, asked: OAuth2Request) -> None:
    """Fetches the keys of a client that has them behind a URL, before a database connection
    is held for it.
    """
    assertion = asked.form.get("client_assertion", "")
    stated = read_unverified_claims(assertion).get("sub")
    if not isinstance(stated, str):
        return
    async with state.database.connection() as connection:
        client = await select_active_client(connection, stated)
    if client and client.jwks_uri:
        await state.client_keys.refresh(client.jwks_uri, read_key_id(assertion))


async def token(request: Request) -> Response:
    return await answer(request, lambda server, asked: server.create_token_response(asked), "token")


async def revoke(request: Request) -> Response:
    return await answer(
        request,
        lambda server, asked: server.create_endpoint_response("revocation", asked),
        "revocation",
    )


async def introspect(request: Request) -> Response:
    return await answer(
        request,
        lambda server, asked: server.create_endpoint_response("introspection", asked),
        "introspection",
    )


async def authorize_device(request: Request) -> Response:
    return await answer(
        request,
        lambda server, asked: server.create_endpoint_response("device_authorization", asked),
        "device_authorization",
    )


async def push_request(request: Request) -> Response:
    return await answer(request, lambda server, asked: push(server, asked), "pushed_request")


async def origins(request: Request) -> Response:
    """Tells the gateway which origins browsers may call from: those of registered redirect URIs."""
    async with state_of(request).database.connection() as connection:
        found = await select_origins(connection)
    return with_etag(request, msgspec.json.encode({"origins": found}))


async def userinfo(request: Request) -> Response:
    principal = principal_of(request)
    async with state_of(request).database.connection() as connection:
        user = await select_active_user(connection, principal.subject)
    if user is None:
        raise Unauthorized("invalid_token")
    claims = user_info(user, principal.scopes, state_of(request).settings.issuer)
    return JSONResponse(claims, headers={"Cache-Control": "no-store"})


async def record_refusal(
    connection: Connection, event: str, asked: OAuth2Request, response: Response, address: str
) -> None:
    reason = msgspec.json.decode(bytes(response.body)).get("error", "")
    client_id = asked.client.id if asked.client else await name_client(connection, asked)
    await insert_audit(
        connection, Event(event, "failure", reason, client_id=client_id, address=address)
    )


async def name_client(connection: Connection, asked: OAuth2Request) -> str:
    """Returns the id of a client that we know, else a hash: what anybody sends may be a
    name or a secret.
    """
    stated = asked.payload.client_id or ""
    known = await select_client(connection, stated) if stated else None
    if known:
        return known.id
    return f"unknown:{digest(stated).hex()[:16]}" if stated else ""


async def revocations(request: Request) -> Response:
    async with state_of(request).database.connection() as connection:
        listed = await select_revocations(connection)
    return with_etag(request, msgspec.json.encode(listed.as_json()))


def with_etag(request: Request, body: bytes) -> Response:
    """Returns the body, or 304 to a caller who has it."""
    etag = f'"{hashlib.sha256(body).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "no-store"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def routes() -> list[BaseRoute]:
    return [
        PolicedRoute(
            "/oauth2/token", Operation("POST", token, PUBLIC), max_body_bytes=MAX_FORM_BYTES
        ),
        PolicedRoute(
            "/oauth2/revoke", Operation("POST", revoke, PUBLIC), max_body_bytes=MAX_FORM_BYTES
        ),
        PolicedRoute(
            "/oauth2/introspect",
            Operation("POST", introspect, PUBLIC),
            max_body_bytes=MAX_FORM_BYTES,
        ),
        PolicedRoute(
            "/oauth2/userinfo",
            Operation("GET", userinfo, scopes("openid")),
            Operation("POST", userinfo, scopes("openid")),
        ),
        PolicedRoute(
            "/oauth2/device_authorization",
            Operation("POST", authorize_device, PUBLIC),
            max_body_bytes=MAX_FORM_BYTES,
        ),
        PolicedRoute(
            "/oauth2/par", Operation("POST", push_request, PUBLIC), max_body_bytes=MAX_FORM_BYTES
        ),
        PolicedRoute("/oauth2/revocations", Operation("GET", revocations, SERVICE)),
        PolicedRoute("/oauth2/origins", Operation("GET", origins, SERVICE)),
    ]
