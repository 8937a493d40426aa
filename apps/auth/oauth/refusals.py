"""Refusals are kept in the audit too: on a connection of their own, for what was refused may have
been rolled back.
"""

import asyncio
import logging

import asyncpg
from starlette.requests import Request

from apps.auth.audit import Event, insert_audit
from apps.auth.oauth.clients import select_client
from apps.auth.state import address_of, state_of
from apps.kit.errors import Problem
from apps.kit.web import PolicedRoute

# With the wait for a turn and a connection.
RECORD_TIMEOUT_SECONDS = 2.0
# A form that another site sent, and a token that may not do this.
RECORDED_CODES = ("form_expired", "insufficient_scope")

log = logging.getLogger(__name__)


async def record_refusal(
    request: Request,
    name: str,
    reason: str,
    *,
    actor_id: str = "",
    client_id: str = "",
    subject: str = "",
) -> None:
    """Records it and never raises: what was refused stays refused.

    A client that we do not know is not named: it may be anything.
    """
    state = state_of(request)
    try:
        async with (
            asyncio.timeout(RECORD_TIMEOUT_SECONDS),
            state.refusals,
            state.database.connection() as connection,
        ):
            known = await select_client(connection, client_id) if client_id else None
            client_id = known.id if known else ""
            event = Event(
                name,
                "failure",
                reason,
                actor_id=actor_id,
                client_id=client_id,
                subject=subject,
                address=address_of(request),
            )
            await insert_audit(connection, event)
    except (Problem, TimeoutError, asyncpg.PostgresError) as error:
        log.warning(
            "a refusal was not recorded", extra={"event": name, "error": type(error).__name__}
        )


async def record_problem(request: Request, problem: Problem) -> None:
    """Records the path as the route has it: what somebody put into it may be a name."""
    route = getattr(request.scope.get("endpoint"), "__self__", None)
    subject = route.path if isinstance(route, PolicedRoute) else ""
    principal = getattr(request.state, "principal", None)
    actor_id, client_id = (principal.subject, principal.client_id) if principal else ("", "")
    await record_refusal(
        request, "request", problem.code, actor_id=actor_id, client_id=client_id, subject=subject
    )
