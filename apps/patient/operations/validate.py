"""`$validate`: says what is wrong with a resource, and stores nothing
(https://hl7.org/fhir/R4/resource-operation-validate.html).
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.kit.errors import BadRequest, FieldError, NotFound, Unprocessable
from apps.kit.operation_outcomes import FHIR_PATH, outcome_of
from apps.kit.web import AUTHENTICATED, Operation, PolicedRoute
from apps.patient.codec import FHIR_MEDIA_TYPE, Resource, decode, encode
from apps.patient.definitions.expressions import element_expression
from apps.patient.definitions.model import served_types
from apps.patient.definitions.validation import find_faults
from apps.patient.fhir.requests import check_parameters, path_id, read_fhir_body

MODES = ("create", "update", "delete", "profile")


def validate_routes() -> list[BaseRoute]:
    """Returns the routes of the operation on a type and on an instance. It reads no record."""
    return [
        PolicedRoute(path, Operation("POST", validate, AUTHENTICATED))
        for path in (FHIR_PATH + "/{type}/$validate", FHIR_PATH + "/{type}/{id}/$validate")
    ]


async def validate(request: Request) -> Response:
    """Answers 200 with an OperationOutcome, whether the resource is valid or not."""
    resource_type: str = request.path_params["type"]
    if resource_type not in (*served_types(), "Bundle", "Parameters"):
        raise NotFound("type_not_served", f"{resource_type} is not served")
    check_parameters(request, ("mode", "profile"))
    body = decode(await read_fhir_body(request))
    resource, mode, profiles = parse_parameters(body, resource_type)
    mode = request.query_params.get("mode", mode)
    if mode not in MODES:
        raise BadRequest("invalid_mode", f"mode is one of {', '.join(MODES)}", pointer="mode")
    outcome = outcome_for(
        resource,
        resource_type,
        mode=mode,
        id=path_id(request) if "id" in request.path_params else None,
        profiles=profiles or [name for name in request.query_params.getlist("profile") if name],
    )
    return Response(encode(outcome), media_type=FHIR_MEDIA_TYPE)


def parse_parameters(body: Any, resource_type: str) -> tuple[Any, str, list[str]]:
    """Returns the resource, the mode and the profiles of a body that is a resource
    or Parameters.
    """
    is_wrapped = isinstance(body, dict) and body.get("resourceType") == "Parameters"
    if not is_wrapped or resource_type == "Parameters":
        return body, "create", []
    faults = find_faults(body, "Parameters")
    # What is wrong with the resource inside is the answer; only the wrapping must be right.
    if any("/resource" not in fault.pointer for fault in faults):
        raise Unprocessable("invalid_parameters", faults=faults)
    resource, mode, profiles = None, "create", []
    for parameter in body.get("parameter", ()):
        if parameter["name"] == "resource":
            resource = parameter.get("resource")
        elif parameter["name"] == "mode":
            mode = parameter.get("valueCode", "")
        elif parameter["name"] == "profile":
            profiles.append(parameter.get("valueCanonical") or parameter.get("valueUri") or "")
        else:
            raise Unprocessable(
                "invalid_parameters", "served are resource, mode and profile", pointer="/parameter"
            )
    return resource, mode, profiles


def outcome_for(
    resource: Any, resource_type: str, *, mode: str, id: str | None, profiles: list[str]
) -> Resource:
    """Returns the OperationOutcome: errors with their elements, or that all is well."""
    faults = list(find_faults(resource, resource_type)) if mode != "delete" or resource else []
    if not faults and mode == "update" and id is not None and resource.get("id") != id:
        message = "the resource's id must be the one of the path"
        faults.append(FieldError("value", message, "/id"))
    issues: list[Resource] = []
    if faults:
        problem = Unprocessable("invalid_resource", faults=tuple(faults))
        issues += outcome_of(problem, resource_type, element_expression)["issue"]
    else:
        issues.append(
            {
                "severity": "information",
                "code": "informational",
                "diagnostics": f"this is a valid {resource_type} of FHIR R4",
            }
        )
    issues += [
        {
            "severity": "warning",
            "code": "not-supported",
            "diagnostics": f"the profile {profile} was not checked: only R4 itself is",
        }
        for profile in profiles
    ]
    return {"resourceType": "OperationOutcome", "issue": issues}
