"""What the administrators' routes share: who acts, what page of a list is asked for, what
the body must be.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from apps.auth.audit import Event, insert_audit
from apps.auth.state import address_of
from apps.kit.database import Connection
from apps.kit.errors import BadRequest, Conflict, FieldError, PreconditionFailed, Unprocessable
from apps.kit.idempotency import Claim, claim_key
from apps.kit.web import JSONResponse, principal_of, read_json, scopes

ADMIN = scopes("admin")
MAX_PAGE_SIZE = 100
MAX_SEARCH_CHARS = 200
DEFAULT_PAGE_SIZE = 20
PAGE_SIZE = re.compile(r"[0-9]{1,3}")


async def record(connection: Connection, request: Request, event: str, subject: str) -> None:
    principal = principal_of(request)
    known = Event(
        event,
        actor_id=principal.subject,
        client_id=principal.client_id,
        subject=subject,
        address=address_of(request),
    )
    await insert_audit(connection, known)


async def read_object(request: Request, *allowed: str) -> dict[str, Any]:
    """Returns the body's members; raises Unprocessable for one that is unknown, so that no wish
    is passed over silently.
    """
    body = await read_json(request)
    if not isinstance(body, dict):
        raise BadRequest("invalid_body", "expected an object")
    unknown = tuple(
        FieldError("unknown_field", "no such field", f"/{name}")
        for name in body
        if name not in allowed
    )
    if unknown:
        raise Unprocessable("unknown_field", faults=unknown)
    return body


def read_page(request: Request) -> tuple[str, int]:
    """Reads where to go on after (empty at the start), and how many."""
    size = request.query_params.get("limit", str(DEFAULT_PAGE_SIZE))
    if not PAGE_SIZE.fullmatch(size) or not 1 <= int(size) <= MAX_PAGE_SIZE:
        raise BadRequest("invalid_limit", f"from 1 to {MAX_PAGE_SIZE}", pointer="limit")
    cursor = request.query_params.get("cursor", "")
    try:
        after = base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        after = "\0"
    # PostgreSQL takes no NUL.
    if not after.isprintable():
        raise BadRequest("invalid_cursor", "not a cursor of ours", pointer="cursor")
    return after, int(size)


def read_search(request: Request) -> str:
    """Returns the text to be found, `q`. Raises BadRequest."""
    text = request.query_params.get("q", "").strip()
    if len(text) > MAX_SEARCH_CHARS or not text.isprintable():
        raise BadRequest("invalid_search", f"at most {MAX_SEARCH_CHARS} characters", pointer="q")
    return text


def page_of(items: list[dict[str, Any]], limit: int) -> Response:
    """Answers a page of `items`, which holds one more where there is a next page."""
    body: dict[str, Any] = {"items": items[:limit]}
    if len(items) > limit:
        body["next"] = base64.urlsafe_b64encode(items[limit - 1]["id"].encode()).decode()
    return no_store(JSONResponse(body))


def check_version(request: Request, version: int) -> None:
    """Checks `If-Match` against the row that the transaction holds locked."""
    wanted = request.headers.get("if-match")
    if wanted is not None and wanted not in ("*", etag(version)):
        raise PreconditionFailed("stale_version", f"the version now is {version}")


def etag(version: int) -> str:
    return f'W/"{version}"'


async def claim_secret(connection: Connection, claim: Claim | None) -> None:
    """Claims the request's key for an answer that is a secret and nothing else: it cannot be given
    again, and a second would void the first.

    Raises Conflict where it was told before.
    """
    if await claim_key(connection, claim) is not None:
        raise Conflict(
            "secret_already_told",
            "it was told once, to the first request with this Idempotency-Key",
        )


def no_store(response: Response) -> Response:
    response.headers["cache-control"] = "no-store"
    return response


def created(
    item: dict[str, Any], version: int, location: str, *, replayed: bool = False
) -> Response:
    """Answers 201; `replayed` for the second time, without the secret of the first answer."""
    headers = {"Location": location, **({"Idempotency-Replayed": "true"} if replayed else {})}
    return one(item, version, 201, headers)


def one(
    item: dict[str, Any], version: int, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return no_store(JSONResponse(item, status, headers={"ETag": etag(version), **(headers or {})}))
