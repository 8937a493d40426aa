"""Pages to sign in: password, second factor, and enrolling for it."""

import logging
from urllib.parse import quote, unquote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.audit import Event, insert_audit
from apps.auth.encryption import DecryptionError
from apps.auth.oauth.refusals import record_refusal
from apps.auth.oauth.revocations import revoke_subject
from apps.auth.pages.authorize_routes import after_sign_in, form_target
from apps.auth.pages.rendering import form_route, go_to, page, read_form
from apps.auth.paths import ACCOUNT, CONFIRM_PASSWORD, DEVICE, ENROL, SECOND_FACTOR, SIGN_IN
from apps.auth.people.devices import device_of, forget_devices, remember_device
from apps.auth.people.lockout import Attempt, settle_attempt, waiting_seconds
from apps.auth.people.mail import factor_changed, insert_mail
from apps.auth.people.password_check import check_password
from apps.auth.people.sessions import (
    Session,
    begin_session,
    end_session,
    lock_session,
    select_session,
)
from apps.auth.people.totp import (
    begin_enrolment,
    confirm_enrolment,
    provisioning_uri,
    qr_code,
    use_code,
    use_recovery_code,
)
from apps.auth.people.users import User, lock_unchanged
from apps.auth.state import address_of, state_of
from apps.kit.database import Connection
from apps.kit.errors import TooManyRequests

PAGES_CLIENT = "sign-in-page"
MAX_NEXT_CHARS = 4096
WRONG = "The e-mail address or the password is not right."
DONE = {"password": "Your password was set. Please sign in."}
PROOFS = ("device_code", "recovery_code")
DECRYPTION_FAILED = (
    "a second factor does not open under AUTH_KEY_ENCRYPTION_KEY: set the one that sealed it, or take it off the "
    "account by DELETE /auth/v1/users/{id}/second-factor"
)

log = logging.getLogger(__name__)


def next_of(fields: dict[str, str]) -> str:
    return fields.get("next", "")[:MAX_NEXT_CHARS]


def continue_to(query: str) -> str:
    """Returns where a person goes after signing in: to the application, the device page, or their account."""
    if query.startswith("device="):
        code = query.removeprefix("device=").removeprefix("-")
        return f"{DEVICE}?user_code={quote(unquote(code))}" if code else DEVICE
    return after_sign_in(query) if query else ACCOUNT


async def show_page(
    request: Request, template: str, status: int = 200, *, error: str = "", **values: str
) -> Response:
    query = values.get("next", "")
    state = state_of(request)
    async with state.database.connection() as connection:
        target = await form_target(connection, query) if query else ""
    provider = state.settings.external
    known = {
        "next": query,
        "email": "",
        "done": "",
        "external": provider.name if provider else "",
    }
    return page(request, template, status, form_target=target, error=error, **{**known, **values})


async def show_locked(
    request: Request, template: str, wait_seconds: int, **values: str
) -> Response:
    response = await show_page(request, template, 429, error=too_many(wait_seconds), **values)
    response.headers["retry-after"] = str(wait_seconds)
    return response


def too_many(wait_seconds: int) -> str:
    """Returns what a locked-out person reads, in seconds or minutes."""
    if wait_seconds < 120:
        wait = "1 second" if wait_seconds == 1 else f"{wait_seconds} seconds"
    else:
        wait = f"{-(-wait_seconds // 60)} minutes"
    return f"Too many attempts. Please wait {wait} and try again."


async def show_sign_in(request: Request) -> Response:
    done = DONE.get(request.query_params.get("done", ""), "")
    return await show_page(
        request, "sign_in.html", next=next_of(dict(request.query_params)), done=done
    )


