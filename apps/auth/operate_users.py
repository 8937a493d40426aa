"""The operators' verbs on users.

Answers that are not secret name users by their id: on AWS they pass through a log.
"""

from collections.abc import Mapping

from apps.auth.oauth.revocations import revoke_subject
from apps.auth.operate_calls import Function, audit, list_of, text_or_none
from apps.auth.people.external_identities import check_own_password
from apps.auth.people.factors import remove_second_factors
from apps.auth.people.lockout import forget_failures
from apps.auth.people.resets import create_reset_link
from apps.auth.people.sessions import select_sessions
from apps.auth.people.user_fields import check_user, is_uuid
from apps.auth.people.users import (
    FIRST_ID,
    User,
    create_user,
    delete_user,
    has_administrator,
    lock_user,
    select_user_by_email,
    select_users,
    set_user_disabled,
    update_user,
)
from apps.auth.settings import Settings
from apps.auth.texts import ENGLISH
from apps.kit.database import Connection
from apps.kit.errors import Conflict, NotFound, Unprocessable
from apps.kit.operate import MAX_LIMIT, Answer, Row, Values, limit_of


def describe_user(user: User) -> Row:
    return {
        "id": user.id,
        "address": user.email,
        "name": user.name,
        "roles": list(user.roles),
        "patient": user.patient_id,
        "second factor": user.has_second_factor,
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
    users = await select_users(connection, after(values), limit_of(values, MAX_LIMIT))
    return [describe_user(user) for user in users]


async def find(settings: Settings, connection: Connection, values: Values) -> Answer:
    text = str(values["text"])
    users = await select_users(connection, after(values), limit_of(values, MAX_LIMIT), text)
    return [describe_user(user) for user in users]


def after(values: Values) -> str:
    """Returns the id of the last user of the page before. Raises Unprocessable for
    any other text.
    """
    text = str(values.get("after", FIRST_ID))
    if not is_uuid(text):
        raise Unprocessable("invalid_id", "--after takes the id of a user")
    return text


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
    await check_own_password(connection, user)
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
    await remove_second_factors(connection, user, ENGLISH)
    await revoke_subject(connection, user.id)
    await audit(connection, "second_factor_removed", user.id)
    return {"second factor off": user.id}


async def list_sessions(settings: Settings, connection: Connection, values: Values) -> Answer:
    """Returns the browsers in which the user is signed in."""
    user = await user_of(connection, values)
    return [
        {
            "id": session.id,
            "device": session.device,
            "address": session.address,
            "signed in": session.signed_in_at.isoformat(timespec="seconds"),
            "seen": session.seen_at.isoformat(timespec="seconds"),
        }
        for session in await select_sessions(connection, user.id)
    ]


async def sign_out(settings: Settings, connection: Connection, values: Values) -> Answer:
    """Ends every session and token of the user, who may sign in again."""
    user = await user_of(connection, values)
    await revoke_subject(connection, user.id)
    await audit(connection, "sessions_ended", user.id)
    return {"signed out": user.id}


async def delete(settings: Settings, connection: Connection, values: Values) -> Answer:
    """Deletes the user for good; what they did stays in the audit under their id."""
    user = await user_of(connection, values)
    await revoke_subject(connection, user.id)
    await delete_user(connection, user.id)
    await audit(connection, "user_deleted", user.id)
    return {"deleted": user.id}


USER_VERBS: Mapping[str, Function] = {
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
    "users sessions": list_sessions,
    "users sign-out": sign_out,
    "users delete": delete,
}
