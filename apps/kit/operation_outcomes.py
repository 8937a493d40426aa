"""Errors under `/fhir/R4`: a Problem as an OperationOutcome
(https://hl7.org/fhir/R4/operationoutcome.html).
"""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from apps.kit.errors import FieldError, Problem
from apps.kit.web import render_problem

FHIR_PATH = "/fhir/R4"
# https://hl7.org/fhir/R4/valueset-issue-type.html
_ISSUE_TYPES = frozenset(
    re.findall(
        "[a-z-]+",
        "invalid structure required value invariant security login unknown expired forbidden "
        "suppressed processing"
        " not-supported duplicate multiple-matches not-found deleted too-long code-invalid "
        "extension too-costly"
        " business-rule conflict transient lock-error no-store exception timeout incomplete "
        "throttled informational",
    )
)
_BY_STATUS = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    408: "timeout",
    409: "conflict",
    410: "deleted",
    412: "conflict",
    413: "too-long",
    415: "not-supported",
    422: "processing",
    429: "throttled",
    501: "not-supported",
    503: "transient",
    504: "timeout",
}


# Makes FHIRPath of a JSON pointer and the type of the resource that it starts from.
Express: TypeAlias = Callable[[str, str], str]


def expression_of(pointer: str, root: str) -> str:
    """Returns a JSON pointer as FHIRPath: `/name/0/given` of a Patient is
    `Patient.name[0].given`.
    """
    return root + re.sub(r"/(\d+)(?=/|$)", r"[\1]", pointer).replace("/", ".")


def render_error(request: Request, problem: Problem, express: Express = expression_of) -> Response:
    """Returns an OperationOutcome under `/fhir/R4`, problem details elsewhere."""
    path = request.url.path
    if path != FHIR_PATH and not path.startswith(FHIR_PATH + "/"):
        return render_problem(request, problem)
    root = path.removeprefix(FHIR_PATH).strip("/").partition("/")[0] or "Bundle"
    body = outcome_of(problem, root, express)
    return Response(
        msgspec.json.encode(body),
        problem.status,
        headers=problem.headers,
        media_type="application/fhir+json",
    )


def outcome_of(problem: Problem, root: str, express: Express = expression_of) -> dict[str, Any]:
    """Returns the OperationOutcome of a problem in a resource of the type `root`."""
    faults = problem.faults or (FieldError(problem.code, problem.detail or problem.code),)
    return {
        "resourceType": "OperationOutcome",
        "issue": [_issue(fault, problem, root, express) for fault in faults],
    }


def _issue(fault: FieldError, problem: Problem, root: str, express: Express) -> dict[str, Any]:
    code = fault.code.replace("_", "-")
    if code not in _ISSUE_TYPES:
        code = _BY_STATUS.get(problem.status, "exception")
    issue: dict[str, Any] = {
        "severity": "fatal" if problem.status >= 500 else "error",
        "code": code,
        "details": {"coding": [{"system": "urn:patient-management:error", "code": problem.code}]},
        "diagnostics": fault.message,
    }
    if fault.pointer.startswith("/"):
        issue["expression"] = [express(fault.pointer, root)]
    elif fault.pointer:
        # A parameter or a header (FHIR: `http.` for what is not in a resource).
        issue["expression"] = [f"http.{fault.pointer}"]
    return issue
