"""The FHIR part of the OpenAPI document."""

from pathlib import Path
from typing import Any

from apps.kit.web import PolicedRoute
from apps.patient.fhir.routes import fhir_routes
from apps.patient.openapi.examples import examples
from apps.patient.openapi.operations import paths
from apps.patient.openapi.parameters import kind_schemas, parameter_components
from apps.patient.openapi.schemas import schemas
from apps.patient.settings import MAX_BUNDLE_BYTES

DOCUMENT = Path(__file__).parents[2] / "gateway" / "fhir_openapi.json"


def make_document() -> dict[str, Any]:
    """Returns the paths, and the schemas and parameters that they name."""
    routes = [route for route in fhir_routes(MAX_BUNDLE_BYTES) if isinstance(route, PolicedRoute)]
    return {
        "paths": paths(routes),
        "components": {
            "parameters": parameter_components(),
            "schemas": schemas() | kind_schemas(),
            "examples": examples(),
        },
    }