async def sign_in(request: Request) -> Response:
    fields = await read_form(request)
    state, address, query = state_of(request), address_of(request), next_of(fields)
    email, password = fields.get("email", ""), fields.get("password", "")
    again = {"next": query, "email": email}
    try:
        user = await check_password(
            state.database,
            state.hashing,
            email=email,
            password=password,
            address=address,
            client_id=PAGES_CLIENT,
            device=device_of(request, secure=state.settings.secure),
        )
    except TooManyRequests as error:
        return await show_locked(
            request, "sign_in.html", int(error.headers["Retry-After"]), **again
        )
    if user is None:
        return await show_page(request, "sign_in.html", 400, error=WRONG, **again)
    pending = user.must_prove_more(state.settings.mfa_required_roles)
    target = continue_to(query)
    if pending:
        target = with_next(SECOND_FACTOR if user.has_second_factor else ENROL, query)
    response = go_to(target)
    async with state.database.transaction() as connection:
        # Hashing takes its time: whoever was disabled or changed meanwhile is refused.
        unchanged = await lock_unchanged(connection, user)
        if unchanged:
            await end_session(connection, request, secure=state.settings.secure)
            await begin_session(
                connection,
                request,
                response,
                user,
                ("pwd",),
                pending=pending,
                secure=state.settings.secure,
                address=address,
                idle=state.settings.idle,
            )
            if not pending:
                await remember_device(
                    connection,
                    request,
                    response,
                    user,
                    secure=state.settings.secure,
                    address=address,
                )
        event = Event(
            "password_accepted" if pending and unchanged else "sign_in",
            "success" if unchanged else "failure",
            "" if unchanged else "changed_meanwhile",
            user.id,
            PAGES_CLIENT,
            user.id,
            address,
        )
        await insert_audit(connection, event)
    return (
        response
        if unchanged
        else await show_page(request, "sign_in.html", 400, error=WRONG, **again)
    )


def with_next(path: str, query: str) -> str:
    """Returns the path with the authorization request that it goes on with, if there is one."""
    separator = "&" if "?" in path else "?"
    return f"{path}{separator}{urlencode({'next': query})}" if query else path


async def session_of(request: Request) -> Session | None:
    state = state_of(request)
    async with state.database.connection() as connection:
        return await select_session(connection, request, secure=state.settings.secure)


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
        await insert_audit(
            connection, Event("sign_in", outcome, reason, user.id, PAGES_CLIENT, user.id, address)
        )
        if signed_in:
            response = go_to(continue_to(query))
            await end_session(connection, request, secure=state.settings.secure)
            methods = ("pwd", "otp", "mfa")
            await begin_session(
                connection,
                request,
                response,
                user,
                methods,
                pending=False,
                secure=state.settings.secure,
                address=address,
                idle=state.settings.idle,
            )
            await remember_device(
                connection, request, response, user, secure=state.settings.secure, address=address
            )
            return response
    if wait_seconds:
        return await show_locked(request, "second_factor.html", wait_seconds, next=query)
    return await show_page(
        request, "second_factor.html", 400, error="The code is not right.", next=query
    )


async def prove(connection: Connection, key: bytes, user: User, code: str) -> str:
    """How the person proved it, one of PROOFS; else what was wrong."""
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
    state, address, query = state_of(request), address_of(request), next_of(fields)
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
            await end_session(connection, request, secure=state.settings.secure)
            if signed_in_before:
                # Whoever else holds a session or token of this user never proved a second factor.
                await revoke_subject(connection, user.id)
                await forget_devices(connection, user.id)
            methods = ("pwd", "otp", "mfa")
            await begin_session(
                connection,
                request,
                response,
                user,
                methods,
                pending=False,
                secure=state.settings.secure,
                address=address,
                idle=state.settings.idle,
            )
            await remember_device(
                connection, request, response, user, secure=state.settings.secure, address=address
            )
            await insert_audit(
                connection,
                Event(
                    "second_factor_enrolled", "success", "", user.id, PAGES_CLIENT, user.id, address
                ),
            )
            await insert_mail(
                connection, factor_changed(user.email, "an authenticator app was added to it")
            )
            return response
    await record_refusal(
        request, "second_factor_enrolled", "wrong_code", actor_id=user.id, subject=user.id
    )
    return await enrolment_page(
        request, query, 400, "The code is not right. Is the clock of your device?"
    )


def routes() -> list[BaseRoute]:
    return [
        form_route(SIGN_IN, show_sign_in, sign_in),
        form_route(SECOND_FACTOR, show_second_factor, second_factor),
        form_route(ENROL, show_enrolment, enrol),
    ]
