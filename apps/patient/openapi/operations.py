"""The operations under `/fhir/R4`: every route is described here, by type where types differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.kit.operation_outcomes import FHIR_PATH
from apps.kit.web import PolicedRoute
from apps.patient.codec import FHIR_MEDIA_TYPE
from apps.patient.definitions.model import served_types
from apps.patient.fhir.requests import READ_ONLY_TYPES
from apps.patient.openapi.parameters import (
    HISTORY_NAMES,
    RESULT_NAMES,
    Schema,
    search_parameters_of,
    shared,
)
from apps.patient.openapi.schemas import reference_to

TAG = "FHIR R4"
_TYPE = FHIR_PATH + "/{type}"
_ONE = _TYPE + "/{id}"
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", FHIR_MEDIA_TYPE)
_REFUSALS = {
    "400": "FhirBadRequest",
    "401": "FhirUnauthorized",
    "403": "FhirForbidden",
    "404": "FhirNotFound",
    "429": "FhirTooManyRequests",
    "503": "FhirUnavailable",
}
_WRITE_REFUSALS = {
    "409": "FhirConflict",
    "412": "FhirPreconditionFailed",
    "413": "FhirContentTooLarge",
    "415": "FhirUnsupportedMediaType",
    "422": "FhirUnprocessable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What an operation does. `interactions`: the letters of the scope; "" for any signed-in caller.

    `answer` is the type in the body of a success: "" for none, "type" for that of the path. `body` is
    that of the request: a type, "type", "form" or "patch". `searches`: it takes search parameters.
    """

    id: str
    summary: str
    interactions: str = ""
    answer: str = "type"
    body: str = ""
    status: Sequence[str] = ("200",)
    parameters: Sequence[str] = ()
    searches: bool = False
    public: bool = False


_D = Description
_CHANGE = ("If-Match", "Prefer")
_LISTED = (*RESULT_NAMES, "Prefer")

# By path and method. A route that is missing here fails the generation.
DESCRIPTIONS: Mapping[tuple[str, str], Description] = {
    (FHIR_PATH, "GET"): _D(
        id="searchSystem",
        summary="Search all types",
        interactions="s",
        answer="Bundle",
        parameters=("_type", *_LISTED),
    ),
    (FHIR_PATH, "POST"): _D(
        id="postBundle",
        summary="Carry out a batch or a transaction",
        interactions="cruds",
        answer="Bundle",
        body="Bundle",
        parameters=("Idempotency-Key", "Prefer"),
    ),
    (FHIR_PATH + "/metadata", "GET"): _D(
        id="getCapabilities",
        summary="What is served, as a CapabilityStatement",
        answer="Resource",
        public=True,
    ),
    (FHIR_PATH + "/_search", "POST"): _D(
        id="searchSystemByForm",
        summary="Search all types by form",
        interactions="s",
        answer="Bundle",
        body="form",
    ),
    (FHIR_PATH + "/_history", "GET"): _D(
        id="listSystemVersions",
        summary="Every version of every resource",
        interactions="r",
        answer="Bundle",
        parameters=HISTORY_NAMES,
    ),
    (_TYPE + "/$validate", "POST"): _D(
        id="validate",
        summary="Say what is wrong with a resource, and store nothing",
        answer="OperationOutcome",
        body="Resource",
    ),
    (_ONE + "/$validate", "POST"): _D(
        id="validateUpdate",
        summary="Say what is wrong with an update, and store nothing",
        answer="OperationOutcome",
        body="Resource",
    ),
    (_TYPE + "/_search", "POST"): _D(
        id="searchByForm",
        summary="Search a type by form",
        interactions="s",
        answer="Bundle",
        body="form",
    ),
    (_TYPE + "/_history", "GET"): _D(
        id="listTypeVersions",
        summary="Every version of a type's resources",
        interactions="r",
        answer="Bundle",
        parameters=HISTORY_NAMES,
    ),
    (_TYPE, "GET"): _D(
        id="search",
        summary="Search",
        interactions="s",
        answer="Bundle",
        parameters=_LISTED,
        searches=True,
    ),
    (_TYPE, "POST"): _D(
        id="create",
        summary="Create",
        interactions="c",
        body="type",
        status=("201", "200"),
        parameters=("If-None-Exist", "Idempotency-Key", "Prefer"),
    ),
    (_TYPE, "PUT"): _D(
        id="updateBySearch",
        summary="Update the one that the search parameters find, or create it",
        interactions="u",
        body="type",
        status=("200", "201"),
        parameters=_CHANGE,
    ),
    (_TYPE, "PATCH"): _D(
        id="patchBySearch",
        summary="Patch the one that the search parameters find",
        interactions="u",
        body="patch",
        parameters=_CHANGE,
    ),
    (_TYPE, "DELETE"): _D(
        id="deleteBySearch",
        summary="Delete the one that the search parameters find",
        interactions="d",
        answer="",
        status=("204",),
    ),
    (_ONE, "GET"): _D(
        id="read",
        summary="Read",
        interactions="r",
        status=("200", "304"),
        parameters=("If-None-Match",),
    ),
    (_ONE, "PUT"): _D(
        id="update",
        summary="Update, or create under this id",
        interactions="u",
        body="type",
        status=("200", "201"),
        parameters=(*_CHANGE, "If-None-Match"),
    ),
    (_ONE, "PATCH"): _D(
        id="patch", summary="Patch", interactions="u", body="patch", parameters=_CHANGE
    ),
    (_ONE, "DELETE"): _D(
        id="delete",
        summary="Delete; the history stays",
        interactions="d",
        answer="",
        status=("204",),
        parameters=("If-Match",),
    ),
    (_ONE + "/_history", "GET"): _D(
        id="listVersions",
        summary="Every version of a resource",
        interactions="r",
        answer="Bundle",
        parameters=HISTORY_NAMES,
    ),
    (_ONE + "/_history/{vid}", "GET"): _D(
        id="readVersion", summary="One version of a resource", interactions="r"
    ),
    (FHIR_PATH + "/Patient/{id}/{compartment_type}", "GET"): _D(
        id="searchCompartment",
        summary="Search in a patient's compartment",
        interactions="s",
        answer="Bundle",
        parameters=_LISTED,
    ),
}
# Described type by type: their parameters and bodies differ.
_BY_TYPE = (_TYPE, _ONE)


