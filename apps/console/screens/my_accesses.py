"""Who opened or changed a patient's record: the audit (AuditEvent) in plain words,
for the patient.
"""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api, load
from apps.console.neighbours.names import agents_of, find_names
from apps.console.screens.my import OWN, own_id
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.console.web.texts import Texts
from apps.kit.texts import N_
from apps.kit.web import Operation

# A search finds a part of the record, a read opens it: to its patient both are the same.
ACTIONS = {
    "C": N_("Written"),
    "R": N_("Opened"),
    "E": N_("Opened"),
    "U": N_("Changed"),
    "D": N_("Deleted"),
}
PAGE_EVENTS = 100


@dataclass(slots=True)
class Access:
    """What somebody did within one minute. `types`: the FHIR types that it was done with."""

    at: str
    action: str
    who: str
    application: str
    types: list[str]


def group_events(events: list[dict[str, Any]], texts: Texts) -> list[Access]:
    """Gives the events, newest first; those of one person, kind and minute are one: a page
    makes many calls.
    """
    found: dict[tuple[str, str, str], Access] = {}
    for event in events:
        who, application = agents_of(event)
        at = str(event.get("recorded", ""))
        action = ACTIONS.get(str(event.get("action", "")), "")
        access = found.setdefault(
            (texts.datetime(at), action, who), Access(at, action, who, application, [])
        )
        for entity in fhir.as_list(event.get("entity")):
            reference = str(fhir.as_dict(entity.get("what")).get("reference", ""))
            kind = reference.partition("/")[0]
            if kind and kind not in access.types:
                access.types.append(kind)
    return list(found.values())


async def find_events(
    api: Api, patient_id: str, *, cursor: str, without: str
) -> tuple[list[dict[str, Any]], str]:
    """Gives a page of events, newest first, without those of one person; and the next
    page's cursor.
    """
    query = [("patient", patient_id), ("_count", str(PAGE_EVENTS))]
    if without:
        query.append(("agent:not", without))
    if cursor:
        query.append(("_cursor", cursor))
    bundle = await api.search("AuditEvent", query)
    return fhir.entries(bundle), dict(fhir.next_query(bundle)).get("_cursor", "")


async def show(request: Request) -> Response:
    """Shows who opened the record; the own looks where they are asked for."""
    person, query = person_of(request), request.query_params
    own = person.principal.subject
    with_own = bool(query.get("own"))
    part = await load(
        find_events(
            person.api,
            own_id(person),
            cursor=query.get("cursor", ""),
            without="" if with_own else own,
        )
    )
    events, older = part.value or ([], "")
    found = group_events(events, person.texts)
    ids = {each.who for each in found} | {each.application for each in found}
    return page(
        request,
        "my/accesses.html",
        part=part,
        found=found,
        names=await find_names(person.api, ids) if found else {},
        own=own,
        with_own=with_own,
        older=older,
    )


def routes() -> list[BaseRoute]:
    """Gives the screen's route."""
    return [ScreenRoute("/my/accesses", Operation("GET", show, OWN))]
