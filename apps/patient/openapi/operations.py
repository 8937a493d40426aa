"""The operations under `/fhir/R4`: every route is described here, by type where types differ."""

from collections.abc import Iterator, Sequence
from typing import Any

from apps.kit.operation_outcomes import FHIR_PATH
from apps.kit.web import PolicedRoute
from apps.patient.codec import FHIR_MEDIA_TYPE
from apps.patient.definitions.model import served_types
from apps.patient.fhir.requests import READ_ONLY_TYPES
from apps.patient.openapi.descriptions import DESCRIPTIONS, ONE, TYPE, Description
from apps.patient.openapi.parameters import (
    Schema,
    search_parameters_of,
    shared,
)
from apps.patient.openapi.schemas import reference_to

TAG = "FHIR R4"
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


# Described type by type: their parameters and bodies differ.
_BY_TYPE = (TYPE, ONE)


def paths(routes: Sequence[PolicedRoute]) -> dict[str, Any]:
    """Returns the OpenAPI paths of these routes; raises LookupError for one that is
    not described.
    """
    found: dict[str, Any] = {}
    for path, method in _served(routes):
        description = DESCRIPTIONS.get((path, method))
        if description is None:
            raise LookupError(f"describe {method} {path} in apps/patient/openapi/descriptions.py")
        if path not in _BY_TYPE:
            operation = _operation(description, path, description.type, description.id)
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
        "summary": f"{description.summary}: {type_name}"
        if type_name and not description.type
        else description.summary,
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
    # A deleted patient keeps the audit's compartment; the path is the same.
    is_of_patient = path.startswith(FHIR_PATH + "/Patient/{id}/")
    if is_of_patient or description.id in ("read", "update", "patch", "delete", "readVersion"):
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
    if kind == "any":
        # What is wrong with it is the answer.
        return {"schema": {}}
    name = (type_name or "Resource") if kind == "type" else kind
    return {"schema": reference_to(name)}


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
        shown = _schema(kind, type_name) | _example(kind, type_name)
        content = dict.fromkeys((FHIR_MEDIA_TYPE, "application/json"), shown)
    return {"required": True, "content": content}


def _example(kind: str, type_name: str) -> Schema:
    name = (type_name or "Patient") if kind in ("type", "Resource", "any") else kind
    return {"examples": {name: {"$ref": f"#/components/examples/fhir.{name}"}}}


def _answer(description: Description, status: str, type_name: str) -> Schema:
    texts = {
        "200": "It is done",
        "201": "Created",
        "204": "Deleted",
        "304": "The client's version is the current one",
    }
    answer: Schema = {"description": texts[status]}
    if description.answer and status in ("200", "201"):
        shown = _schema(description.answer, type_name)
        if description.answer == "type":
            shown |= _example("type", type_name)
        answer["content"] = {FHIR_MEDIA_TYPE: shown}
    if description.answer == "type" and status != "204":
        answer["headers"] = {"ETag": {"$ref": "#/components/headers/ETag"}}
    return answer
