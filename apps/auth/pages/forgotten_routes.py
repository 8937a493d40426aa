"""A forgotten password: a mail with a link, and the same answer in the same time for
unknown addresses.
"""

import asyncio
import logging
from functools import partial

import asyncpg
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.audit import Event, insert_audit
from apps.auth.pages.rendering import form_route, page, read_form
from apps.auth.pages.steps import PAGES_CLIENT
from apps.auth.paths import FORGOTTEN
from apps.auth.people.external_identities import is_external
from apps.auth.people.mail import insert_mail_with_link, password_link
from apps.auth.people.mail_limits import may_mail
from apps.auth.people.resets import FORGOTTEN_LIFE_HOURS, LINK_LIFE_HOURS, create_reset_link
from apps.auth.people.user_fields import is_email
from apps.auth.people.users import lock_user, select_user_by_email
from apps.auth.state import address_of, state_of
from apps.auth.texts import texts_of
from apps.kit.errors import Problem

TIMEOUT_SECONDS = 5.0
# A person is sent at most one mail in this time, and few within an hour, however often
# somebody asks.
PAUSE_SECONDS = 60

log = logging.getLogger(__name__)


async def show(request: Request) -> Response:
    return page(request, "forgotten.html", sent=False, email="")


async def send(request: Request) -> Response:
    """Answers at once; looks the address up when the answer is on its way, so that its time
    tells nothing.
    """
    fields = await read_form(request)
    response = page(request, "forgotten.html", sent=True, email="")
    response.background = BackgroundTask(send_link, request, fields.get("email", "").strip())
    return response


async def send_link(request: Request, email: str) -> None:
    """Queues the mail if an active user has the address. Never raises."""
    state = state_of(request)
    if not is_email(email):
        return
    try:
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            state.refusals,
            state.database.transaction() as connection,
        ):
            found = await select_user_by_email(connection, email)
            # Held, so that of requests at once the second one sees the first one's link.
            user = await lock_user(connection, found.id) if found else None
            if user is None or user.disabled_at is not None:
                return
            # Their organization says who they are, and when they leave: a password
            # would outlast it.
            if await is_external(connection, user.id):
                return
            may = partial(may_mail, connection, user_id=user.id, recipient=user.email)
            if not await may("password, lately", most=1, seconds=PAUSE_SECONDS):
                return
            if not await may("password"):
                return
            # Who was invited and set no password yet has the time of the invitation, which this
            # link replaces.
            life_hours = FORGOTTEN_LIFE_HOURS if user.password_hash else LINK_LIFE_HOURS
            link = await create_reset_link(
                connection, user.id, state.settings.issuer, life_hours=life_hours
            )
            await insert_mail_with_link(
                connection,
                password_link(texts_of(request), user.email, link, life_hours),
                state.settings.key_encryption_key,
                life_hours,
            )
            event = Event(
                "password_link_asked",
                client_id=PAGES_CLIENT,
                subject=user.id,
                address=address_of(request),
            )
            await insert_audit(connection, event)
    except (Problem, TimeoutError, asyncpg.PostgresError) as error:
        log.warning("password link not sent", extra={"error": type(error).__name__})


def routes() -> list[BaseRoute]:
    return [form_route(FORGOTTEN, show, send)]
