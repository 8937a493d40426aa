"""The Bundle of a search's page, and the audit entry of what it gives out."""

from collections.abc import Sequence
from typing import Any

from apps.kit.context import new_id
from apps.patient.codec import Resource, decode
from apps.patient.fhir.responses import information, links_of, query_text, raw
from apps.patient.fhir.subsets import subset
from apps.patient.search.criteria.query import Query
from apps.patient.storage.access import Caller
from apps.patient.storage.read_audit import ReadEntry
from apps.patient.storage.search import Found

MAX_QUERY_CHARS = 2000


CUT = information(
    "more resources would have to be included than a page takes; read them by their ids",
    "warning",
    "incomplete",
)
NOT_ALL_CONTAINED = information(
    "contained resources are still being indexed: a chain does not look into all of them yet",
    "warning",
    "incomplete",
)


def bundle_of(address: str, query: Query, total: int | None, cursor: str) -> Resource:
    """Returns the Bundle without entries. `address`: that of the search, without its query."""
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
        "link": links_of(address, links),
    }
    if total is not None:
        bundle["total"] = total
    return bundle


def entry_of(base: str, query: Query, item: Found, mode: str) -> Resource:
    version = item.version
    body: Any = raw(version.body or "")
    # `_elements` is for matches alone.
    elements = query.elements if mode == "match" else ()
    if elements or query.summary not in ("false", "count"):
        body = subset(decode(version.body or ""), elements, query.summary)
    return {
        "fullUrl": f"{base}/{version.resource_type}/{version.id}",
        "resource": body,
        "search": {"mode": mode},
    }


def part_of(query: Query, event: Resource) -> Resource:
    if not query.elements and query.summary == "false":
        return event
    return subset(event, query.elements, query.summary)


def outcome_entry(resource: Resource) -> Resource:
    """Returns an entry that tells something of the search (R4 search, handling errors)."""
    return {
        "fullUrl": f"urn:uuid:{new_id()}",
        "resource": resource,
        "search": {"mode": "outcome"},
    }


def audit_entry_of(caller: Caller, query: Query, given: Sequence[Found]) -> ReadEntry:
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
