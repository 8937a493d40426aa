"""Searches of a type, of a patient's compartment and of the system
(https://hl7.org/fhir/R4/search.html).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import BadRequest, Forbidden, NotFound
from apps.kit.operation_outcomes import FHIR_PATH
from apps.patient.codec import Resource, decode
from apps.patient.definitions.model import compartment_parameters, served_types
from apps.patient.fhir.audit_search import search_audit
from apps.patient.fhir.requests import (
    READ_ONLY_TYPES,
    base_of,
    caller_of,
    path_id,
    read_audit_of,
    read_form,
    type_of,
    without_presentation,
)
from apps.patient.fhir.responses import information, links_of, query_text, raw, respond
from apps.patient.fhir.subsets import subset
from apps.patient.search.aliases import members_of
from apps.patient.search.criteria import (
    AllOf,
    Contained,
    Criterion,
    Exact,
    ExactValue,
    count_parts,
)
from apps.patient.search.cursors import Cursors, invalid_cursor
from apps.patient.search.hashing import reference_hash, resource_hash
from apps.patient.search.query import Query
from apps.patient.storage.access import Caller
from apps.patient.storage.includes import read_included
from apps.patient.storage.layout import has_contained
from apps.patient.storage.plans import make_plan
from apps.patient.storage.read_audit import ReadEntry
from apps.patient.storage.scanning import Scans
from apps.patient.storage.search import Found, Mark, count_matches, read_page
from apps.patient.storage.sorting import read_sorted_page, read_updated_page
from apps.patient.storage.steps import is_sortable

MAX_QUERY_CHARS = 2000


async def search_type(request: Request) -> Response:
    return await _search(request, (type_of(request),), request.query_params.multi_items())


async def search_type_by_form(request: Request) -> Response:
    return await _search(request, (type_of(request),), await read_form(request))


async def search_system(request: Request) -> Response:
    return await _search_system(request, request.query_params.multi_items())


async def search_system_by_form(request: Request) -> Response:
    return await _search_system(request, await read_form(request))


async def _search_system(request: Request, pairs: list[tuple[str, str]]) -> Response:
    """Searches the types of `_type`, else all that the caller may search."""
    caller = caller_of(request)
    named = any(name == "_type" for name, _ in pairs)
    types = [
        kind
        for kind in served_types()
        if kind not in READ_ONLY_TYPES and (named or caller.access(kind, "s") is not None)
    ]
    return await _search(request, types, pairs)


async def search_compartment(request: Request) -> Response:
    """Searches `Patient/<id>/Observation` and `Patient/<id>/*`: what a type's compartment
    parameters put there.
    """
    return await _search_compartment(request, request.query_params.multi_items())


async def search_compartment_by_form(request: Request) -> Response:
    """Searches by `Patient/<id>/Observation/_search`, or of all types `Patient/<id>/_search`."""
    return await _search_compartment(request, await read_form(request))


async def _search_compartment(request: Request, pairs: list[tuple[str, str]]) -> Response:
    id = path_id(request)
    patient = resource_hash("Patient", id)
    name = request.path_params.get("compartment_type", "*")
    members = [kind for kind in served_types() if compartment_parameters(kind)]
    if name != "*" and name not in members:
        raise NotFound("type_not_served", f"in the compartment are {', '.join(members)}")
    if name in READ_ONLY_TYPES:
        # The audit has its own index: the patient is one of its parameters.
        return await _search(request, (name,), [*pairs, ("patient", id)], path=f"/{name}")
    types = [name]
    if name == "*":
        caller = caller_of(request)
        types = [
            kind
            for kind in members
            if kind not in READ_ONLY_TYPES and caller.access(kind, "s") is not None
        ]
    limits: dict[str, Criterion] = {
        kind: Exact(
            values=tuple(
                ExactValue(matching=found, leading=found)
                for found in (
                    reference_hash(kind, parameter, patient)
                    for parameter in compartment_parameters(kind)
                )
            ),
            is_narrow=True,
        )
        for kind in types
    }
    return await _search(request, types, pairs, limits, f"/Patient/{id}/{name}")


async def _search(
    request: Request,
    types: Sequence[str],
    pairs: list[tuple[str, str]],
    limits: dict[str, Criterion] | None = None,
    path: str | None = None,
) -> Response:
    """Answers a search; `path`: of its links, behind the base; None for that of the request."""
    if path is None:
        path = request.url.path.removeprefix(FHIR_PATH).removesuffix("/_search").rstrip("/")
    asked = Asked(
        caller=caller_of(request),
        base=base_of(request),
        path=path,
        types=tuple(types),
        pairs=without_presentation(pairs),
        limits=limits or {},
        cursors=request.state.cursors,
    )
    read_audit = read_audit_of(request)
    async with read_audit.database.connection() as connection:
        bundle, entry = await run_search(connection, asked)
    # Nothing is given out before it is recorded.
    await read_audit.record(entry)
    return respond(request, bundle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A search as it came in. `path` is the URL's behind the base; `limits` what each type
    must meet besides.
    """

    caller: Caller
    base: str
    path: str
    types: tuple[str, ...]
    pairs: list[tuple[str, str]]
    cursors: Cursors
    limits: Mapping[str, Criterion] = field(default_factory=dict)


