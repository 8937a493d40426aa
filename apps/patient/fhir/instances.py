"""Reads and changes of one resource, by its id or by search criteria
(https://hl7.org/fhir/R4/http.html).
"""

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.errors import BadRequest, FieldError, NotFound, PreconditionFailed
from apps.kit.idempotency import read_claim
from apps.kit.scopes import Disclosure
from apps.patient.codec import Resource, decode
from apps.patient.fhir.audit_search import read_audit_event
from apps.patient.fhir.patching import read_patch
from apps.patient.fhir.requests import (
    caller_of,
    condition_of,
    condition_of_pairs,
    is_unchanged,
    path_id,
    path_version,
    preferences_of,
    read_audit_of,
    read_expected,
    read_resource,
    record_of,
    type_of,
    without_presentation,
)
from apps.patient.fhir.responses import (
    information,
    respond,
    respond_outcome,
    respond_version,
    version_headers,
)
from apps.patient.fhir.subsets import SUBSETS, subset
from apps.patient.search.reading.reader import Reader
from apps.patient.storage.access import Caller
from apps.patient.storage.conditional import (
    delete_matches,
    update_match,
)
from apps.patient.storage.preconditions import Condition, gone
from apps.patient.storage.reading import read_one, select_current, select_version
from apps.patient.storage.record import Make, Update
from apps.patient.storage.versions import Version


async def create(request: Request) -> Response:
    resource_type = type_of(request)
    resource, body = await read_resource(request, resource_type)
    caller = caller_of(request)
    outcome = await record_of(request).create(
        resource,
        caller,
        claim=read_claim(request, body, "if-none-exist"),
        condition=creation_condition(request, caller.reader, resource_type),
    )
    return respond_outcome(request, outcome)


def creation_condition(request: Request, reader: Reader, resource_type: str) -> Condition | None:
    """Returns the condition of `If-None-Exist` or, without that header, of the URL's query.

    R4 has the header alone. Some clients (fhirpy) send the criteria in the URL: to skip them would
    create what is there already.
    """
    header = request.headers.get("if-none-exist")
    if header is not None:
        return condition_of(reader, resource_type, header, "If-None-Exist")
    pairs = without_presentation(request.query_params.multi_items())
    return condition_of_pairs(reader, resource_type, pairs, "url") if pairs else None


async def read(request: Request) -> Response:
    resource_type, id = type_of(request), path_id(request)
    if resource_type == "AuditEvent":
        async with record_of(request).database.connection() as connection:
            event = await read_audit_event(connection, caller_of(request), id)
        return respond(request, part_of(request, event))
    async with record_of(request).database.connection() as connection:
        version = await select_current(connection, resource_type, id)
        caller = caller_of(request)
        if version is not None:
            await caller.load_referred(connection, resource_type)
    return await give(request, caller, version)


async def read_version(request: Request) -> Response:
    resource_type, id, version_id = type_of(request), path_id(request), path_version(request)
    async with record_of(request).database.connection() as connection:
        version = await select_version(connection, resource_type, id, version_id)
        caller = caller_of(request)
        if version is not None:
            await caller.load_referred(connection, resource_type)
    return await give(request, caller, version)


async def give(request: Request, caller: Caller, version: Version | None) -> Response:
    """Returns a version to its reader, once the read is recorded."""
    if version is None or caller.disclosure_of(version, "r") is not Disclosure.BODY:
        raise NotFound("not_found")
    if version.body is None:
        raise gone(version)
    part: Resource | None = None
    if request.scope["query_string"]:
        # First: a parameter that is wrong is refused whatever the client has already.
        part = part_of(request, decode(version.body))
    if is_unchanged(request, version):
        return Response(status_code=304, headers=version_headers(version))
    await read_one(read_audit_of(request), version, caller.author)
    return respond_version(request, version, part)


def part_of(request: Request, resource: Resource) -> Resource:
    """Returns what `_summary` and `_elements` leave of a resource that is read."""
    pairs = [pair for pair in request.query_params.multi_items() if pair[0] in SUBSETS]
    query = caller_of(request).reader.read((resource["resourceType"],), pairs)
    if query.summary == "count":
        raise BadRequest("invalid_parameter", "_summary: count is for searches", pointer="_summary")
    if not query.elements and query.summary == "false":
        return resource
    return subset(resource, query.elements, query.summary)


async def update(request: Request) -> Response:
    resource_type, id = type_of(request), path_id(request)
    resource, _ = await read_resource(request, resource_type)
    check_same_id(resource, id)
    update = Update(
        resource_type=resource_type,
        id=id,
        make=resource,
        caller=caller_of(request),
        expected=read_expected(request),
    )
    return respond_outcome(request, await record_of(request).update(update))


def check_same_id(resource: Resource, id: str) -> None:
    if resource.get("id") != id:
        message = "the resource's id must be the one of the URL"
        raise BadRequest("id_differs", message, faults=(FieldError("value", message, "/id"),))


async def update_by_search(request: Request) -> Response:
    """Changes the one match of a PUT with search criteria, or creates
    (https://hl7.org/fhir/R4/http.html#cond-update).
    """
    resource_type = type_of(request)
    resource, _ = await read_resource(request, resource_type)
    caller = caller_of(request)
    outcome = await update_match(
        record_of(request),
        url_condition(request, caller, resource_type),
        resource,
        caller,
        read_expected(request),
    )
    return respond_outcome(request, outcome)


def url_condition(request: Request, caller: Caller, resource_type: str) -> Condition:
    pairs = without_presentation(request.query_params.multi_items())
    return condition_of_pairs(caller.reader, resource_type, pairs, "query")


async def patch(request: Request) -> Response:
    resource_type, id = type_of(request), path_id(request)
    update = Update(
        resource_type=resource_type,
        id=id,
        make=await read_patch(request, resource_type),
        caller=caller_of(request),
        expected=read_expected(request),
        method="PATCH",
    )
    return respond_outcome(request, await record_of(request).update(update))


async def patch_by_search(request: Request) -> Response:
    resource_type = type_of(request)
    make: Make = await read_patch(request, resource_type)
    caller = caller_of(request)
    outcome = await update_match(
        record_of(request),
        url_condition(request, caller, resource_type),
        make,
        caller,
        read_expected(request),
        method="PATCH",
    )
    return respond_outcome(request, outcome)


async def delete(request: Request) -> Response:
    resource_type = type_of(request)
    version = await record_of(request).delete(
        resource_type, path_id(request), caller_of(request), read_expected(request)
    )
    return respond_deletion(request, [version] if version else [])


async def delete_by_search(request: Request) -> Response:
    """Deletes the one match of the search criteria; with several 412
    (`conditionalDelete: single`).
    """
    resource_type = type_of(request)
    caller = caller_of(request)
    condition = url_condition(request, caller, resource_type)
    try:
        deleted = await delete_matches(record_of(request), condition, caller)
    except PreconditionFailed as error:
        if error.code != "multiple_matches":
            raise
        raise PreconditionFailed(
            "multiple_matches", "more than one resource meets the criteria; delete each by its id"
        ) from None
    return respond_deletion(request, deleted)


def respond_deletion(request: Request, deleted: list[Version]) -> Response:
    headers = {"ETag": deleted[0].etag} if deleted else {}
    if preferences_of(request).returned == "OperationOutcome":
        return respond(request, information("the resource is deleted"), 200, headers)
    return Response(status_code=204, headers=headers)
