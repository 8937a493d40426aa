"""The verbs of `scripts/operate` that the auth service runs. Each is one transaction and is audited."""

from apps.auth.audit_search import select_audit
from apps.auth.keys import advance_keys, select_keys, withdraw_keys
from apps.auth.oauth.client_changes import create_client, rotate_client_secret, set_client_disabled
from apps.auth.oauth.clients import select_clients
from apps.auth.oauth.revocations import revoke_client
from apps.auth.operate_calls import audit, in_transaction, list_of
from apps.auth.operate_users import USER_VERBS
from apps.auth.settings import Settings
from apps.kit.database import Connection
from apps.kit.errors import NotFound
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
    redirect_uris = list_of(values, "redirect_uri")
    for_people = ("authorization_code", "refresh_token")
    client, secret = await create_client(
        connection,
        name=str(values["name"]),
        scopes=list_of(values, "scope"),
        redirect_uris=redirect_uris,
        grant_types=for_people if redirect_uris else ("client_credentials",),
        auth_method="none" if values.get("public") else "client_secret_basic",
    )
    await audit(connection, "client_created", client.id)
    return {"id": client.id, "secret": secret or "(public: it has none)"}


async def rotate_secret(settings: Settings, connection: Connection, values: Values) -> Answer:
    client_id = str(values["client_id"])
    secret = await rotate_client_secret(connection, client_id)
    if secret is None:
        raise NotFound("not_found", "there is no client with a secret of this id")
    await audit(connection, "client_secret_rotated", client_id)
    return {"id": client_id, "secret": secret}


async def disable_client(settings: Settings, connection: Connection, values: Values) -> Answer:
    client_id = str(values["client_id"])
    await switch_client(connection, client_id, disabled=True)
    await revoke_client(connection, client_id)
    await audit(connection, "client_disabled", client_id)
    return {"disabled": client_id}


async def enable_client(settings: Settings, connection: Connection, values: Values) -> Answer:
    client_id = str(values["client_id"])
    await switch_client(connection, client_id, disabled=False)
    await audit(connection, "client_enabled", client_id)
    return {"enabled": client_id}


async def switch_client(connection: Connection, client_id: str, *, disabled: bool) -> None:
    """Disables or enables the client. Raises NotFound."""
    if await set_client_disabled(connection, client_id, disabled) is None:
        raise NotFound("not_found", "there is no client of this id")


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
        **{name: values.get(name) for name in ("actor", "subject", "event")},
        **{name: time_of(values, name) for name in ("since", "until")},
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
        "clients rotate-secret": rotate_secret,
        "clients disable": disable_client,
        "clients enable": enable_client,
        "keys list": list_keys,
        "keys rotate": rotate_keys,
        "keys withdraw": withdraw_all_keys,
        "audit search": search_audit,
    }.items()
}
