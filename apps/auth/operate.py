"""The verbs of `scripts/operate` that the auth service runs. Each is one transaction and is audited.

Answers that are not secret name users by their id: on AWS they pass through a log.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import asyncpg

from apps.auth.audit import Event, insert_audit
from apps.auth.audit_search import search_audit
from apps.auth.keys import advance_keys, select_keys, withdraw_keys
from apps.auth.oauth.clients import (
    create_client,
    rotate_client_secret,
    select_clients,
    set_client_disabled,
)
from apps.auth.oauth.revocations import revoke_client, revoke_subject
from apps.auth.people.lockout import forget_failures
from apps.auth.people.resets import create_reset_link
from apps.auth.people.totp import remove_second_factor
from apps.auth.people.users import (
    User,
    check_user,
    create_user,
    find_users,
    has_administrator,
    lock_user,
    select_user_by_email,
    select_users,
    set_user_disabled,
    update_user,
)
from apps.auth.settings import Settings
from apps.kit.database import Connection, connect_options
from apps.kit.errors import Conflict, NotFound
from apps.kit.operate import MAX_LIMIT, Answer, Handler, Row, Values

# The actor in the audit log.
OPERATOR = "operator"
FIRST_ID = "00000000-0000-0000-0000-000000000000"

Function: TypeAlias = Callable[[Settings, Connection, Values], Awaitable[Answer]]


def in_transaction(function: Function) -> Handler[Settings]:
    """Gives `function` a connection and a transaction of its own."""

    async def handle(settings: Settings, values: Values) -> Answer:
        options: dict[str, Any] = connect_options(settings.database)
        connection = await asyncpg.connect(settings.database.url, **options)
        try:
            async with connection.transaction():
                return await function(settings, connection, values)
        finally:
            await connection.close()

    return handle


async def audit(connection: Connection, event: str, subject: str = "") -> None:
    await insert_audit(connection, Event(event, actor_id=OPERATOR, subject=subject))


def describe_user(user: User) -> Row:
    return {
        "id": user.id,
        "address": user.email,
        "name": user.name,
        "roles": list(user.roles),
        "patient": user.patient_id,
        "second factor": user.totp_enabled,
        "state": "disabled" if user.disabled_at else "active",
    }


async def user_of(connection: Connection, values: Values) -> User:
    """Returns the user of the address, locked until the end of the transaction. Raises NotFound."""
    user = await select_user_by_email(connection, str(values["address"]))
    locked = await lock_user(connection, user.id) if user else None
    if locked is None:
        raise NotFound("not_found", "there is no user of this e-mail address")
    return locked


async def list_users(settings: Settings, connection: Connection, values: Values) -> Answer:
    return [describe_user(user) for user in await select_users(connection, FIRST_ID, MAX_LIMIT)]


async def find(settings: Settings, connection: Connection, values: Values) -> Answer:
    found = await find_users(connection, str(values["text"]), MAX_LIMIT)
    return [describe_user(user) for user in found]


async def create_with_link(
    settings: Settings, connection: Connection, values: Values, roles: list[str]
) -> Answer:
    """Creates the user and returns the id and a link to set a password."""
    user = await create_user(
        connection,
        email=str(values["address"]),
        name=str(values.get("name", "")),
        roles=roles,
        patient_id=text_or_none(values, "patient_id"),
    )
    link = await create_reset_link(connection, user.id, settings.issuer)
    await audit(connection, "user_created", user.id)
    return {"id": user.id, "link": link}


async def create(settings: Settings, connection: Connection, values: Values) -> Answer:
    return await create_with_link(settings, connection, values, list_of(values, "role"))


async def create_first_admin(settings: Settings, connection: Connection, values: Values) -> Answer:
    if await has_administrator(connection):
        raise Conflict(
            "administrator_exists",
            "there is an administrator: that one creates others, or scripts/operate users create",
        )
    return await create_with_link(settings, connection, values, ["admin"])


async def reset(settings: Settings, connection: Connection, values: Values) -> Answer:
    user = await user_of(connection, values)
    link = await create_reset_link(connection, user.id, settings.issuer)
    await audit(connection, "password_link_issued", user.id)
    return {"link": link}


async def unlock(settings: Settings, connection: Connection, values: Values) -> Answer:
    user = await user_of(connection, values)
    await forget_failures(connection, user.email, user.id)
    await audit(connection, "user_unlocked", user.id)
    return {"unlocked": user.id}


async def replace_roles(settings: Settings, connection: Connection, values: Values) -> Answer:
    user = await user_of(connection, values)
    roles = list_of(values, "role")
    patient_id = text_or_none(values, "patient_id")
    check_user(email=user.email, name=user.name, roles=roles, patient_id=patient_id)
    changed = await update_user(
        connection,
        user.id,
        name=user.name,
        roles=roles,
        patient_id=patient_id,
        practitioner_id=None if "patient" in roles else user.practitioner_id,
        disabled=user.disabled_at is not None,
    )
    await revoke_subject(connection, user.id)
    await audit(connection, "user_updated", user.id)
    return {"id": changed.id, "roles": list(changed.roles), "patient": changed.patient_id}


async def disable(settings: Settings, connection: Connection, values: Values) -> Answer:
    user = await user_of(connection, values)
    await set_user_disabled(connection, user.id, True)
    await revoke_subject(connection, user.id)
    await audit(connection, "user_disabled", user.id)
    return {"disabled": user.id}


async def enable(settings: Settings, connection: Connection, values: Values) -> Answer:
    user = await user_of(connection, values)
    await set_user_disabled(connection, user.id, False)
    await audit(connection, "user_enabled", user.id)
    return {"enabled": user.id}


async def turn_second_factor_off(
    settings: Settings, connection: Connection, values: Values
) -> Answer:
    user = await user_of(connection, values)
    await remove_second_factor(connection, user.id)
    await revoke_subject(connection, user.id)
    await audit(connection, "second_factor_removed", user.id)
    return {"second factor off": user.id}


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


async def find_audit(settings: Settings, connection: Connection, values: Values) -> Answer:
    return await search_audit(connection, values)


def list_of(values: Values, name: str) -> list[str]:
    value = values.get(name, [])
    return value if isinstance(value, list) else [str(value)]


def text_or_none(values: Values, name: str) -> str | None:
    value = values.get(name)
    return None if value is None else str(value)


HANDLERS = {
    name: in_transaction(function)
    for name, function in {
        "users list": list_users,
        "users find": find,
        "users create": create,
        "users first-admin": create_first_admin,
        "users reset": reset,
        "users unlock": unlock,
        "users roles": replace_roles,
        "users disable": disable,
        "users enable": enable,
        "users second-factor-off": turn_second_factor_off,
        "clients list": list_clients,
        "clients create": add_client,
        "clients rotate-secret": rotate_secret,
        "clients disable": disable_client,
        "clients enable": enable_client,
        "keys list": list_keys,
        "keys rotate": rotate_keys,
        "keys withdraw": withdraw_all_keys,
        "audit search": find_audit,
    }.items()
}
