"""What the pages of a sign-in share: where it goes on, who is signed in, a new session, the
password once more.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from apps.auth.audit import Event, insert_audit
from apps.auth.pages.authorize_routes import after_sign_in, form_target
from apps.auth.pages.rendering import page
from apps.auth.paths import ACCOUNT, DEVICE
from apps.auth.people.devices import device_of, remember_device
from apps.auth.people.password_check import check_password
from apps.auth.people.sessions import (
    Session,
    begin_session,
    end_session,
    select_session,
)
from apps.auth.people.users import User
from apps.auth.state import address_of, state_of
from apps.auth.texts import Texts, texts_of
from apps.kit.database import Connection
from apps.kit.errors import TooManyRequests

PAGES_CLIENT = "sign-in-page"
MAX_NEXT_CHARS = 4096


def next_of(fields: dict[str, str]) -> str:
    return fields.get("next", "")[:MAX_NEXT_CHARS]


def continue_to(query: str) -> str:
    """Returns where a person goes after signing in: to the application, the device page, or
    their account.
    """
    if query.startswith("device="):
        code = query.removeprefix("device=").removeprefix("-")
        return f"{DEVICE}?user_code={quote(unquote(code))}" if code else DEVICE
    return after_sign_in(query) if query else ACCOUNT


def with_next(path: str, query: str) -> str:
    """Returns the path with the authorization request that it goes on with, if there is one."""
    separator = "&" if "?" in path else "?"
    return f"{path}{separator}{urlencode({'next': query})}" if query else path


async def session_of(request: Request) -> Session | None:
    state = state_of(request)
    async with state.database.connection() as connection:
        return await select_session(connection, request, secure=state.settings.secure)


async def start_session(
    connection: Connection,
    request: Request,
    response: Response,
    user: User,
    *,
    methods: tuple[str, ...],
    pending: bool = False,
    confirmed: bool = False,
) -> None:
    """Ends the browser's session and starts the next one; once that is complete, the
    browser is known.

    `confirmed`: the password was proven within the last minutes.
    """
    settings, address = state_of(request).settings, address_of(request)
    await end_session(connection, request, secure=settings.secure)
    await begin_session(
        connection,
        request,
        response,
        user=user,
        methods=methods,
        pending=pending,
        confirmed=confirmed,
        secure=settings.secure,
        address=address,
        idle=settings.idle,
    )
    if not pending:
        await remember_device(
            connection, request, response, user, secure=settings.secure, address=address
        )


async def record_own_act(
    connection: Connection,
    request: Request,
    name: str,
    user_id: str,
    *,
    reason: str = "",
    client_id: str = PAGES_CLIENT,
) -> None:
    """Records what a person did to their own account, in the transaction that does it."""
    event = Event(
        name,
        reason=reason,
        actor_id=user_id,
        client_id=client_id,
        subject=user_id,
        address=address_of(request),
    )
    await insert_audit(connection, event)


async def refuse_password(
    request: Request, user: User, password: str, show: Callable[[int, str], Response]
) -> Response | None:
    """Asks a person who is signed in for the password again; wrong ones count as in a sign-in.

    Returns None if it is right, else the page that `show` makes of a status and what is wrong.
    """
    state = state_of(request)
    try:
        right = await check_password(
            state.database,
            state.hashing,
            email=user.email,
            password=password,
            address=address_of(request),
            client_id=PAGES_CLIENT,
            device=device_of(request, secure=state.settings.secure),
        )
    except TooManyRequests as refused:
        wait_seconds = int(refused.headers["Retry-After"])
        response = show(429, too_many(texts_of(request), wait_seconds))
        response.headers["retry-after"] = str(wait_seconds)
        return response
    if right is None or right.id != user.id:
        return show(400, texts_of(request).gettext("The password is not right."))
    return None


async def show_page(
    request: Request, template: str, status: int = 200, *, error: str = "", **values: str
) -> Response:
    query = values.get("next", "")
    state = state_of(request)
    async with state.database.connection() as connection:
        target = await form_target(connection, query) if query else ""
    provider = state.settings.external
    known: dict[str, Any] = {
        "next": query,
        "email": "",
        "done": "",
        "external": provider and (provider.name or texts_of(request).gettext("your organization")),
    }
    return page(request, template, status, form_target=target, error=error, **{**known, **values})


async def show_locked(
    request: Request, template: str, wait_seconds: int, **values: str
) -> Response:
    error = too_many(texts_of(request), wait_seconds)
    response = await show_page(request, template, 429, error=error, **values)
    response.headers["retry-after"] = str(wait_seconds)
    return response


def too_many(texts: Texts, wait_seconds: int) -> str:
    """Returns what a locked-out person reads, in seconds or minutes."""
    if wait_seconds < 120:
        return texts.ngettext(
            "Too many attempts. Please wait {count} second and try again.",
            "Too many attempts. Please wait {count} seconds and try again.",
            wait_seconds,
        )
    return texts.ngettext(
        "Too many attempts. Please wait {count} minute and try again.",
        "Too many attempts. Please wait {count} minutes and try again.",
        -(-wait_seconds // 60),
    )
