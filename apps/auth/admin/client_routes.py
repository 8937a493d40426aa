"""`/auth/v1/clients`: for administrators."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.admin.requests import (
    ADMIN,
    check_version,
    claim_secret,
    created,
    no_store,
    one,
    page_of,
    read_object,
    read_page,
    read_search,
    record,
)
from apps.auth.oauth.client_changes import (
    MAX_OVERLAP_SECONDS,
    create_client,
    delete_client,
    rotate_client_secret,
    set_client_disabled,
)
from apps.auth.oauth.client_documents import as_json, change_client, check_changeable
from apps.auth.oauth.clients import Client, lock_client, select_client, select_clients
from apps.auth.oauth.registration import FIELDS, parse_registration
from apps.auth.oauth.revocations import revoke_client
from apps.auth.state import state_of
from apps.kit.database import Connection
from apps.kit.errors import Conflict, NotFound, Unprocessable
from apps.kit.idempotency import claim_key, insert_key, read_claim
from apps.kit.web import JSONResponse, Operation, PolicedRoute

CLIENTS = "/auth/v1/clients"


async def create(request: Request) -> Response:
    """Makes a client; the answer's `secret` is told here and never again."""
    registration = parse_registration(await read_object(request, *FIELDS))
    claim = read_claim(request, await request.body())
    async with state_of(request).database.transaction() as connection:
        made_before = await claim_key(connection, claim)
        if made_before is not None:
            known = await select_client(connection, made_before)
            if known is None:
                raise Conflict("deleted_since", "what the first request made was deleted")
            return created(as_json(known), known.version, f"{CLIENTS}/{known.id}", replayed=True)
        client, secret = await create_client(connection, **registration)
        await record(connection, request, "client_created", client.id)
        await insert_key(connection, claim, client.id)
    told = {"secret": secret} if secret else {}
    return created({**as_json(client), **told}, client.version, f"{CLIENTS}/{client.id}")


async def list_all(request: Request) -> Response:
    """Lists clients, or with `q` those whose id or name contains it."""
    after, limit = read_page(request)
    text = read_search(request)
    async with state_of(request).database.connection() as connection:
        clients = await select_clients(connection, after, limit + 1, text)
    return page_of([as_json(client) for client in clients], limit)


async def read(request: Request) -> Response:
    async with state_of(request).database.connection() as connection:
        client = await select_client(connection, request.path_params["id"])
    if client is None:
        raise NotFound("not_found")
    return one(as_json(client), client.version)


async def locked(connection: Connection, request: Request) -> Client:
    client = await lock_client(connection, request.path_params["id"])
    if client is None:
        raise NotFound("not_found")
    check_changeable(client)
    check_version(request, client.version)
    return client


async def update(request: Request) -> Response:
    """Changes any of FIELDS but `authMethod` and `grantTypes`, and `disabled`, which ends the
    client's tokens.

    Tokens that go beyond narrowed scopes end too.
    """
    body = await read_object(request, *FIELDS, "disabled")
    if not isinstance(body.get("disabled", False), bool):
        raise Unprocessable("invalid_disabled", "true or false", pointer="/disabled")
    async with state_of(request).database.transaction() as connection:
        client = await locked(connection, request)
        changed = client
        if body.keys() - {"disabled"}:
            wish = {name: value for name, value in body.items() if name != "disabled"}
            changed = await change_client(connection, client, wish)
            await record(connection, request, "client_updated", client.id)
        if "disabled" in body:
            changed = await switch(connection, request, changed, disabled=body["disabled"])
    return one(as_json(changed), changed.version)


async def switch(
    connection: Connection, request: Request, client: Client, *, disabled: bool
) -> Client:
    """Disables the client, which ends its tokens, or enables it."""
    changed = await set_client_disabled(connection, client.id, disabled)
    assert changed is not None
    if disabled:
        await revoke_client(connection, client.id)
    event = "client_disabled" if disabled else "client_enabled"
    await record(connection, request, event, client.id)
    return changed


async def delete(request: Request) -> Response:
    """Deletes a client with all that it holds; what it did stays in the audit under its id."""
    async with state_of(request).database.transaction() as connection:
        client = await locked(connection, request)
        await revoke_client(connection, client.id)
        await delete_client(connection, client.id)
        await record(connection, request, "client_deleted", client.id)
    return Response(status_code=204)


async def rotate_secret(request: Request) -> Response:
    """Makes a new secret. With `overlapSeconds` the one before works that long beside it, else
    it ends at once.
    """
    body = await read_object(request, "overlapSeconds") if await request.body() else {}
    overlap_seconds = body.get("overlapSeconds", 0)
    if type(overlap_seconds) is not int or not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
        raise Unprocessable(
            "invalid_overlap", f"from 0 to {MAX_OVERLAP_SECONDS}", pointer="/overlapSeconds"
        )
    claim = read_claim(request, await request.body(), "if-match")
    async with state_of(request).database.transaction() as connection:
        await claim_secret(connection, claim)
        client = await locked(connection, request)
        secret = await rotate_client_secret(connection, client.id, overlap_seconds=overlap_seconds)
        if secret is None:
            raise Conflict("no_secret", "this client has no secret")
        await record(connection, request, "client_secret_rotated", client.id)
        await insert_key(connection, claim, client.id)
    return no_store(JSONResponse({"secret": secret}, 201))


def routes() -> list[BaseRoute]:
    return [
        PolicedRoute(CLIENTS, Operation("GET", list_all, ADMIN), Operation("POST", create, ADMIN)),
        PolicedRoute(
            CLIENTS + "/{id}",
            Operation("GET", read, ADMIN),
            Operation("PATCH", update, ADMIN),
            Operation("DELETE", delete, ADMIN),
        ),
        PolicedRoute(CLIENTS + "/{id}/secret", Operation("POST", rotate_secret, ADMIN)),
    ]
