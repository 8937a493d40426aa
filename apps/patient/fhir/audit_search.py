"""AuditEvent: the audit as FHIR, to be read and searched
(https://hl7.org/fhir/R4/auditevent.html).
"""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from apps.kit.database import Connection
from apps.kit.errors import BadRequest, Forbidden, NotFound
from apps.patient.codec import Resource
from apps.patient.search.criteria.escaping import split, unescape
from apps.patient.search.criteria.query import Query, invalid
from apps.patient.search.index.moments import parse_moment
from apps.patient.search.index.references import parse_reference
from apps.patient.search.statements.sql import moment_of
from apps.patient.storage.access import Caller
from apps.patient.storage.audit_events import (
    AuditFilter,
    AuditRow,
    count_audit_rows,
    select_audit_rows,
)
from apps.patient.storage.versions import format_instant

USER_SYSTEM = "urn:patient-management:user"
CLIENT_SYSTEM = "urn:patient-management:client"
SERVED = (
    "_id",
    "_lastUpdated",
    "action",
    "agent",
    "date",
    "entity",
    "patient",
    "subtype",
    "type",
)
_RESULT_PARAMETERS = ("_count", "_total", "_totalMethod", "_summary", "_elements", "_type")
_MODIFIERS = {"agent": ("identifier", "not"), "entity": ("Patient",), "patient": ("Patient",)}

_TYPE = {
    "system": "http://terminology.hl7.org/CodeSystem/audit-event-type",
    "code": "rest",
    "display": "RESTful Operation",
}
_INTERACTIONS = "http://hl7.org/fhir/restful-interaction"
_SYSTEMS = {
    "type": "http://terminology.hl7.org/CodeSystem/audit-event-type",
    "subtype": _INTERACTIONS,
    "action": "http://hl7.org/fhir/audit-event-action",
}
# The audit's word, FHIR's action and interaction.
_ACTIONS: Mapping[str, tuple[str, str]] = {
    "create": ("C", "create"),
    "read": ("R", "read"),
    "update": ("U", "update"),
    "delete": ("D", "delete"),
    "search": ("E", "search-type"),
    "history": ("R", "history-instance"),
}
_OPERATORS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "eq": ((">=", "start"), ("<", "end")),
    "gt": ((">=", "end"),),
    "sa": ((">=", "end"),),
    "ge": ((">=", "start"),),
    "lt": (("<", "start"),),
    "eb": (("<", "start"),),
    "le": (("<", "end"),),
}


def audit_filter(caller: Caller, query: Query) -> AuditFilter:
    """Returns the filter of a search; raises BadRequest for a parameter that is not served
    for AuditEvent.
    """
    access = caller.require("AuditEvent", "s")
    own = None if access.is_unrestricted else access.only_patient_id
    if access.has_parameters or (not access.is_unrestricted and own is None):
        raise Forbidden("insufficient_scope", "the audit has no scopes by parameters")
    entities: list[tuple[tuple[str, str], ...]] = []
    actors: list[tuple[str, ...]] = []
    not_actors: list[str] = []
    actions: list[tuple[str, ...]] = []
    dates: list[Any] = []
    ids: list[int] | None = None
    for name, value in query.accepted:
        code, _, modifier = name.partition(":")
        if name in _RESULT_PARAMETERS or (name, value) == ("_sort", "-date"):
            continue
        if code not in SERVED or modifier not in ("", *_MODIFIERS.get(code, ())):
            raise BadRequest(
                "parameter_not_served",
                f"{name[:100]} is not served for AuditEvent; served are {', '.join(SERVED)}",
                pointer=name[:100],
            )
        values = [unescape(item) for item in split(value, ",") if item]
        if code == "_id":
            given = [int(item) for item in values if is_event_id(item)]
            ids = given if ids is None else [id for id in ids if id in given]
        elif code in ("patient", "entity"):
            entities.append(tuple(_reference(caller, code, item) for item in values))
        elif code == "agent":
            systems = ("", USER_SYSTEM, CLIENT_SYSTEM)
            ids_of_agents = [_bare(item, *systems) for item in values]
            if modifier == "not":
                not_actors += ids_of_agents
            else:
                actors.append(tuple(ids_of_agents))
        elif code in ("date", "_lastUpdated"):
            dates += _dates(value)
        else:
            actions.append(_actions(code, values))
    return AuditFilter(
        ids=ids,
        entities=entities,
        actors=actors,
        not_actors=not_actors,
        actions=actions,
        dates=dates,
        own=own,
    )


