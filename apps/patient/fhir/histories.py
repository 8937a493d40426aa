"""Histories of a resource, a type and the system (https://hl7.org/fhir/R4/http.html#history)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.errors import BadRequest, NotFound
from apps.kit.scopes import Disclosure
from apps.patient.definitions.model import served_types
from apps.patient.fhir.requests import (
    READ_ONLY_TYPES,
    base_of,
    caller_of,
    path_id,
    read_audit_of,
    type_of,
)
from apps.patient.fhir.responses import history_entry, links_of, query_text, respond
from apps.patient.search.criteria.query import DEFAULT_COUNT, parse_count
from apps.patient.search.index.moments import parse_moment
from apps.patient.search.reading.cursors import invalid_cursor
from apps.patient.search.statements.sql import moment_of
from apps.patient.storage.histories import (
    HistoryRange,
    Place,
    select_instance_history,
    select_type_history,
)
from apps.patient.storage.read_audit import entry_of
from apps.patient.storage.versions import Version

# A page of a restricted caller looks through so many versions at most.
MAX_SKIPPED_PAGES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    count: int
    range: HistoryRange
    place: Place | None
    accepted: tuple[tuple[str, str], ...]


def read_query(request: Request, path: str) -> HistoryQuery:
    """Raises BadRequest for what a history does not take."""
    count = DEFAULT_COUNT
    since: datetime | None = None
    at: tuple[datetime, datetime] | None = None
    cursor = ""
    accepted: list[tuple[str, str]] = []
    for name, value in request.query_params.multi_items():
        if name in ("_format", "_pretty"):
            continue
        if name == "_count":
            count = max(parse_count(value), 1)
        elif name == "_cursor":
            cursor = value
            continue
        elif name in ("_since", "_at"):
            span = parse_moment(value.replace(" ", "+"))
            if span is None:
                raise BadRequest("invalid_parameter", f"{name}: expected an instant", pointer=name)
            if name == "_since":
                since = moment_of(span.start)
            else:
                at = (moment_of(span.start), moment_of(span.end))
        else:
            raise BadRequest("parameter_not_served", f"{name} is not served here", pointer=name)
        accepted.append((name, value))
    place = None
    if cursor:
        values = request.state.cursors.read(f"{path}?{query_text(accepted)}", cursor)
        if len(values) != 4:
            raise invalid_cursor()
        place = Place(*values)
    return HistoryQuery(
        count=count,
        range=HistoryRange(since=since, at=at),
        place=place,
        accepted=tuple(accepted),
    )


async def list_versions(request: Request) -> Response:
    resource_type, id = type_of(request), path_id(request)
    path = f"/{resource_type}/{id}/_history"
    query = read_query(request, path)
    caller = caller_of(request)
    async with read_audit_of(request).database.connection() as connection:
        versions = await select_instance_history(
            connection,
            resource_type,
            id,
            bounds=query.range,
            place=query.place,
            limit=query.count + 1,
        )
        await caller.load_referred(connection, resource_type)
        if not versions and not query.accepted and query.place is None:
            raise NotFound("not_found")
    allowed = [
        version for version in versions if caller.disclosure_of(version, "r") is Disclosure.BODY
    ]
    if versions and not allowed:
        raise NotFound("not_found")
    return await _respond(request, path, query, allowed[: query.count], len(versions) > query.count)


async def list_type_versions(request: Request) -> Response:
    resource_type = type_of(request)
    return await _list(request, (resource_type,), f"/{resource_type}/_history")


async def list_system_versions(request: Request) -> Response:
    caller = caller_of(request)
    types = [
        kind
        for kind in served_types()
        if kind not in READ_ONLY_TYPES and caller.access(kind, "r") is not None
    ]
    return await _list(request, types, "/_history")


async def _list(request: Request, types: Sequence[str], path: str) -> Response:
    """Lists what the caller's scopes reach: the rest is passed over, page by page."""
    query = read_query(request, path)
    caller = caller_of(request)
    page: list[Version] = []
    place = query.place
    has_more = False
    async with read_audit_of(request).database.connection() as connection:
        for kind in types:
            await caller.load_referred(connection, kind)
        for _ in range(MAX_SKIPPED_PAGES):
            versions = await select_type_history(
                connection, types, query.range, place, query.count + 1
            )
            for version in versions[: query.count]:
                place = Place.of(version)
                if caller.disclosure_of(version, "r") is Disclosure.BODY:
                    page.append(version)
                if len(page) == query.count:
                    break
            has_more = len(versions) > query.count or (
                bool(versions) and place != Place.of(versions[-1])
            )
            if len(page) == query.count or not has_more:
                break
    return await _respond(request, path, query, page, has_more=has_more, place=place)


async def _respond(
    request: Request,
    path: str,
    query: HistoryQuery,
    page: Sequence[Version],
    has_more: bool,
    place: Place | None = None,
) -> Response:
    author = caller_of(request).author
    await read_audit_of(request).record(
        *(entry_of("history", author, version) for version in page if version.body is not None)
    )
    base = base_of(request)
    bundle = {
        "resourceType": "Bundle",
        "type": "history",
        "link": links_of(base + path, {"self": query_text(query.accepted)}),
    }
    last = place or (Place.of(page[-1]) if page else None)
    if has_more and last is not None:
        signed = f"{path}?{query_text(query.accepted)}"
        cursor = request.state.cursors.make(
            signed, [last.recorded_at, last.resource_type, last.id, last.version_id]
        )
        following = query_text([*query.accepted, ("_cursor", cursor)])
        bundle["link"] += links_of(base + path, {"next": following})  # type: ignore[operator]
    if page:
        bundle["entry"] = [history_entry(version, base, with_body=True) for version in page]
    return respond(request, bundle)
