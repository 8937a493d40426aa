"""One entry of a chart with its history: every version, who made it, and what changed from
one to the next.
"""

import asyncio
import base64
import binascii
from itertools import pairwise
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import FHIR, Api, load_all
from apps.console.neighbours.names import agents_of, find_names
from apps.console.screens.chart import load_banner
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.console.web.words import TYPES
from apps.kit.errors import Forbidden, NotFound
from apps.kit.web import AUTHENTICATED, Operation

VERSIONS = 50


async def find_versions(api: Api, resource_type: str, entry_id: str) -> list[dict[str, Any]]:
    """Gives the versions, newest first: number, time, what was done, and the differences from
    the one before.
    """
    bundle = (
        await api.get(f"{FHIR}/{resource_type}/{entry_id}/_history", {"_count": str(VERSIONS)})
    ).body
    found: list[dict[str, Any]] = []
    for entry in fhir.as_list(fhir.as_dict(bundle).get("entry")):
        resource = fhir.as_dict(entry.get("resource"))
        meta = fhir.as_dict(resource.get("meta"))
        response = fhir.as_dict(entry.get("response"))
        found.append(
            {
                "number": str(meta.get("versionId", "")),
                "at": str(meta.get("lastUpdated") or response.get("lastModified", "")),
                "method": str(fhir.as_dict(entry.get("request")).get("method", "")),
                "resource": resource,
                "changes": [],
            }
        )
    for newer, older in pairwise(found):
        if newer["resource"] and older["resource"]:
            newer["changes"] = fhir.differences(older["resource"], newer["resource"])
    return found


async def find_authors(api: Api, resource_type: str, entry_id: str) -> dict[str, str]:
    """Gives who made each version, by its number, from the audit."""
    bundle = await api.search(
        "AuditEvent",
        {"entity": f"{resource_type}/{entry_id}", "action": "C,U,D", "_count": str(2 * VERSIONS)},
    )
    found: dict[str, str] = {}
    for event in fhir.entries(bundle):
        if event.get("action") not in ("C", "U", "D"):
            continue
        who = agents_of(event)[0]
        for entity in fhir.as_list(event.get("entity")):
            reference = str(fhir.as_dict(entity.get("what")).get("reference", ""))
            if reference.startswith(f"{resource_type}/{entry_id}/_history/"):
                found[reference.rpartition("/")[2]] = who
    names = await find_names(api, found.values())
    return {version: names.get(who, "") for version, who in found.items()}


async def read_own(request: Request) -> Any:
    """Reads the entry of the path; raises where it is another patient's."""
    answer = await person_of(request).api.read(
        request.path_params["type"], request.path_params["entry"]
    )
    subject = answer.body.get("subject") or answer.body.get("patient")
    if fhir.id_of(subject, "Patient") != request.path_params["id"]:
        raise NotFound("not_found")
    return answer


async def show(request: Request) -> Response:
    """Shows an entry and its versions."""
    person = person_of(request)
    resource_type, entry_id = request.path_params["type"], request.path_params["entry"]
    if resource_type not in TYPES:
        raise NotFound("not_found")
    if not person.may(resource_type, "r"):
        raise Forbidden()
    read = person.api.read(resource_type, entry_id)
    banner, answer = await asyncio.gather(load_banner(request), read)
    entry = answer.body
    subject = entry.get("subject") or entry.get("patient") or entry.get("beneficiary")
    if fhir.id_of(subject, "Patient") != request.path_params["id"]:
        raise NotFound("not_found")
    parts = await load_all(
        versions=find_versions(person.api, resource_type, entry_id),
        authors=find_authors(person.api, resource_type, entry_id),
    )
    return page(
        request,
        "chart/entry.html",
        **banner,
        entry=entry,
        version=answer.version,
        versions=parts["versions"],
        authors=parts["authors"].value or {},
        note=note_text(entry),
        facts=[pair for pair in fhir.flatten(entry) if is_fact(pair[0])],
    )


def is_fact(path: str) -> bool:
    """Tells whether a leaf of the resource says something to a reader: not what the server
    keeps beside it.
    """
    return not path.startswith(("meta", "text", "resourceType", "id", "subject", "content"))


def note_text(entry: dict[str, Any]) -> str:
    """Gives the text of a note that is kept in the document itself."""
    for content in fhir.as_list(entry.get("content")):
        attachment = fhir.as_dict(content.get("attachment"))
        if str(attachment.get("contentType", "")).startswith("text/plain") and attachment.get(
            "data"
        ):
            try:
                return base64.b64decode(str(attachment["data"])).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                return ""
    return ""


def routes() -> list[BaseRoute]:
    """Gives the screen's routes. Which type it is, the page itself checks."""
    return [
        ScreenRoute("/patients/{id}/entries/{type}/{entry}", Operation("GET", show, AUTHENTICATED))
    ]
