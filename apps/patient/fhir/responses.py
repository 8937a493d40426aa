"""What both faces of the record share: who asks, which version is expected, the headers of an answer."""

import re
from email.utils import format_datetime

from starlette.requests import Request

from apps.kit.context import current_context
from apps.kit.errors import BadRequest, Forbidden, NotFound
from apps.kit.web import principal_of
from apps.patient.storage.read_audit import ReadAudit
from apps.patient.storage.record import Outcome, Record
from apps.patient.storage.versions import Author, Version

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')
NO_VERSION = -1


def author_of(request: Request) -> Author:
    principal, context = principal_of(request), current_context()
    return Author(
        principal.subject,
        principal.client_id,
        context.request_id if context else "",
        context.traceparent if context else "",
    )


def restriction_of(request: Request, resource_type: str, interaction: str) -> str | None:
    """The only patient whose record the caller may use so; None for everybody's."""
    access = principal_of(request).access_to(resource_type, interaction)
    if access is None or access.has_parameters:
        raise Forbidden("insufficient_scope", f"this needs {resource_type}.{interaction}")
    return access.only_patient_id


def path_id(request: Request, name: str = "id") -> str:
    """The path's id; raises NotFound for what can be no id."""
    id: str = request.path_params[name]
    if not _ID.fullmatch(id):
        raise NotFound("not_found")
    return id


def record_of(request: Request) -> Record:
    record: Record = request.state.record
    return record


def read_audit_of(request: Request) -> ReadAudit:
    read_audit: ReadAudit = request.state.read_audit
    return read_audit


def read_if_match(request: Request) -> int | None:
    """The version that `If-Match` names; None without one and for `*`. Raises BadRequest for what is no ETag."""
    texts = request.headers.getlist("if-match")
    if not texts or texts == ["*"]:
        return None
    match = _ETAG.fullmatch(texts[0].strip()) if len(texts) == 1 else None
    if match is None:
        raise BadRequest("invalid_if_match", 'expected one W/"<version>"', pointer="If-Match")
    # An ETag that was never ours is no version's: a stale one, not a malformed one.
    return (
        int(match[1])
        if match[1].isascii() and match[1].isdigit() and len(match[1]) <= 18
        else NO_VERSION
    )


def version_headers(version: Version) -> dict[str, str]:
    return {
        "ETag": version.etag,
        "Last-Modified": format_datetime(version.recorded_at, usegmt=True),
    }


def outcome_headers(outcome: Outcome, location: str) -> dict[str, str]:
    headers = version_headers(outcome.version) | {"Location": location}
    # So that a client, and its user, can tell what was made now from what was there.
    return headers | {"Idempotency-Replayed": "true"} if outcome.replayed else headers