async def run_search(connection: Connection, asked: Asked) -> tuple[Resource, ReadEntry]:
    """Returns the Bundle and the audit entry that must be committed before it is given out."""
    caller = asked.caller
    query = caller.reader.read(asked.types, asked.pairs)
    for kind in query.touched:
        caller.require(kind, "s")
    is_counted_only = query.count == 0 or query.summary == "count"
    if not is_counted_only and not any(caller.access(kind, "r") for kind in query.types):
        raise Forbidden("insufficient_scope", "this needs a scope to read what is found")
    if query.types == ("AuditEvent",):
        return await _run_audit_search(connection, asked, query)
    criteria = [(kind, _criterion(asked, query, kind, "s")) for kind in query.types]
    signed = f"{asked.path}?{query_text(query.accepted)}"
    mark = _mark(asked.cursors.read(signed, query.cursor)) if query.cursor else None
    total = None
    if query.total or is_counted_only:
        total = 0
        for kind, criterion in criteria:
            plan = await make_plan(connection, kind, criterion, scans=caller.scans)
            total += await count_matches(connection, plan)
    found: list[Found] = []
    included: list[Found] = []
    following: Mark | None = None
    is_cut = False
    if not is_counted_only:
        readable = [
            (kind, AllOf(criteria=(criterion, caller.criterion(kind, "r"))))
            for kind, criterion in criteria
            if caller.access(kind, "r") is not None
        ]
        found, following = await _read(
            connection, caller.reader.base_url, query, readable, mark, scans=caller.scans
        )
        if query.includes:
            included, is_cut = await read_included(connection, caller, query, found)
    cursor = asked.cursors.make(signed, _mark_values(following)) if following else ""
    bundle = _bundle(asked, query, total, cursor)
    entries = [_entry(asked, query, item, "match") for item in found]
    entries += [_entry(asked, query, item, "include") for item in included]
    if is_cut:
        entries.append(_outcome(_CUT))
    looks_inside = any(count_parts(item, Contained) for item in query.criteria.values())
    if looks_inside and not await has_contained(connection):
        entries.append(_outcome(_NOT_ALL_CONTAINED))
    entries += [
        _outcome(information(text, "warning", "code-invalid"))
        for text in dict.fromkeys(query.warnings)
    ]
    if entries:
        bundle["entry"] = entries
    return bundle, _audit_entry(caller, query, [*found, *included])


async def _run_audit_search(
    connection: Connection, asked: Asked, query: Query
) -> tuple[Resource, ReadEntry]:
    signed = f"{asked.path}?{query_text(query.accepted)}"
    mark = asked.cursors.read(signed, query.cursor) if query.cursor else None
    events, following, total = await search_audit(connection, asked.caller, query, mark)
    cursor = asked.cursors.make(signed, following) if following else ""
    bundle = _bundle(asked, query, total, cursor)
    if events:
        bundle["entry"] = [
            {
                "fullUrl": f"{asked.base}/AuditEvent/{event['id']}",
                "resource": _part(query, event),
                "search": {"mode": "match"},
            }
            for event in events
        ]
    ids = [event["id"] for event in events]
    text = query_text(query.accepted)[:MAX_QUERY_CHARS]
    return bundle, ReadEntry(
        "search", asked.caller.author, "AuditEvent", query=text, returned_ids=ids
    )


def _part(query: Query, event: Resource) -> Resource:
    if not query.elements and query.summary == "false":
        return event
    return subset(event, query.elements, query.summary)


_CUT = information(
    "more resources would have to be included than a page takes; read them by their ids",
    "warning",
    "incomplete",
)

