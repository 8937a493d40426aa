"""`GET /fhir/R4/metadata`: what is served, told from the definitions that serve it
(https://hl7.org/fhir/R4/capabilitystatement.html).
"""

from collections.abc import Mapping
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.errors import BadRequest
from apps.patient.codec import FHIR_MEDIA_TYPE, Resource
from apps.patient.definitions.model import search_parameters, served_types
from apps.patient.fhir.audit_search import SERVED as AUDIT_PARAMETERS
from apps.patient.fhir.requests import READ_ONLY_TYPES, base_of
from apps.patient.fhir.responses import respond
from apps.patient.search.criteria.query import special_parameters

# The day that this description last changed; a client may keep it until then.
DATE = "2026-11-29"
VALIDATE = "http://hl7.org/fhir/OperationDefinition/Resource-validate"
# Each operation by the type that it is called on.
OPERATIONS: Mapping[str, Mapping[str, str]] = {
    "Patient": {
        "everything": "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        "match": "http://hl7.org/fhir/OperationDefinition/Patient-match",
        "summary": "http://hl7.org/fhir/uv/ips/OperationDefinition/summary",
    },
    "Observation": {"lastn": "http://hl7.org/fhir/OperationDefinition/Observation-lastn"},
}
_READS = ("read", "vread", "history-instance", "history-type", "search-type")
_WRITES = ("create", "update", "patch", "delete")
_SMART_SERVICE = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


async def metadata(request: Request) -> Response:
    if any(mode not in ("full", "normative") for mode in request.query_params.getlist("mode")):
        raise BadRequest("invalid_parameter", "mode: full or normative", pointer="mode")
    return respond(request, capability_statement(base_of(request)))


@lru_cache(maxsize=4)
def capability_statement(base: str) -> Resource:
    public_url = base.removesuffix("/fhir/R4")
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "patient-management"},
        "implementation": {"description": "Patients and their medical history", "url": base},
        "fhirVersion": "4.0.1",
        "format": [FHIR_MEDIA_TYPE, "json"],
        "patchFormat": [
            "application/json-patch+json",
            "application/merge-patch+json",
            FHIR_MEDIA_TYPE,
        ],
        "rest": [
            {
                "mode": "server",
                "documentation": (
                    "A parameter that is not listed is refused; Prefer: handling=lenient skips it."
                    " Searches page by _count (at most 100) and the next link; _total=accurate "
                    "counts. Chains look into contained resources, which are no results by "
                    "themselves: _contained=true and both are refused."
                ),
                "security": {
                    "cors": True,
                    "extension": [
                        {
                            "url": _OAUTH_URIS,
                            "extension": [
                                {"url": name, "valueUri": f"{public_url}/oauth2/{path}"}
                                for name, path in (
                                    ("authorize", "authorize"),
                                    ("token", "token"),
                                )
                            ],
                        }
                    ],
                    "service": [{"coding": [{"system": _SMART_SERVICE, "code": "SMART-on-FHIR"}]}],
                },
                "resource": [_resource(name) for name in served_types()],
                "interaction": [
                    {"code": code}
                    for code in ("transaction", "batch", "search-system", "history-system")
                ],
                "compartment": ["http://hl7.org/fhir/CompartmentDefinition/patient"],
            }
        ],
    }


def _resource(name: str) -> Resource:
    is_read_only = name in READ_ONLY_TYPES
    reads = ("read", "search-type") if is_read_only else _READS
    references = [
        code for code, parameter in search_parameters(name).items() if parameter.kind == "reference"
    ]
    described: Resource = {
        "type": name,
        "interaction": [{"code": code} for code in (*reads, *(() if is_read_only else _WRITES))],
        # A version is checked where `If-Match` names one; without it the last writer wins.
        "versioning": "versioned",
        "readHistory": not is_read_only,
        "updateCreate": not is_read_only,
        "conditionalCreate": not is_read_only,
        "conditionalRead": "full-support",
        "conditionalUpdate": not is_read_only,
        "conditionalDelete": "not-supported" if is_read_only else "single",
        "referencePolicy": ["literal", "logical", "enforced"],
        "operation": [
            {"name": "validate", "definition": VALIDATE},
            *(
                {"name": operation, "definition": definition}
                for operation, definition in OPERATIONS.get(name, {}).items()
            ),
        ],
        "searchParam": [
            {"name": code, "type": kind}
            for code, kind in sorted(
                {
                    **{code: item.kind for code, item in search_parameters(name).items()},
                    **special_parameters(name),
                }.items()
            )
            if not is_read_only or code in AUDIT_PARAMETERS
        ],
    }
    if references and not is_read_only:
        described["searchInclude"] = ["*", *(f"{name}:{code}" for code in references)]
        described["searchRevInclude"] = sorted(
            f"{source}:{code}"
            for source in served_types()
            if source not in READ_ONLY_TYPES
            for code, parameter in search_parameters(source).items()
            if parameter.kind == "reference" and name in parameter.targets
        )
    return described
