"""`/auth/v1/users`: for administrators."""

from typing import Any

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
from apps.auth.oauth.revocations import revoke_subject
from apps.auth.people.external_identities import check_own_password
from apps.auth.people.factors import remove_second_factors
from apps.auth.people.lockout import forget_failures
from apps.auth.people.mail import insert_mail_with_link, invitation
from apps.auth.people.resets import create_reset_link
from apps.auth.people.sessions import SessionInfo, select_sessions
from apps.auth.people.user_fields import check_user
from apps.auth.people.users import (
    FIRST_ID,
    User,
    create_user,
    delete_user,
    lock_user,
    select_user,
    select_users,
    update_user,
)
from apps.auth.state import state_of
from apps.auth.texts import texts_of
from apps.kit.database import Connection
from apps.kit.errors import BadRequest, Conflict, NotFound, Unprocessable
from apps.kit.idempotency import claim_key, insert_key, read_claim
from apps.kit.web import JSONResponse, Operation, PolicedRoute, principal_of

USERS = "/auth/v1/users"


def as_json(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "roles": user.roles,
        "patientId": user.patient_id,
        "practitionerId": user.practitioner_id,
        "emailVerified": user.email_verified_at is not None,
        "secondFactor": user.has_second_factor,
        "disabled": user.disabled_at is not None,
        "createdAt": user.created_at,
    }


async def create(request: Request) -> Response:
    """Makes a user without a password.

    With `invite` the person gets a mail with the link to set one; else the answer's
    `passwordLink` is it.
    """
    body = await read_object(
        request, "email", "name", "roles", "patientId", "practitionerId", "invite"
    )
    invite = body.get("invite", False)
    if not isinstance(invite, bool):
        raise Unprocessable("invalid_invite", "true or false", pointer="/invite")
    wish = {
        "email": body.get("email"),
        "name": body.get("name", ""),
        "roles": body.get("roles"),
        "patient_id": body.get("patientId"),
        "practitioner_id": body.get("practitionerId"),
    }
    check_user(**wish)
    claim = read_claim(request, await request.body())
    async with state_of(request).database.transaction() as connection:
        made_before = await claim_key(connection, claim)
        if made_before is not None:
            known = await select_user(connection, made_before)
            if known is None:
                raise Conflict("deleted_since", "what the first request made was deleted")
            return created(as_json(known), known.version, f"{USERS}/{known.id}", replayed=True)
        user = await create_user(connection, **wish)
        link = await create_reset_link(connection, user.id, state_of(request).settings.issuer)
        if invite:
            key = state_of(request).settings.key_encryption_key
            await insert_mail_with_link(
                connection, invitation(texts_of(request), user.email, link), key
            )
        await record(connection, request, "user_created", user.id)
        await insert_key(connection, claim, user.id)
    told = {} if invite else {"passwordLink": link}
    return created({**as_json(user), **told}, user.version, f"{USERS}/{user.id}")


async def list_all(request: Request) -> Response:
    """Lists users, or with `q` those whose address or name contains it."""
    after, limit = read_page(request)
    text = read_search(request)
    async with state_of(request).database.connection() as connection:
        if after and await select_user(connection, after) is None:
            raise BadRequest("invalid_cursor", "not a cursor of ours", pointer="cursor")
        users = await select_users(connection, after or FIRST_ID, limit + 1, text)
    return page_of([as_json(user) for user in users], limit)


async def read(request: Request) -> Response:
    async with state_of(request).database.connection() as connection:
        user = await select_user(connection, request.path_params["id"])
    if user is None:
        raise NotFound("not_found")
    return one(as_json(user), user.version)


async def update(request: Request) -> Response:
    """Changes name, roles, the person's own record or `disabled`. All but the name end what
    the user holds.
    """
    body = await read_object(request, "name", "roles", "patientId", "practitionerId", "disabled")
    if not isinstance(body.get("disabled", False), bool):
        raise Unprocessable("invalid_disabled", "true or false", pointer="/disabled")
    async with state_of(request).database.transaction() as connection:
        user = await locked(connection, request)
        check_version(request, user.version)
        wish: dict[str, Any] = {
            "name": body.get("name", user.name),
            "roles": body.get("roles", list(user.roles)),
            "patient_id": body.get("patientId", user.patient_id),
            "practitioner_id": body.get("practitionerId", user.practitioner_id),
        }
        check_user(email=user.email, **wish)
        disabled = body.get("disabled", user.disabled_at is not None)
        if user.id == principal_of(request).subject and (disabled or "admin" not in wish["roles"]):
            raise Unprocessable(
                "own_account", "you would lock yourself out; ask another administrator"
            )
        changed = await update_user(connection, user.id, disabled=disabled, **wish)
        if disabled or changed.roles != user.roles or changed.fhir_user != user.fhir_user:
            await revoke_subject(connection, user.id)
        was_disabled = user.disabled_at is not None
        event = (
            "user_updated"
            if disabled == was_disabled
            else "user_disabled"
            if disabled
            else "user_enabled"
        )
        await record(connection, request, event, user.id)
    return one(as_json(changed), changed.version)


