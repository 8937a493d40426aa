"""GET and HEAD entries of a Bundle: reads, versions and searches."""

from starlette.requests import Request

from apps.kit.database import Connection
from apps.kit.errors import BadRequest, NotFound
from apps.kit.scopes import Disclosure
from apps.patient.codec import Resource
from apps.patient.definitions.model import served_types
from apps.patient.fhir.audit_search import read_audit_event
from apps.patient.fhir.bundles.parsing import Entry
from apps.patient.fhir.requests import (
    READ_ONLY_TYPES,
    base_of,
    parse_version,
    without_presentation,
)
from apps.patient.fhir.responses import raw
from apps.patient.fhir.search_runs import Asked, run_search
from apps.patient.storage.access import Caller
from apps.patient.storage.preconditions import gone
from apps.patient.storage.read_audit import ReadEntry, entry_of
from apps.patient.storage.reading import select_current, select_version


async def read_entry(
    request: Request, connection: Connection, entry: Entry, caller: Caller
) -> tuple[Resource, list[ReadEntry]]:
    """Returns the entry's answer and what must be recorded before it is given out."""
    if len(entry.path) <= 1:
        return await _search(request, connection, entry, caller)
    kind, id = entry.path[0], entry.path[1]
    caller.require(kind, "r")
    is_version = len(entry.path) == 4 and entry.path[2] == "_history"
    if entry.pairs or not (len(entry.path) == 2 or is_version) or id.startswith(("_", "$")):
        raise BadRequest("not_served", f"{entry.at}: this is not served in a Bundle", pointer="url")
    if kind in READ_ONLY_TYPES and not is_version:
        event = await read_audit_event(connection, caller, id)
        found: Resource = {
            "fullUrl": f"{base_of(request)}/{kind}/{id}",
            "response": {"status": "200 OK"},
        }
        return (found | {"resource": event} if entry.method == "GET" else found), []
    version_id = parse_version(entry.path[3]) if is_version else None
    if version_id is not None:
        version = await select_version(connection, kind, id, version_id)
    elif is_version:
        version = None
    else:
        version = await select_current(connection, kind, id)
    await caller.load_referred(connection, kind)
    if version is None or caller.disclosure_of(version, "r") is not Disclosure.BODY:
        raise NotFound("not_found", f"{entry.at}: there is no such resource")
    if version.body is None:
        raise gone(version)
    answer: Resource = {
        "fullUrl": f"{base_of(request)}/{kind}/{id}",
        "response": {
            "status": "200 OK",
            "etag": version.etag,
            "lastModified": version.recorded_at,
        },
    }
    if entry.method == "GET":
        answer["resource"] = raw(version.body)
    return answer, [entry_of("read", caller.author, version)]


async def _search(
    request: Request, connection: Connection, entry: Entry, caller: Caller
) -> tuple[Resource, list[ReadEntry]]:
    types = (
        entry.path
        if entry.path
        else tuple(kind for kind in served_types() if caller.access(kind, "s") is not None)
    )
    if entry.path and entry.path[0] not in served_types():
        raise BadRequest("not_served", f"{entry.at}: this is not served in a Bundle", pointer="url")
    asked = Asked(
        caller=caller,
        base=base_of(request),
        path="/" + "/".join(entry.path) if entry.path else "",
        types=types,
        pairs=without_presentation(entry.pairs),
        cursors=request.state.cursors,
    )
    bundle, audit = await run_search(connection, asked)
    answer: Resource = {"response": {"status": "200 OK"}}
    if entry.method == "GET":
        answer["resource"] = bundle
    return answer, [audit]
