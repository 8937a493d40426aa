"""`/auth/v1/audit`: what happened to accounts, clients and keys, for administrators."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.admin.requests import ADMIN, no_store, page_of, read_page
from apps.auth.state import state_of
from apps.kit.database import Connection
from apps.kit.errors import BadRequest, FieldError
from apps.kit.web import JSONResponse, Operation, PolicedRoute

AUDIT = "/auth/v1/audit"
LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"
FILTERS = ("actor", "subject", "client", "event", "outcome", "since", "until")
MAX_FILTER_CHARS = 200


async def search(request: Request) -> Response:
    """Answers entries, the newest first; `actor`, `subject`, `client`, `event`, `outcome`, `since`, `until`."""
    before, limit = read_page(request)
    filters = read_filters(request)
    try:
        cursor = str(UUID(before)) if before else LAST
    except ValueError:
        raise BadRequest("invalid_cursor", "not a cursor of ours", pointer="cursor") from None
    async with state_of(request).database.connection() as connection:
        entries = await select_audit(connection, filters, cursor, limit + 1)
    return no_store(page_of(entries, limit)) if entries else no_store(JSONResponse({"items": []}))


def read_filters(request: Request) -> Mapping[str, Any]:
    """Returns the filters of the query; raises BadRequest, naming every fault."""
    faults: list[FieldError] = []
    filters: dict[str, Any] = {}
    for name in request.query_params:
        value = request.query_params[name]
        if name in ("limit", "cursor"):
            continue
        if name not in FILTERS:
            faults.append(FieldError("unknown_parameter", "there is no such parameter", name))
        elif len(value) > MAX_FILTER_CHARS or not value.isprintable():
            faults.append(
                FieldError("invalid_filter", f"at most {MAX_FILTER_CHARS} characters", name)
            )
        elif name in ("since", "until"):
            try:
                filters[name] = datetime.fromisoformat(value.replace(" ", "+"))
                if filters[name].tzinfo is None:
                    raise ValueError
            except ValueError:
                faults.append(FieldError("invalid_time", "a date-time with its offset", name))
        else:
            filters[name] = value
    if faults:
        raise BadRequest("invalid_parameter", faults=tuple(faults))
    return filters


async def select_audit(
    connection: Connection, filters: Mapping[str, Any], before: str, limit: int
) -> list[dict[str, Any]]:
    """Returns entries before an id, the newest first: the ids sort by time."""
    rows = await connection.fetch(
        """
        SELECT id, occurred_at, event, outcome, reason, actor_id, client_id, subject, address,
            request_id
        FROM audit
        WHERE id < $1
            AND ($2::text IS NULL OR actor_id = $2) AND ($3::text IS NULL OR subject = $3)
            AND ($4::text IS NULL OR client_id = $4) AND ($5::text IS NULL OR event = $5)
            AND ($6::text IS NULL OR outcome = $6)
            AND ($7::timestamptz IS NULL OR occurred_at >= $7)
            AND ($8::timestamptz IS NULL OR occurred_at < $8)
        ORDER BY id DESC LIMIT $9
        """,
        before,
        *(filters.get(name) for name in FILTERS),
        limit,
    )
    return [
        {
            "id": str(row["id"]),
            "occurredAt": row["occurred_at"],
            "event": row["event"],
            "outcome": row["outcome"],
            "reason": row["reason"],
            "actor": row["actor_id"],
            "client": row["client_id"],
            "subject": row["subject"],
            "address": row["address"],
            "requestId": row["request_id"],
        }
        for row in rows
    ]


def routes() -> list[BaseRoute]:
    return [PolicedRoute(AUDIT, Operation("GET", search, ADMIN))]