async def issue_link(request: Request) -> Response:
    claim = read_claim(request, await request.body())
    async with state_of(request).database.transaction() as connection:
        await claim_secret(connection, claim)
        user = await locked(connection, request)
        await check_own_password(connection, user)
        link = await create_reset_link(connection, user.id, state_of(request).settings.issuer)
        await record(connection, request, "password_link_issued", user.id)
        await insert_key(connection, claim, user.id)
    return no_store(JSONResponse({"passwordLink": link}, 201))


async def drop_second_factor(request: Request) -> Response:
    """Takes the second factor off, for whoever lost device and recovery codes."""
    async with state_of(request).database.transaction() as connection:
        user = await locked(connection, request)
        await remove_second_factors(connection, user, texts_of(request))
        await revoke_subject(connection, user.id)
        await record(connection, request, "second_factor_removed", user.id)
    return Response(status_code=204)


async def unlock(request: Request) -> Response:
    """Lets a person try again at once whom wrong passwords or codes locked out."""
    async with state_of(request).database.transaction() as connection:
        user = await locked(connection, request)
        await forget_failures(connection, user.email, user.id)
        await record(connection, request, "user_unlocked", user.id)
    return Response(status_code=204)


async def delete(request: Request) -> Response:
    """Deletes a user for good; what they did stays in the audit under their id."""
    async with state_of(request).database.transaction() as connection:
        user = await locked(connection, request)
        check_version(request, user.version)
        if user.id == principal_of(request).subject:
            raise Unprocessable("own_account", "ask another administrator to delete your account")
        await revoke_subject(connection, user.id)
        await delete_user(connection, user.id)
        await record(connection, request, "user_deleted", user.id)
    return Response(status_code=204)


async def list_sessions(request: Request) -> Response:
    async with state_of(request).database.connection() as connection:
        user = await select_user(connection, request.path_params["id"])
        if user is None:
            raise NotFound("not_found")
        sessions = await select_sessions(connection, user.id)
    return no_store(JSONResponse({"items": [session_as_json(each) for each in sessions]}))


async def end_all_sessions(request: Request) -> Response:
    """Ends every session and token of a user."""
    async with state_of(request).database.transaction() as connection:
        user = await locked(connection, request)
        await revoke_subject(connection, user.id)
        await record(connection, request, "sessions_ended", user.id)
    return Response(status_code=204)


async def locked(connection: Connection, request: Request) -> User:
    """Returns the path's user, held until the end of the transaction; raises NotFound."""
    user = await lock_user(connection, request.path_params["id"])
    if user is None:
        raise NotFound("not_found")
    return user


def session_as_json(session: SessionInfo) -> dict[str, Any]:
    return {
        "id": session.id,
        "device": session.device,
        "address": session.address,
        "signedInAt": session.signed_in_at,
        "seenAt": session.seen_at,
    }


def routes() -> list[BaseRoute]:
    return [
        PolicedRoute(USERS, Operation("GET", list_all, ADMIN), Operation("POST", create, ADMIN)),
        PolicedRoute(
            USERS + "/{id}",
            Operation("GET", read, ADMIN),
            Operation("PATCH", update, ADMIN),
            Operation("DELETE", delete, ADMIN),
        ),
        PolicedRoute(USERS + "/{id}/unlock", Operation("POST", unlock, ADMIN)),
        PolicedRoute(
            USERS + "/{id}/sessions",
            Operation("GET", list_sessions, ADMIN),
            Operation("DELETE", end_all_sessions, ADMIN),
        ),
        PolicedRoute(USERS + "/{id}/password-link", Operation("POST", issue_link, ADMIN)),
        PolicedRoute(USERS + "/{id}/second-factor", Operation("DELETE", drop_second_factor, ADMIN)),
    ]
