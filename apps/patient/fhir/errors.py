"""Errors of this service: under `/fhir/R4` they name elements by FHIRPath of the definitions."""

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.errors import Problem
from apps.kit.operation_outcomes import render_error
from apps.patient.definitions.expressions import element_expression


def render_fhir_error(request: Request, problem: Problem) -> Response:
    """Returns the problem as an OperationOutcome under `/fhir/R4`, as problem details elsewhere."""
    return render_error(request, problem, element_expression)
