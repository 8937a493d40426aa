"""`/auth/v1/audit`: what happened to accounts, clients and keys, for administrators."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.admin.requests import ADMIN, page_of, read_page
from apps.auth.audit_search import FILTERS, LAST_ID, select_audit
from apps.auth.people.user_fields import is_uuid
from apps.auth.state import state_of
from apps.kit.errors import BadRequest, FieldError
from apps.kit.web import Operation, PolicedRoute

AUDIT = "/auth/v1/audit"
MAX_FILTER_CHARS = 200


async def search(request: Request) -> Response:
    """Answers entries, the newest first; `actor`, `subject`, `client`, `event`, `outcome`,
    `since`, `until`.
    """
    before, limit = read_page(request)
    filters = read_filters(request)
    cursor = before or LAST_ID
    if not is_uuid(cursor):
        raise BadRequest("invalid_cursor", "not a cursor of ours", pointer="cursor")
    async with state_of(request).database.connection() as connection:
        entries = await select_audit(connection, filters, limit=limit + 1, before=cursor)
    return page_of([as_json(entry) for entry in entries], limit)


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
                time = datetime.fromisoformat(value.replace(" ", "+"))
                if time.tzinfo is None:
                    raise ValueError
                filters[name] = time.astimezone(UTC)
            except (ValueError, OverflowError):
                faults.append(FieldError("invalid_time", "a date-time with its offset", name))
        else:
            filters[name] = value
    if faults:
        raise BadRequest("invalid_parameter", faults=tuple(faults))
    return filters


def as_json(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": entry["id"],
        "occurredAt": entry["occurred_at"],
        "event": entry["event"],
        "outcome": entry["outcome"],
        "reason": entry["reason"],
        "actor": entry["actor_id"],
        "client": entry["client_id"],
        "subject": entry["subject"],
        "address": entry["address"],
        "requestId": entry["request_id"],
    }


def routes() -> list[BaseRoute]:
    return [PolicedRoute(AUDIT, Operation("GET", search, ADMIN))]