def paths(routes: Sequence[PolicedRoute]) -> dict[str, Any]:
    """Returns the OpenAPI paths of these routes; raises LookupError for one that is not described."""
    found: dict[str, Any] = {}
    for path, method in _served(routes):
        description = DESCRIPTIONS[path, method]
        if path not in _BY_TYPE:
            operation = _operation(description, path, "", description.id)
            found.setdefault(path, {})[method.lower()] = operation
            continue
        for name in served_types():
            if name in READ_ONLY_TYPES and description.id not in ("search", "read"):
                continue
            operation = _operation(description, path, name, description.id + name)
            found.setdefault(path.replace("{type}", name), {})[method.lower()] = operation
    return found


def _served(routes: Sequence[PolicedRoute]) -> Iterator[tuple[str, str]]:
    for route in routes:
        path = route.path_format
        # A second spelling, and operations that are refused by their name.
        if path.endswith("/") or "${operation}" in path:
            continue
        for method in route.operations:
            yield path, method


def _operation(description: Description, path: str, type_name: str, id: str) -> Schema:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    in_path = [name for name in names if not (type_name and name == "type")]
    parameters = shared(*in_path, *description.parameters)
    if description.searches and type_name:
        parameters += search_parameters_of(type_name)
    operation: Schema = {
        "tags": [TAG],
        "operationId": id,
        "summary": f"{description.summary}: {type_name}" if type_name else description.summary,
        "security": _security(description, type_name),
        "parameters": parameters,
    }
    if description.body:
        operation["requestBody"] = _body(description.body, type_name)
    refusals = _REFUSALS | (
        _WRITE_REFUSALS if description.body or description.interactions == "d" else {}
    )
    if description.public:
        refusals = {status: _REFUSALS[status] for status in ("429", "503")}
    answers = {status: _answer(description, status, type_name) for status in description.status}
    operation["responses"] = answers | {
        status: {"$ref": f"#/components/responses/{name}"} for status, name in refusals.items()
    }
    if description.id in ("read", "update", "patch", "delete", "readVersion"):
        operation["responses"]["410"] = {"$ref": "#/components/responses/FhirGone"}
    return operation


def _security(description: Description, type_name: str) -> list[Schema]:
    if description.public:
        return []
    if not description.interactions:
        return [{"oauth2": []}]
    scope = f"{type_name or '*'}.{description.interactions}"
    levels = (
        ("user", "system", "patient")
        if description.interactions in ("r", "s")
        else ("user", "system")
    )
    return [{"oauth2": [f"{level}/{scope}"]} for level in levels]


def _schema(kind: str, type_name: str) -> Schema:
    return reference_to((type_name or "Resource") if kind == "type" else kind)


def _body(kind: str, type_name: str) -> Schema:
    if kind == "form":
        form = {"type": "object", "additionalProperties": {"type": "string"}}
        content = {"application/x-www-form-urlencoded": {"schema": form}}
    elif kind == "patch":
        content = {
            media_type: {"schema": {"type": "array" if "json-patch" in media_type else "object"}}
            for media_type in _PATCHES
        }
    else:
        schema = _schema(kind, type_name)
        content = {
            media_type: {"schema": schema} for media_type in (FHIR_MEDIA_TYPE, "application/json")
        }
    return {"required": True, "content": content}


def _answer(description: Description, status: str, type_name: str) -> Schema:
    texts = {
        "200": "It is done",
        "201": "Created",
        "204": "Deleted",
        "304": "The client's version is the current one",
    }
    answer: Schema = {"description": texts[status]}
    if description.answer and status in ("200", "201"):
        schema = _schema(description.answer, type_name)
        answer["content"] = {FHIR_MEDIA_TYPE: {"schema": schema}}
    if description.answer == "type" and status != "204":
        answer["headers"] = {"ETag": {"$ref": "#/components/headers/ETag"}}
    return answer
