"""Runs a search for a caller: by their scopes, with what it includes, and the record of what
was read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.kit.database import Connection
from apps.kit.errors import BadRequest, Forbidden
from apps.patient.codec import Resource
from apps.patient.fhir.audit_search import search_audit
from apps.patient.fhir.responses import information, query_text
from apps.patient.fhir.searchsets import (
    CUT,
    MAX_QUERY_CHARS,
    NOT_ALL_CONTAINED,
    audit_entry_of,
    bundle_of,
    entry_of,
    outcome_entry,
    part_of,
)
from apps.patient.search.criteria.criteria import AllOf, Contained, Criterion, count_parts
from apps.patient.search.criteria.query import Query
from apps.patient.search.index.aliases import members_of
from apps.patient.search.reading.cursors import Cursors, invalid_cursor
from apps.patient.storage.access import Caller
from apps.patient.storage.includes import read_included
from apps.patient.storage.layout import has_contained
from apps.patient.storage.plans import make_plan
from apps.patient.storage.read_audit import ReadEntry
from apps.patient.storage.scanning import Scans
from apps.patient.storage.search import Found, Mark, count_matches, read_page
from apps.patient.storage.sorting import read_sorted_page, read_updated_page
from apps.patient.storage.steps import is_sortable


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
    bundle = bundle_of(asked.base + asked.path, query, total, cursor)
    entries = [entry_of(asked.base, query, item, "match") for item in found]
    entries += [entry_of(asked.base, query, item, "include") for item in included]
    if is_cut:
        entries.append(outcome_entry(CUT))
    looks_inside = any(count_parts(item, Contained) for item in query.criteria.values())
    if looks_inside and not await has_contained(connection):
        entries.append(outcome_entry(NOT_ALL_CONTAINED))
    entries += [
        outcome_entry(information(text, "warning", "code-invalid"))
        for text in dict.fromkeys(query.warnings)
    ]
    if entries:
        bundle["entry"] = entries
    return bundle, audit_entry_of(caller, query, [*found, *included])


async def _run_audit_search(
    connection: Connection, asked: Asked, query: Query
) -> tuple[Resource, ReadEntry]:
    signed = f"{asked.path}?{query_text(query.accepted)}"
    mark = asked.cursors.read(signed, query.cursor) if query.cursor else None
    events, following, total = await search_audit(connection, asked.caller, query, mark)
    cursor = asked.cursors.make(signed, following) if following else ""
    bundle = bundle_of(asked.base + asked.path, query, total, cursor)
    if events:
        bundle["entry"] = [
            {
                "fullUrl": f"{asked.base}/AuditEvent/{event['id']}",
                "resource": part_of(query, event),
                "search": {"mode": "match"},
            }
            for event in events
        ]
    ids = [event["id"] for event in events]
    text = query_text(query.accepted)[:MAX_QUERY_CHARS]
    return bundle, ReadEntry(
        "search", asked.caller.author, "AuditEvent", query=text, returned_ids=ids
    )


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
