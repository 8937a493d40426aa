"""The verbs of `scripts/operate` that the auth service runs. Each is one transaction
and is audited.
"""

from apps.auth.audit_search import FILTERS, select_audit
from apps.auth.keys import advance_keys, select_keys, withdraw_keys
from apps.auth.oauth.client_changes import (
    MAX_OVERLAP_SECONDS,
    create_client,
    delete_client,
    rotate_client_secret,
    set_client_disabled,
)
from apps.auth.oauth.client_documents import change_client, check_changeable
from apps.auth.oauth.clients import Client, lock_client, select_clients
from apps.auth.oauth.registration import parse_registration
from apps.auth.oauth.revocations import revoke_client
from apps.auth.operate_calls import audit, in_transaction, list_of, text_or_none
from apps.auth.operate_users import USER_VERBS
from apps.auth.settings import Settings
from apps.kit.database import Connection
from apps.kit.errors import Conflict, NotFound, Unprocessable
from apps.kit.operate import MAX_LIMIT, Answer, Values, limit_of, time_of


async def list_clients(settings: Settings, connection: Connection, values: Values) -> Answer:
    return [
        {
            "id": client.id,
            "name": client.name,
            "authentication": client.auth_method,
            "scopes": list(client.scopes),
            "state": "disabled" if client.disabled_at else "active",
        }
        for client in await select_clients(connection, "", MAX_LIMIT)
    ]


async def add_client(settings: Settings, connection: Connection, values: Values) -> Answer:
    """Creates what an administrator could: raises Unprocessable for anything else."""
    redirect_uris = list_of(values, "redirect_uri")
    for_people = ["authorization_code", "refresh_token"]
    registration = parse_registration(
        {
            "name": str(values["name"]),
            "scopes": list_of(values, "scope"),
            "redirectUris": redirect_uris,
            "grantTypes": for_people if redirect_uris else ["client_credentials"],
            "authMethod": "none" if values.get("public") else "client_secret_basic",
        }
    )
    client, secret = await create_client(connection, **registration)
    await audit(connection, "client_created", client.id)
    return {"id": client.id, "secret": secret or "(public: it has none)"}


async def client_of(connection: Connection, values: Values) -> Client:
    """Returns the client, locked. Raises NotFound, and Conflict for a service's own."""
    client = await lock_client(connection, str(values["client_id"]))
    if client is None:
        raise NotFound("not_found", "there is no client of this id")
    check_changeable(client)
    return client


async def update_client(settings: Settings, connection: Connection, values: Values) -> Answer:
    """Changes what is given; the rest stays."""
    client = await client_of(connection, values)
    fields = {
        "name": text_or_none(values, "name"),
        "scopes": list_of(values, "scope") or None,
        "redirectUris": list_of(values, "redirect_uri") or None,
    }
    body = {field: value for field, value in fields.items() if value is not None}
    changed = await change_client(connection, client, body)
    await audit(connection, "client_updated", client.id)
    return {"id": changed.id, "name": changed.name, "scopes": list(changed.scopes)}


async def rotate_secret(settings: Settings, connection: Connection, values: Values) -> Answer:
    """Gives a new secret; with `overlap` the one before works that many seconds more."""
    client = await client_of(connection, values)
    overlap_seconds = int(str(values.get("overlap", 0)))
    if overlap_seconds > MAX_OVERLAP_SECONDS:
        raise Unprocessable("invalid_overlap", f"at most {MAX_OVERLAP_SECONDS} seconds")
    secret = await rotate_client_secret(connection, client.id, overlap_seconds=overlap_seconds)
    if secret is None:
        raise Conflict("no_secret", "this client has no secret")
    await audit(connection, "client_secret_rotated", client.id)
    return {"id": client.id, "secret": secret}


async def disable_client(settings: Settings, connection: Connection, values: Values) -> Answer:
    client = await client_of(connection, values)
    await set_client_disabled(connection, client.id, True)
    await revoke_client(connection, client.id)
    await audit(connection, "client_disabled", client.id)
    return {"disabled": client.id}


async def enable_client(settings: Settings, connection: Connection, values: Values) -> Answer:
    client = await client_of(connection, values)
    await set_client_disabled(connection, client.id, False)
    await audit(connection, "client_enabled", client.id)
    return {"enabled": client.id}


async def remove_client(settings: Settings, connection: Connection, values: Values) -> Answer:
    """Deletes the client with all that it holds; what it did stays in the audit under its id."""
    client = await client_of(connection, values)
    await revoke_client(connection, client.id)
    await delete_client(connection, client.id)
    await audit(connection, "client_deleted", client.id)
    return {"deleted": client.id}


async def list_keys(settings: Settings, connection: Connection, values: Values) -> Answer:
    return [
        {
            "id": key["id"],
            "algorithm": key["algorithm"],
            "state": key["state"],
            "created": key["created_at"].isoformat(timespec="seconds"),
        }
        for key in await select_keys(connection)
    ]


async def rotate_keys(settings: Settings, connection: Connection, values: Values) -> Answer:
    await advance_keys(
        connection, settings.key_encryption_key, settings.signing_algorithm, rotate=True
    )
    await audit(connection, "key_rotated")
    return await list_keys(settings, connection, values)


async def withdraw_all_keys(settings: Settings, connection: Connection, values: Values) -> Answer:
    await withdraw_keys(connection, settings.key_encryption_key, settings.signing_algorithm)
    await audit(connection, "keys_withdrawn")
    return await list_keys(settings, connection, values)


async def search_audit(settings: Settings, connection: Connection, values: Values) -> Answer:
    """Returns the newest matching entries, newest first."""
    filters = {
        name: time_of(values, name) if name in ("since", "until") else values.get(name)
        for name in FILTERS
    }
    entries = await select_audit(connection, filters, limit=limit_of(values))
    return [
        {**entry, "occurred_at": entry["occurred_at"].isoformat(timespec="milliseconds")}
        for entry in entries
    ]


HANDLERS = {
    name: in_transaction(function)
    for name, function in {
        **USER_VERBS,
        "clients list": list_clients,
        "clients create": add_client,
        "clients update": update_client,
        "clients rotate-secret": rotate_secret,
        "clients disable": disable_client,
        "clients enable": enable_client,
        "clients delete": remove_client,
        "keys list": list_keys,
        "keys rotate": rotate_keys,
        "keys withdraw": withdraw_all_keys,
        "audit search": search_audit,
    }.items()
}
