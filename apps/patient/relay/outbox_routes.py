"""`/api/outbox`: what waits to be sent and what a receiver refused, for operators."""

import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.kit.errors import NotFound
from apps.kit.outbox import delete_parked, retry_parked, select_parked, select_queues
from apps.kit.web import JSONResponse, Operation, PolicedRoute, principal_of, scopes

ADMIN = scopes("admin")
OUTBOX = "/api/outbox"

log = logging.getLogger(__name__)


async def show(request: Request) -> Response:
    """Answers the queues, and the rows that were refused for good with their reasons:
    at most 1,000.
    """
    async with request.state.database.connection() as connection:
        queues = await select_queues(connection)
        parked = await select_parked(connection)
    return JSONResponse(
        {
            "queues": [
                {
                    "destination": each.destination,
                    "waiting": each.waiting,
                    "parked": each.parked,
                    "oldestAt": each.oldest_at,
                }
                for each in queues
            ],
            "parked": [
                {
                    "id": str(each.id),
                    "destination": each.destination,
                    "patientId": each.patient_id,
                    "eventId": each.event_id,
                    "createdAt": each.created_at,
                    "attempts": each.attempts,
                    "reason": each.reason,
                }
                for each in parked
            ],
        }
    )


async def retry(request: Request) -> Response:
    """Sends a refused row again."""
    row = row_of(request)
    async with request.state.database.connection() as connection:
        found = await retry_parked(connection, [row])
    return settled(request, "outbox row retried", row, found)


async def discard(request: Request) -> Response:
    """Deletes a refused row for good; later events of its patient are sent."""
    row = row_of(request)
    async with request.state.database.connection() as connection:
        found = await delete_parked(connection, [row])
    return settled(request, "outbox row discarded", row, found)


def row_of(request: Request) -> int:
    """Reads the row's number; raises NotFound for what is none."""
    text = request.path_params["id"]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise NotFound("not_found")
    return int(text)


def settled(request: Request, message: str, row: int, found: int) -> Response:
    """Answers 204 and logs who did it; raises NotFound where no such row was parked."""
    if not found:
        raise NotFound("not_found", "no row with this id was refused")
    log.info(message, extra={"row": row, "actor": principal_of(request).subject})
    return Response(status_code=204)


def outbox_routes() -> list[BaseRoute]:
    """Gives the routes; each needs the scope `admin`."""
    return [
        PolicedRoute(OUTBOX, Operation("GET", show, ADMIN)),
        PolicedRoute(OUTBOX + "/{id}/retry", Operation("POST", retry, ADMIN)),
        PolicedRoute(OUTBOX + "/{id}/discard", Operation("POST", discard, ADMIN)),
    ]
