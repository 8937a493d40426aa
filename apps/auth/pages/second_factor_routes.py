"""Pages of the second factor: the code of a device or a recovery code, and setting up an
authenticator app.
"""

import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.audit import Event, insert_audit
from apps.auth.encryption import DecryptionError
from apps.auth.oauth.refusals import record_refusal
from apps.auth.oauth.revocations import revoke_subject
from apps.auth.pages.rendering import form_route, go_to, page, read_form
from apps.auth.pages.steps import (
    PAGES_CLIENT,
    continue_to,
    next_of,
    record_own_act,
    session_of,
    show_locked,
    show_page,
    start_session,
    with_next,
)
from apps.auth.paths import CONFIRM_PASSWORD, ENROL, SECOND_FACTOR
from apps.auth.people.devices import forget_devices
from apps.auth.people.lockout import Attempt, settle_attempt, waiting_seconds
from apps.auth.people.mail import factor_changed, insert_mail
from apps.auth.people.sessions import Session, lock_session
from apps.auth.people.totp import (
    begin_enrolment,
    confirm_enrolment,
    provisioning_uri,
    qr_code,
    use_code,
    use_recovery_code,
)
from apps.auth.people.users import User
from apps.auth.state import address_of, state_of
from apps.auth.texts import texts_of
from apps.kit.database import Connection
from apps.kit.texts import N_

# RFC 8176.
METHODS = ("pwd", "otp", "mfa")
PROOFS = ("device_code", "recovery_code")
DECRYPTION_FAILED = (
    "a second factor does not open under AUTH_KEY_ENCRYPTION_KEY: set the one that sealed it, or "
    "take it off the "
    "account by DELETE /auth/v1/users/{id}/second-factor"
)

log = logging.getLogger(__name__)


def methods_of(session: Session) -> tuple[str, ...]:
    """Returns how the person has signed in once the code was right.

    That the organization's provider let them in bounds how long applications stay connected.
    """
    return ("fed", *METHODS[1:]) if "fed" in session.methods else METHODS


async def show_second_factor(request: Request) -> Response:
    query = next_of(dict(request.query_params))
    session = await session_of(request)
    if session is None or not session.pending or not session.user.has_second_factor:
        return go_to(continue_to(query))
    return await show_page(request, "second_factor.html", next=query)


async def second_factor(request: Request) -> Response:
    fields = await read_form(request)
    state, address, query = state_of(request), address_of(request), next_of(fields)
    session = await session_of(request)
    if session is None or not session.pending or not session.user.has_second_factor:
        return go_to(continue_to(query))
    user, code = session.user, fields.get("code", "")
    # Counted apart from the password: whoever has that one may not guess on and on.
    attempt = Attempt(user.id, address, "second_factor")
    async with state.database.transaction() as connection:
        if await lock_session(connection, request, session, secure=state.settings.secure) is None:
            return go_to(continue_to(query))
        wait_seconds = await waiting_seconds(connection, attempt)
        reason = (
            "locked_out"
            if wait_seconds
            else await prove(connection, state.settings.key_encryption_key, user, code)
        )
        right = reason in PROOFS
        wait_seconds = wait_seconds or await settle_attempt(connection, attempt, right)
        signed_in = right and not wait_seconds
        outcome = "success" if signed_in else "failure"
        event = Event(
            "sign_in",
            outcome,
            reason,
            actor_id=user.id,
            client_id=PAGES_CLIENT,
            subject=user.id,
            address=address,
        )
        await insert_audit(connection, event)
        if signed_in:
            response = go_to(continue_to(query))
            await start_session(connection, request, response, user, methods=methods_of(session))
            return response
    if wait_seconds:
        return await show_locked(request, "second_factor.html", wait_seconds, next=query)
    error = texts_of(request).gettext("The code is not right.")
    return await show_page(request, "second_factor.html", 400, error=error, next=query)


async def prove(connection: Connection, key: bytes, user: User, code: str) -> str:
    """Returns how the person proved it, one of PROOFS; else what was wrong."""
    wrong = "wrong_code"
    try:
        if await use_code(connection, key, user, code):
            return "device_code"
    except DecryptionError:
        wrong = "second_factor_sealed"
        log.error(DECRYPTION_FAILED, extra={"user": user.id})
    return "recovery_code" if await use_recovery_code(connection, user, code) else wrong


def may_enrol(session: Session) -> bool:
    """Tells whether the person may set up an authenticator app now.

    Whoever has a second factor, a passkey too, proves it first: a new one would be a way around it.
    """
    user = session.user
    return not user.totp_enabled and not (session.pending and user.has_second_factor)


async def show_enrolment(request: Request) -> Response:
    return await enrolment_page(request, next_of(dict(request.query_params)))


async def enrolment_page(
    request: Request, query: str, status: int = 200, error: str = ""
) -> Response:
    state = state_of(request)
    session = await session_of(request)
    if session is None or not may_enrol(session):
        return go_to(
            with_next(SECOND_FACTOR, query) if session and session.pending else continue_to(query)
        )
    if not session.pending and not session.confirmed:
        # The session may have been left open: whoever sits there now proves that it is theirs.
        return go_to(with_next(f"{CONFIRM_PASSWORD}?then=enrol", query))
    async with state.database.transaction() as connection:
        session = await lock_session(connection, request, session, secure=state.settings.secure)
        if session is None:
            return go_to(continue_to(query))
        secret = await begin_enrolment(connection, state.settings.key_encryption_key, session)
    picture = qr_code(provisioning_uri(secret, session.user))
    return await show_page(
        request, "enrol.html", status, error=error, next=query, secret=secret, picture=picture,
        required="yes" if session.pending else "",
    )  # fmt: skip


async def enrol(request: Request) -> Response:
    fields = await read_form(request)
    state, query = state_of(request), next_of(fields)
    session = await session_of(request)
    if session is None or not may_enrol(session):
        return go_to(
            with_next(SECOND_FACTOR, query) if session and session.pending else continue_to(query)
        )
    if not session.pending and not session.confirmed:
        return go_to(with_next(f"{CONFIRM_PASSWORD}?then=enrol", query))

    user = session.user
    async with state.database.transaction() as connection:
        signed_in_before = not session.pending
        session = await lock_session(connection, request, session, secure=state.settings.secure)
        if session is None:
            return go_to(continue_to(query))
        codes = await confirm_enrolment(
            connection, state.settings.key_encryption_key, session, fields.get("code", "")
        )
        if codes:
            response = page(request, "recovery_codes.html", codes=codes, target=continue_to(query))
            if signed_in_before:
                # Whoever else holds a session or token of this user never proved a second factor.
                await revoke_subject(connection, user.id)
                await forget_devices(connection, user.id)
            await start_session(connection, request, response, user, methods=methods_of(session))
            await record_own_act(connection, request, "second_factor_enrolled", user.id)
            what = N_("an authenticator app was added to it")
            await insert_mail(connection, factor_changed(texts_of(request), user.email, what))
            return response
    await record_refusal(
        request, "second_factor_enrolled", "wrong_code", actor_id=user.id, subject=user.id
    )
    error = texts_of(request).gettext("The code is not right. Is the clock of your device?")
    return await enrolment_page(request, query, 400, error)


def routes() -> list[BaseRoute]:
    return [
        form_route(SECOND_FACTOR, show_second_factor, second_factor),
        form_route(ENROL, show_enrolment, enrol),
    ]
