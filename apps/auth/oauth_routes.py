"""The endpoints that programs call: tokens, and what verifiers need."""

import hashlib

import msgspec
from authlib.oauth2.rfc6749 import OAuth2Error
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.audit import Event, insert_audit
from apps.auth.authlib_starlette import StarletteOAuth2Request, read_oauth2_request
from apps.auth.grants import ClientCredentialsGrant
from apps.auth.revocations import select_revocations
from apps.auth.room import Room, address_of, room_of
from apps.auth.server import IdentityServer
from apps.kit.database import Connection
from apps.kit.scopes import Principal
from apps.kit.web import PUBLIC, Operation, PolicedRoute, Policy

MAX_FORM_BYTES = 64 * 1024


def is_service(principal: Principal, request: Request) -> bool:
    """A service's own token for this service: the only tokens with this audience."""
    return principal.audience == "auth"


SERVICE = Policy("a service's own token", is_service)


def make_server(room: Room, connection: Connection, address: str) -> IdentityServer:
    server = IdentityServer(room.settings, connection, room.ring(), address)
    server.register_grant(ClientCredentialsGrant)
    return server


def error_response(error: OAuth2Error) -> Response:
    status, body, headers = error()
    response = Response(msgspec.json.encode(dict(body)), status, headers=dict(headers))
    response.headers["cache-control"] = "no-store"
    return response


async def token(request: Request) -> Response:
    room = room_of(request)
    try:
        asked = await read_oauth2_request(request, room.settings.issuer)
    except OAuth2Error as error:
        return error_response(error)
    async with room.database.transaction() as connection:
        server = make_server(room, connection, address_of(request))
        response: Response = await server.run(server.create_token_response, asked)
        if response.status_code >= 400:
            await record_refusal(connection, asked, response, address_of(request))
    return response


async def record_refusal(
    connection: Connection, asked: StarletteOAuth2Request, response: Response, address: str
) -> None:
    reason = msgspec.json.decode(bytes(response.body)).get("error", "")
    client_id = asked.client.id if asked.client else asked.payload.client_id or ""
    await insert_audit(connection, Event("token", "failure", reason, client_id=client_id, address=address))


async def revocations(request: Request) -> Response:
    async with room_of(request).database.connection() as connection:
        listed = await select_revocations(connection)
    body = msgspec.json.encode(listed.as_json())
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-store"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def routes() -> list[BaseRoute]:
    return [
        PolicedRoute("/oauth2/token", Operation("POST", token, PUBLIC), max_body_bytes=MAX_FORM_BYTES),
        PolicedRoute("/oauth2/revocations", Operation("GET", revocations, SERVICE)),
    ]