def is_event_id(text: str) -> bool:
    """Tells whether an event may have this id: a number that the database takes."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def _reference(caller: Caller, code: str, value: str) -> tuple[str, str]:
    reference = parse_reference(value, caller.reader.base_url)
    if reference is not None and reference.id:
        return reference.type, reference.id
    if code == "patient" and "/" not in value:
        return "Patient", value
    raise invalid(code, "expected Type/id")


def _dates(value: str) -> list[Any]:
    prefix = value[:2] if value[:2] in _OPERATORS else "eq"
    text = value[2:] if value[:2] in _OPERATORS else value
    moment = parse_moment(text.replace(" ", "+"))
    if moment is None:
        raise invalid("date", "expected a date, with eq gt lt ge le sa eb before it or nothing")
    ends = {"start": moment_of(moment.start), "end": moment_of(moment.end)}
    return [(operator, ends[end]) for operator, end in _OPERATORS[prefix]]


def _bare(value: str, *systems: str) -> str:
    """Returns a token's code; "" for one of another system."""
    system, _, code = value.rpartition("|")
    return code if system in systems else ""


def _actions(code: str, values: list[str]) -> tuple[str, ...]:
    """Returns the audit's words for `action=R`, `subtype=read` or `type=rest`."""
    bare = [_bare(value, "", _SYSTEMS[code]) for value in values]
    if code == "type":
        return tuple(_ACTIONS) if "rest" in bare else ("",)
    place = 0 if code == "action" else 1
    return tuple(word for word, names in _ACTIONS.items() if names[place] in bare) or ("",)


async def search_audit(
    connection: Connection, caller: Caller, query: Query, mark: list[Any] | None
) -> tuple[list[Resource], list[Any] | None, int | None]:
    """Returns a page of AuditEvents, the mark of the next page, and the total if
    it is asked for.
    """
    criteria = audit_filter(caller, query)
    total = None
    if query.total or query.count == 0 or query.summary == "count":
        total = await count_audit_rows(connection, criteria)
    if query.count == 0 or query.summary == "count":
        return [], None, total
    before = (mark[0], mark[1]) if mark else None
    rows = await select_audit_rows(connection, criteria, before, query.count + 1)
    page = rows[: query.count]
    following = [page[-1].recorded_at, page[-1].id] if len(rows) > query.count else None
    return [resource_of(_known_to(criteria.own, row)) for row in page], following, total


async def read_audit_event(connection: Connection, caller: Caller, id: str) -> Resource:
    """Returns one AuditEvent; raises NotFound for another patient's."""
    access = caller.require("AuditEvent", "r")
    own = None if access.is_unrestricted else access.only_patient_id
    if access.has_parameters or not is_event_id(id):
        raise NotFound("not_found")
    rows = await select_audit_rows(connection, AuditFilter(ids=[int(id)], own=own), None, 1)
    if not rows:
        raise NotFound("not_found")
    return resource_of(_known_to(own, rows[0]))


def _known_to(own: str | None, row: AuditRow) -> AuditRow:
    """Returns what a caller with one patient's record may know of an entry: neither what a search
    asked for, which may name others, nor whom else it found. All others may know all of it.
    """
    if own is None:
        return row
    if row.patient_id == own:
        return replace(row, query=None)
    return replace(row, patient_id=own, resource_id=None, returned_ids=None, query=None)


def resource_of(row: AuditRow) -> Resource:
    action, interaction = _ACTIONS[row.action]
    return {
        "resourceType": "AuditEvent",
        "id": str(row.id),
        "meta": {"versionId": "1", "lastUpdated": format_instant(row.recorded_at)},
        "type": _TYPE,
        "subtype": [{"system": _INTERACTIONS, "code": interaction}],
        "action": action,
        "recorded": format_instant(row.recorded_at),
        "outcome": "0",
        "agent": [
            {
                "who": {"identifier": {"system": USER_SYSTEM, "value": row.actor_id}},
                "requestor": True,
            },
            {
                "who": {"identifier": {"system": CLIENT_SYSTEM, "value": row.client_id}},
                "requestor": False,
            },
        ],
        "source": {"observer": {"display": "patient-management"}},
        "entity": _entities(row),
    }


def _entities(row: AuditRow) -> list[Resource]:
    entities: list[Resource] = []
    if row.resource_id is not None:
        reference = f"{row.resource_type}/{row.resource_id}"
        if row.version_id is not None:
            reference += f"/_history/{row.version_id}"
        entities.append({"what": {"reference": reference}})
    for id in row.returned_ids or ():
        entities.append({"what": {"reference": id if "/" in id else f"{row.resource_type}/{id}"}})
    patient = f"Patient/{row.patient_id}"
    if row.patient_id and not any(
        f"{item['what']['reference']}/".startswith(f"{patient}/") for item in entities
    ):
        entities.append(
            {
                "what": {"reference": patient},
                "role": {
                    "system": "http://terminology.hl7.org/CodeSystem/object-role",
                    "code": "1",
                    "display": "Patient",
                },
            }
        )
    if row.query is not None:
        text = f"{row.resource_type}?{row.query}"
        entities.append({"query": base64.b64encode(text.encode()).decode()})
    return entities or [{"name": f"request {row.request_id}"}]
