"""Problems as the caller of each path expects them: problem details, under /fhir/R4 an OperationOutcome."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from apps.kit.context import current_request_id
from apps.kit.errors import Problem
from apps.kit.web import render_problem

FHIR_BASE = "/fhir/R4"

# https://hl7.org/fhir/R4/valueset-issue-type.html
_ISSUE_TYPES = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    408: "timeout",
    413: "too-long",
    415: "not-supported",
    429: "throttled",
    503: "transient",
    504: "timeout",
}


def render(request: Request, problem: Problem) -> Response:
    path = request.url.path
    if path == FHIR_BASE or path.startswith(FHIR_BASE + "/"):
        return Response(
            msgspec.json.encode(operation_outcome(problem, current_request_id())),
            problem.status,
            headers=problem.headers,
            media_type="application/fhir+json",
        )
    return render_problem(request, problem)


def operation_outcome(problem: Problem, request_id: str) -> dict[str, Any]:
    """https://hl7.org/fhir/R4/operationoutcome.html; its `id` is the request's."""
    issue_type = _ISSUE_TYPES.get(problem.status, "exception" if problem.status >= 500 else "processing")
    return {
        "resourceType": "OperationOutcome",
        "id": request_id,
        "issue": [
            {
                "severity": "error",
                "code": issue_type,
                "details": {"text": problem.code},
                **({"diagnostics": problem.detail} if problem.detail else {}),
            }
        ],
    }