_NOT_ALL_CONTAINED = information(
    "contained resources are still being indexed: a chain does not look into all of them yet",
    "warning",
    "incomplete",
)


def _outcome(resource: Resource) -> Resource:
    """Returns an entry that tells something of the search (R4 search, handling errors)."""
    return {
        "fullUrl": f"urn:uuid:{new_id()}",
        "resource": resource,
        "search": {"mode": "outcome"},
    }


def _criterion(asked: Asked, query: Query, kind: str, interaction: str) -> Criterion:
    """Returns what a match of the type must meet: the query, the scopes and the compartment."""
    limit = asked.limits.get(kind)
    parts = [
        asked.caller.limited(query.criteria[kind]),
        asked.caller.criterion(kind, interaction),
    ]
    return AllOf(criteria=tuple(parts if limit is None else [*parts, limit]))


async def _read(
    connection: Connection,
    base_url: str,
    query: Query,
    criteria: Sequence[tuple[str, Criterion]],
    mark: Mark | None,
    *,
    scans: Scans,
) -> tuple[list[Found], Mark | None]:
    if len(query.sort) > 1 or (query.sort and not _is_walked(query)):
        if len(query.types) > 1:
            if [key.parameter.code for key in query.sort] != ["_lastUpdated"]:
                raise BadRequest(
                    "invalid_parameter", "_sort: by _lastUpdated alone here", pointer="_sort"
                )
            return await read_updated_page(
                connection, criteria, query.sort[0], mark, query.count, scans=scans
            )
        kind, criterion = criteria[0]
        return await read_sorted_page(
            connection,
            kind,
            criterion,
            query.sort,
            mark,
            limit=query.count,
            base_url=base_url,
            scans=scans,
        )
    sort = query.sort[0] if query.sort else None
    return await read_page(connection, criteria, sort, mark, query.count, scans=scans)


def _is_walked(query: Query) -> bool:
    """Tells whether an index has the order that is asked for."""
    parameter = query.sort[0].parameter
    if len(query.types) != 1 or members_of(query.types[0], parameter.code):
        return False
    return is_sortable(parameter.kind, parameter.code)


def _mark(values: list[Any]) -> Mark:
    # The previous release's have no number of steps.
    if len(values) not in (5, 6):
        raise invalid_cursor()
    return Mark(
        type_index=values[0],
        leader_index=values[1],
        walk_index=values[2],
        position=values[3],
        number=values[4],
        steps=values[5] if len(values) > 5 else None,
    )


def _mark_values(mark: Mark) -> list[Any]:
    values = [mark.type_index, mark.leader_index, mark.walk_index, mark.position, mark.number]
    return values if mark.steps is None else [*values, mark.steps]


def _audit_entry(caller: Caller, query: Query, given: Sequence[Found]) -> ReadEntry:
    is_plain = len(query.types) == 1 and all(
        item.version.resource_type == query.types[0] for item in given
    )
    ids = [
        item.version.id if is_plain else f"{item.version.resource_type}/{item.version.id}"
        for item in given
    ]
    patients = list(dict.fromkeys(item.version.patient_id for item in given))
    named = [id for id in patients if id is not None]
    return ReadEntry(
        "search",
        caller.author,
        query.types[0] if len(query.types) == 1 else "Bundle",
        patient_id=named[0] if len(named) == 1 else None,
        query=query_text(query.accepted)[:MAX_QUERY_CHARS],
        returned_ids=ids,
        patient_ids=named,
    )


def _bundle(asked: Asked, query: Query, total: int | None, cursor: str) -> Resource:
    # A page size that is too large is answered with the one that is given.
    accepted = [
        (name, str(query.count) if name == "_count" else value) for name, value in query.accepted
    ]
    links = {"self": query_text(accepted)}
    if cursor:
        links["next"] = query_text([*query.accepted, ("_cursor", cursor)])
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "link": links_of(asked.base + asked.path, links),
    }
    if total is not None:
        bundle["total"] = total
    return bundle


def _entry(asked: Asked, query: Query, item: Found, mode: str) -> Resource:
    version = item.version
    body: Any = raw(version.body or "")
    # `_elements` is for matches alone.
    elements = query.elements if mode == "match" else ()
    if elements or query.summary not in ("false", "count"):
        body = subset(decode(version.body or ""), elements, query.summary)
    return {
        "fullUrl": f"{asked.base}/{version.resource_type}/{version.id}",
        "resource": body,
        "search": {"mode": mode},
    }
