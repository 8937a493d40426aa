"""`/api/patients`: the seed's simple resource, a view over the same record as
`/fhir/R4/Patient`.
"""

import re
from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.kit.errors import BadRequest, Gone, NotFound
from apps.kit.idempotency import read_claim
from apps.kit.scopes import Disclosure
from apps.kit.web import Operation, PolicedRoute, read_json, smart
from apps.patient.codec import Resource, decode
from apps.patient.fhir.requests import (
    caller_of,
    path_id,
    read_audit_of,
    read_expected,
    record_of,
)
from apps.patient.fhir.responses import version_headers
from apps.patient.registration import merge, parse_registration, patient_of
from apps.patient.search.criteria.criteria import AllOf
from apps.patient.search.criteria.query import DEFAULT_COUNT, MAX_COUNT
from apps.patient.storage.access import Caller
from apps.patient.storage.outcomes import Outcome
from apps.patient.storage.preconditions import gone
from apps.patient.storage.read_audit import ReadEntry, entry_of
from apps.patient.storage.reading import read_patient_list, read_patient_view, select_current
from apps.patient.storage.record import Update
from apps.patient.storage.search import Mark, read_page
from apps.patient.storage.summaries import PatientSummary, summary_of
from apps.patient.storage.versions import Version, view_of


def patients_api_routes() -> list[BaseRoute]:
    return [
        PolicedRoute(
            "/api/patients",
            Operation("GET", list_patients, smart("s", "Patient")),
            Operation("POST", create_patient, smart("c", "Patient")),
        ),
        PolicedRoute(
            "/api/patients/{id}",
            Operation("GET", get_patient, smart("r", "Patient")),
            Operation("PUT", put_patient, smart("u", "Patient")),
            Operation("DELETE", delete_patient, smart("d", "Patient")),
        ),
    ]


async def list_patients(request: Request) -> Response:
    """Answers a bare array; `limit` (1..100) and `cursor`, which `Link: rel="next"` carries."""
    query = request.query_params
    for name in query:
        if name not in ("limit", "cursor") or len(query.getlist(name)) > 1:
            raise BadRequest(
                "invalid_parameter", "limit and cursor are served, once each", pointer=name
            )
    limit_text = query.get("limit", str(DEFAULT_COUNT))
    if not re.fullmatch("[0-9]{1,3}", limit_text) or not 1 <= int(limit_text) <= MAX_COUNT:
        raise BadRequest("invalid_limit", f"limit must be from 1 to {MAX_COUNT}", pointer="limit")
    await request.state.backfill.check()
    limit = int(limit_text)
    cursor = query.get("cursor")
    after = read_cursor(request, cursor) if cursor else 0
    caller = caller_of(request)
    if caller.require("Patient", "s").is_unrestricted and _reads_all(caller):
        rows, more = await read_patient_list(
            read_audit_of(request), caller.author, after=after, limit=limit
        )
    else:
        rows, more = await _restricted_list(request, caller, after, limit)
    headers = {}
    if more:
        following = request.state.cursors.make("/api/patients", [rows[-1][0]])
        headers["Link"] = f'</api/patients?limit={limit}&cursor={following}>; rel="next"'
    return json_response(f"[{','.join(text for _, text in rows)}]", headers=headers)


def read_cursor(request: Request, text: str) -> int:
    number: int
    [number] = request.state.cursors.read("/api/patients", text)
    return number


def _reads_all(caller: Caller) -> bool:
    access = caller.require("Patient", "r")
    return access.is_unrestricted


async def _restricted_list(
    request: Request, caller: Caller, after: int, limit: int
) -> tuple[list[tuple[int, str]], bool]:
    """Returns the page for a caller whose scopes reach some patients only."""
    caller.require("Patient", "r")
    read_audit = read_audit_of(request)
    mark = Mark(type_index=0, leader_index=-1, walk_index=0, position=None, number=after)
    reached = (caller.criterion("Patient", "s"), caller.criterion("Patient", "r"))
    criteria = [("Patient", AllOf(criteria=reached))]
    async with read_audit.database.connection() as connection:
        place = mark if after else None
        found, more = await read_page(connection, criteria, None, place, limit, scans=caller.scans)
    ids = [item.version.id for item in found]
    await read_audit.record(
        ReadEntry("search", caller.author, "Patient", returned_ids=ids, patient_ids=ids)
    )
    return [(item.number, view_text(item.version)) for item in found], more is not None


async def create_patient(request: Request) -> Response:
    today = datetime.now(UTC).date()
    registration = parse_registration(await read_json(request), complete=True, today=today)
    outcome = await record_of(request).create(
        patient_of(registration, today),
        caller_of(request),
        claim=read_claim(request, await request.body()),
    )
    headers = version_headers(outcome.version)
    headers["Location"] = f"/api/patients/{outcome.version.id}"
    if outcome.replayed:
        headers["Idempotency-Replayed"] = "true"
    return told(outcome, 201, headers)


async def get_patient(request: Request) -> Response:
    id, caller = path_id(request), caller_of(request)
    await request.state.backfill.carry_over_one("Patient", id)
    if _reads_all(caller):
        found = await read_patient_view(read_audit_of(request), id, caller.author)
        if found is None:
            raise NotFound("not_found")
        text, version_id = found
        etag = {"ETag": f'W/"{version_id}"'}
        if text is None:
            raise Gone("deleted", headers=etag)
        return json_response(text, headers=etag)
    async with record_of(request).database.connection() as connection:
        version = await select_current(connection, "Patient", id)
    if version is None or caller.disclosure_of(version, "r") is not Disclosure.BODY:
        raise NotFound("not_found")
    if version.body is None:
        raise gone(version)
    await read_audit_of(request).record(entry_of("read", caller.author, version))
    return json_response(view_text(version), headers={"ETag": version.etag})


async def put_patient(request: Request) -> Response:
    registration = parse_registration(
        await read_json(request), complete=False, today=datetime.now(UTC).date()
    )

    def merged(current: Version) -> Resource:
        return merge(resource_of(current), registration)

    id = path_id(request)
    await request.state.backfill.carry_over_one("Patient", id)
    update = Update(
        resource_type="Patient",
        id=id,
        make=merged,
        caller=caller_of(request),
        expected=read_expected(request),
    )
    outcome = await record_of(request).update(update)
    return told(outcome, 200, version_headers(outcome.version))


async def delete_patient(request: Request) -> Response:
    id = path_id(request)
    await request.state.backfill.carry_over_one("Patient", id)
    await record_of(request).delete("Patient", id, caller_of(request), read_expected(request))
    return Response(status_code=204)


def told(outcome: Outcome, status: int, headers: dict[str, str]) -> Response:
    """Returns the patient to who may read it, and its place alone to who may only write."""
    if outcome.disclosure is not Disclosure.BODY:
        return Response(status_code=status, headers=headers)
    return json_response(view_text(outcome.version), status, headers)


def json_response(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(text, status, headers=headers, media_type="application/json")


def resource_of(version: Version) -> Resource:
    assert version.body is not None
    resource: Resource = decode(version.body)
    return resource


def view_text(version: Version) -> str:
    """Returns the resource of /api/patients as JSON."""
    summary = summary_of(resource_of(version))
    assert isinstance(summary, PatientSummary)
    return msgspec.json.encode(view_of(version.id, summary)).decode()
