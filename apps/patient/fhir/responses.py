"""Answers of the FHIR interface: bodies as they are stored, the headers of a version, the
links of a Bundle.
"""

from collections.abc import Iterable
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from apps.kit.scopes import Disclosure
from apps.patient.codec import FHIR_MEDIA_TYPE, Resource, encode
from apps.patient.fhir.negotiation import check_pretty
from apps.patient.fhir.requests import base_of, preferences_of
from apps.patient.storage.outcomes import Outcome
from apps.patient.storage.versions import Version, format_instant

_PLAIN = "/:,|$*!()'-._~@"


def respond(
    request: Request,
    content: Any,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """Returns JSON: `content` is a stored text, sent as it is, or a value to encode."""
    body = content.encode() if isinstance(content, str) else encode(content)
    if check_pretty(request.query_params.getlist("_pretty")):
        body = msgspec.json.format(body, indent=2)
    return Response(body, status, headers=headers, media_type=FHIR_MEDIA_TYPE)


def version_headers(version: Version) -> dict[str, str]:
    return {
        "ETag": version.etag,
        "Last-Modified": format_datetime(version.recorded_at, usegmt=True),
    }


def respond_version(request: Request, version: Version, part: Resource | None = None) -> Response:
    """Returns a version that is read, or the part of it that is asked for."""
    headers = version_headers(version)
    headers["Content-Location"] = f"{base_of(request)}/{version.reference}"
    return respond(request, version.body or "" if part is None else part, headers=headers)


def respond_outcome(request: Request, outcome: Outcome) -> Response:
    """Returns what a write made: as much of it as the scopes and `Prefer` allow."""
    version = outcome.version
    headers = version_headers(version)
    location = f"{base_of(request)}/{version.reference}"
    headers["Content-Location"] = location
    status = 201 if outcome.created else 200
    headers["Location"] = location
    if outcome.replayed:
        # So that a client, and its user, can tell what was made now from what was there.
        headers["Idempotency-Replayed"] = "true"
    returned = preferences_of(request).returned
    if returned == "OperationOutcome":
        return respond(request, information("the resource is stored"), status, headers)
    if returned == "minimal" or outcome.disclosure is not Disclosure.BODY:
        return Response(status_code=status, headers=headers)
    return respond(request, version.body or "", status, headers)


def information(text: str, severity: str = "information", code: str = "informational") -> Resource:
    """Returns an OperationOutcome that is no error."""
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def query_text(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{quote(name, _PLAIN)}={quote(value, _PLAIN)}" for name, value in pairs)


def links_of(url: str, queries: dict[str, str]) -> list[Resource]:
    return [
        {"relation": relation, "url": f"{url}?{query}" if query else url}
        for relation, query in queries.items()
    ]


def raw(body: str) -> msgspec.Raw:
    """Returns stored JSON as a part of a larger answer, without parsing it."""
    return msgspec.Raw(body.encode())


def history_entry(version: Version, base: str, *, with_body: bool) -> Resource:
    """Returns an entry of a history Bundle."""
    location = f"{version.resource_type}/{version.id}"
    is_new = version.version_id == 1
    url = version.resource_type if version.method == "POST" else location
    entry: Resource = {
        "fullUrl": f"{base}/{location}",
        "request": {"method": version.method, "url": url},
        "response": {
            "status": "204" if version.body is None else "201" if is_new else "200",
            "etag": version.etag,
            "lastModified": format_instant(version.recorded_at),
        },
    }
    if version.body is not None and with_body:
        entry["resource"] = raw(version.body)
    return entry
