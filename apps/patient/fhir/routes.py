"""`/fhir/R4`: the record as FHIR R4 (https://hl7.org/fhir/R4/http.html)."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.kit.errors import (
    BadRequest,
    Gone,
    NotFound,
    NotImplementedYet,
    Unprocessable,
    UnsupportedMediaType,
)
from apps.kit.idempotency import read_claim
from apps.kit.operation_outcomes import FHIR_PATH
from apps.kit.scopes import Principal
from apps.kit.web import PUBLIC, Operation, PolicedRoute, Policy, principal_of, smart
from apps.patient.codec import FHIR_MEDIA_TYPE, Resource, decode, encode, read_fhir_body
from apps.patient.definitions.schema import RESOURCE_TYPES
from apps.patient.definitions.validation import find_faults
from apps.patient.fhir.bundles import parse_bundle, parse_condition, response_of, write_bundle
from apps.patient.fhir.capabilities import capability_statement
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
from apps.patient.operations.validate import validate_routes
from apps.patient.search.search_parameters import (
    DEFAULT_COUNT,
    make_cursor,
    parse_count,
    parse_criteria,
)
from apps.patient.storage.reading import read_current, read_versions
from apps.patient.storage.record import check_found
from apps.patient.storage.search import count_matches, search
from apps.patient.storage.versions import Version, format_instant


def _may_create_any(principal: Principal, request: Request) -> bool:
    return any(principal.access_to(name, "c") for name in RESOURCE_TYPES)


# Each entry needs its own type's scope, which is checked when it is read.
ANY_CREATE = Policy("*.c", _may_create_any)


def fhir_routes(max_bundle_bytes: int) -> list[BaseRoute]:
    one, history = FHIR_PATH + "/{type}/{id}", FHIR_PATH + "/{type}/{id}/_history"
    return [
        PolicedRoute(
            FHIR_PATH, Operation("POST", transaction, ANY_CREATE), max_body_bytes=max_bundle_bytes
        ),
        PolicedRoute(FHIR_PATH + "/metadata", Operation("GET", metadata, PUBLIC)),
        PolicedRoute(
            FHIR_PATH + "/Patient/{id}/$everything",
            Operation("GET", everything, smart("r", "Patient")),
        ),
        *validate_routes(),
        PolicedRoute(FHIR_PATH + "/{type}/_search", Operation("POST", search_by_form, smart("s"))),
        PolicedRoute(
            FHIR_PATH + "/{type}",
            Operation("GET", search_type, smart("s")),
            Operation("POST", create, smart("c")),
        ),
        PolicedRoute(
            one,
            Operation("GET", read, smart("r")),
            Operation("PUT", update, smart("u")),
            Operation("DELETE", delete, smart("d")),
        ),
        PolicedRoute(history, Operation("GET", list_versions, smart("r"))),
        PolicedRoute(history + "/{vid}", Operation("GET", read_version, smart("r"))),
    ]


class FhirResponse(Response):
    media_type = FHIR_MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return content.encode() if isinstance(content, str) else encode(content)


def type_of(request: Request) -> str:
    name: str = request.path_params["type"]
    if name not in RESOURCE_TYPES:
        raise NotFound("type_not_served", f"served are {', '.join(RESOURCE_TYPES)}")
    return name


def base_of(request: Request) -> str:
    public_url: str = request.state.settings.public_url
    return public_url + FHIR_PATH


def answer(version: Version, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return FhirResponse(version.body, status, headers=headers or version_headers(version))


async def read_resource(request: Request, resource_type: str) -> tuple[Resource, bytes]:
    body = await read_fhir_body(request)
    resource = decode(body)
    faults = find_faults(resource, resource_type)
    if faults:
        raise Unprocessable("invalid_resource", faults=faults)
    return resource, body


async def metadata(request: Request) -> Response:
    return FhirResponse(capability_statement(base_of(request)))


async def everything(request: Request) -> Response:
    raise NotImplementedYet(
        "not_implemented", "$everything is not served yet; search each type by patient"
    )


async def transaction(request: Request) -> Response:
    body = await read_fhir_body(request)
    entries = await parse_bundle(
        decode(body), principal_of(request), request.state.settings.max_bundle_entries
    )
    outcomes = await write_bundle(
        record_of(request), entries, author_of(request), read_claim(request, body)
    )
    headers = {"Idempotency-Replayed": "true"} if outcomes[0].replayed else None
    return FhirResponse(response_of(outcomes, base_of(request)), headers=headers)


async def create(request: Request) -> Response:
    resource_type = type_of(request)
    resource, body = await read_resource(request, resource_type)
    outcome = await record_of(request).create(
        resource,
        author_of(request),
        restriction_of(request, resource_type, "c"),
        claim=read_claim(request, body, "if-none-exist"),
        condition=parse_condition(
            resource_type, request.headers.get("if-none-exist"), "If-None-Exist"
        ),
    )
    headers = outcome_headers(outcome, f"{base_of(request)}/{outcome.version.reference}")
    return answer(outcome.version, 201 if outcome.created else 200, headers)


async def read(request: Request) -> Response:
    resource_type = type_of(request)
    restrict_to_patient_id = restriction_of(request, resource_type, "r")
    version = await read_current(
        read_audit_of(request),
        resource_type,
        path_id(request),
        author_of(request),
        restrict_to_patient_id,
    )
    check_found(version, restrict_to_patient_id)
    assert version is not None
    return answer(version)


async def update(request: Request) -> Response:
    resource_type, id = type_of(request), path_id(request)
    resource, _ = await read_resource(request, resource_type)
    if resource.get("id") != id:
        raise Unprocessable(
            "id_differs", "the resource's id must be the one of the path", pointer="/id"
        )
    version = await record_of(request).replace(
        resource_type,
        id,
        lambda current: resource,
        author_of(request),
        restriction_of(request, resource_type, "u"),
        read_if_match(request),
    )
    return answer(version)


async def delete(request: Request) -> Response:
    resource_type = type_of(request)
    await record_of(request).delete(
        resource_type,
        path_id(request),
        author_of(request),
        restriction_of(request, resource_type, "d"),
        read_if_match(request),
    )
    return Response(status_code=204)


async def read_version(request: Request) -> Response:
    resource_type, vid = type_of(request), request.path_params["vid"]
    if not vid.isascii() or not vid.isdigit() or len(vid) > 18:
        raise NotFound("not_found")
    restrict_to_patient_id = restriction_of(request, resource_type, "r")
    versions, _ = await read_versions(
        read_audit_of(request),
        resource_type,
        path_id(request),
        author_of(request),
        restrict_to_patient_id,
        only=int(vid),
        limit=1,
    )
    if not versions:
        raise NotFound("not_found")
    if versions[0].body is None:
        raise Gone("deleted")
    return answer(versions[0])


async def list_versions(request: Request) -> Response:
    resource_type, id = type_of(request), path_id(request)
    count, below = DEFAULT_COUNT, None
    for name, value in request.query_params.multi_items():
        if name == "_count":
            count = max(parse_count(value), 1)
        elif name == "_cursor" and value.isascii() and value.isdigit() and len(value) <= 18:
            below = int(value)
        else:
            raise BadRequest("parameter_not_served", f"{name} is not served here", pointer=name)
    restrict_to_patient_id = restriction_of(request, resource_type, "r")
    page, more = await read_versions(
        read_audit_of(request),
        resource_type,
        id,
        author_of(request),
        restrict_to_patient_id,
        below=below,
        limit=count,
    )
    if not page:
        raise NotFound("not_found")
    base = base_of(request)
    links = {"self": str(request.url.query)}
    if more:
        links["next"] = urlencode({"_count": count, "_cursor": page[-1].version_id})
    return FhirResponse(
        {
            "resourceType": "Bundle",
            "type": "history",
            "link": _links(f"{base}/{resource_type}/{id}/_history", links),
            "entry": [_history_entry(version, base) for version in page],
        }
    )


def _history_entry(version: Version, base: str) -> Resource:
    url = (
        f"{version.resource_type}/{version.id}"
        if version.method != "POST"
        else version.resource_type
    )
    status = {"POST": "201", "PUT": "200", "DELETE": "204"}[version.method]
    entry: Resource = {
        "fullUrl": f"{base}/{version.resource_type}/{version.id}",
        "request": {"method": version.method, "url": url},
        "response": {
            "status": status,
            "etag": version.etag,
            "lastModified": format_instant(version.recorded_at),
        },
    }
    if version.body is not None:
        entry["resource"] = msgspec.Raw(version.body.encode())
    return entry


async def search_type(request: Request) -> Response:
    return await _search(request, request.query_params.multi_items())


async def search_by_form(request: Request) -> Response:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType(
            "unsupported_media_type", "expected application/x-www-form-urlencoded"
        )
    try:
        form = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, max_num_fields=100
        )
    except ValueError:
        raise BadRequest("malformed_form", "expected a form in UTF-8") from None
    return await _search(request, [*request.query_params.multi_items(), *form])


async def _search(request: Request, parameters: list[tuple[str, str]]) -> Response:
    resource_type = type_of(request)
    restrict_to_patient_id = restriction_of(request, resource_type, "s")
    criteria = parse_criteria(resource_type, parameters)
    query = urlencode(parameters)
    total = None
    if criteria.total:
        async with record_of(request).database.connection() as connection:
            total = await count_matches(connection, resource_type, criteria, restrict_to_patient_id)
    page, more = await search(
        read_audit_of(request),
        resource_type,
        criteria,
        query,
        author_of(request),
        restrict_to_patient_id,
    )
    base = base_of(request)
    links = {"self": query}
    if more and page:
        rest = [item for item in parameters if item[0] != "_cursor"]
        links["next"] = urlencode([*rest, ("_cursor", make_cursor(page[-1].id))])
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "link": _links(f"{base}/{resource_type}", links),
    }
    if total is not None:
        bundle["total"] = total
    if page:
        bundle["entry"] = [
            {
                "fullUrl": f"{base}/{version.resource_type}/{version.id}",
                "resource": msgspec.Raw((version.body or "").encode()),
                "search": {"mode": "match"},
            }
            for version in page
        ]
    return FhirResponse(bundle)


def _links(url: str, queries: dict[str, str]) -> list[Resource]:
    return [
        {"relation": relation, "url": f"{url}?{query}" if query else url}
        for relation, query in queries.items()
    ]
