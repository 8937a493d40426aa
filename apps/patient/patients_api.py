"""`/api/patients`: the seed's simple resource, a view over the same record as `/fhir/R4/Patient`."""

import re
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.kit.errors import BadRequest, Gone, NotFound
from apps.kit.idempotency import read_claim
from apps.kit.web import JSONResponse, Operation, PolicedRoute, read_json, smart
from apps.patient.codec import Resource, decode
from apps.patient.fhir.responses import (
    author_of,
    outcome_headers,
    path_id,
    read_audit_of,
    read_if_match,
    record_of,
    restriction_of,
    version_headers,
)
from apps.patient.registration import merge, parse_registration, patient_of
from apps.patient.search.index_columns import display_name, first_address, first_email
from apps.patient.search.search_parameters import (
    DEFAULT_COUNT,
    MAX_COUNT,
    make_cursor,
    parse_cursor,
)
from apps.patient.storage.reading import PatientView, read_patient_list, read_patient_view
from apps.patient.storage.versions import Version


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
    """A bare array; `limit` (1..100) and `cursor`, which `Link: rel="next"` carries."""
    query = request.query_params
    for name in query:
        if name not in ("limit", "cursor") or len(query.getlist(name)) > 1:
            raise BadRequest(
                "invalid_parameter", "limit and cursor are served, once each", pointer=name
            )
    limit_text = query.get("limit", str(DEFAULT_COUNT))
    if not re.fullmatch("[0-9]{1,3}", limit_text) or not 1 <= int(limit_text) <= MAX_COUNT:
        raise BadRequest("invalid_limit", f"limit must be from 1 to {MAX_COUNT}", pointer="limit")
    limit, cursor = int(limit_text), query.get("cursor")
    after = parse_cursor(cursor) if cursor else ""
    restrict_to_patient_id = restriction_of(request, "Patient", "s")
    page, more = await read_patient_list(
        read_audit_of(request), author_of(request), restrict_to_patient_id, after=after, limit=limit
    )
    headers = {}
    if more:
        headers["Link"] = (
            f'</api/patients?limit={limit}&cursor={make_cursor(page[-1].id)}>; rel="next"'
        )
    return JSONResponse(page, headers=headers)


async def create_patient(request: Request) -> Response:
    today = datetime.now(UTC).date()
    registration = parse_registration(await read_json(request), complete=True, today=today)
    outcome = await record_of(request).create(
        patient_of(registration, today),
        author_of(request),
        restriction_of(request, "Patient", "c"),
        claim=read_claim(request, await request.body()),
    )
    headers = outcome_headers(outcome, f"/api/patients/{outcome.version.id}")
    return JSONResponse(view_of(outcome.version), 201, headers=headers)


async def get_patient(request: Request) -> Response:
    restrict_to_patient_id = restriction_of(request, "Patient", "r")
    found = await read_patient_view(
        read_audit_of(request), path_id(request), author_of(request), restrict_to_patient_id
    )
    if found is None:
        raise NotFound("not_found")
    view, version_id, deleted = found
    etag = {"ETag": f'W/"{version_id}"'}
    if deleted:
        raise Gone("deleted", headers=etag)
    return JSONResponse(view, headers=etag)


async def put_patient(request: Request) -> Response:
    registration = parse_registration(
        await read_json(request), complete=False, today=datetime.now(UTC).date()
    )

    def merged(current: Version) -> Resource:
        return merge(resource_of(current), registration)

    version = await record_of(request).replace(
        "Patient",
        path_id(request),
        merged,
        author_of(request),
        restriction_of(request, "Patient", "u"),
        read_if_match(request),
    )
    return JSONResponse(view_of(version), headers=version_headers(version))


async def delete_patient(request: Request) -> Response:
    await record_of(request).delete(
        "Patient",
        path_id(request),
        author_of(request),
        restriction_of(request, "Patient", "d"),
        read_if_match(request),
    )
    return Response(status_code=204)


def resource_of(version: Version) -> Resource:
    assert version.body is not None
    resource: Resource = decode(version.body)
    return resource


def view_of(version: Version) -> PatientView:
    patient = resource_of(version)
    return PatientView(
        version.id,
        display_name(patient),
        first_address(patient),
        first_email(patient),
        patient.get("birthDate"),
    )
