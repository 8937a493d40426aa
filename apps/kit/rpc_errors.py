"""A Problem on its way over gRPC: a status code, and the whole of it in the trailer `problem-bin`.

Clients of other makes read the same as google.rpc.Status, with ErrorInfo and field violations, in
`grpc-status-details-bin` (https://google.aip.dev/193).
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import grpc
import msgspec

from apps.kit import errors
from apps.kit.errors import FieldError, Problem

PROBLEM_KEY = "problem-bin"
STATUS_KEY = "grpc-status-details-bin"
ERROR_DOMAIN = "patient-management"
MAX_FAULTS = 16
MAX_DETAIL_CHARACTERS = 500
SERVICE_TOKEN_CODES = frozenset(
    {"missing_service_token", "invalid_service_token", "caller_not_allowed"}
)

_CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    410: grpc.StatusCode.NOT_FOUND,
    412: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
_KINDS: Mapping[int, type[Problem]] = {
    kind.status: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, Problem)
}


def code_of(problem: Problem) -> grpc.StatusCode:
    return _CODES.get(problem.status, grpc.StatusCode.INTERNAL)


def encode_problem(problem: Problem) -> bytes:
    """Returns a problem as it travels in the trailer `problem-bin`: short, as trailers are
    bounded at 8 KiB.
    """
    return msgspec.json.encode(
        {
            "status": problem.status,
            "code": problem.code,
            "detail": problem.detail[:MAX_DETAIL_CHARACTERS],
            "faults": problem.faults[:MAX_FAULTS],
            "headers": problem.headers,
        }
    )


def encode_status(problem: Problem) -> bytes:
    """Writes a problem as google.rpc.Status; a field violation's reason is the fault's code."""
    # In the servers alone: it costs the gateway and the relay nothing.
    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.rpc import error_details_pb2, status_pb2

    info = error_details_pb2.ErrorInfo(reason=problem.code, domain=ERROR_DOMAIN)
    details = [AnyMessage(), AnyMessage()]
    details[0].Pack(info)
    details[1].Pack(
        error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field=fault.pointer.strip("/").replace("/", "."),
                    description=fault.message,
                    reason=fault.code,
                )
                for fault in problem.faults[:MAX_FAULTS]
            ]
        )
    )
    status = status_pb2.Status(
        code=code_of(problem).value[0],
        message=(problem.detail or problem.code)[:MAX_DETAIL_CHARACTERS],
        details=details[: 2 if problem.faults else 1],
    )
    encoded: bytes = status.SerializeToString()
    return encoded


class _Carried(msgspec.Struct):
    status: int
    code: str
    detail: str
    faults: tuple[FieldError, ...]
    headers: dict[str, str]


def problem_of_rpc(error: grpc.RpcError) -> Problem:
    """Returns the Problem that a service raised, or what the status alone says.

    A refusal of the caller's own token is not its user's fault, so it is no 401 but a BadGateway.
    """
    trailers: dict[str, Any] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
    carried: _Carried | None = None
    if PROBLEM_KEY in trailers:
        with contextlib.suppress(msgspec.DecodeError):
            carried = msgspec.json.decode(trailers[PROBLEM_KEY], type=_Carried)
    if carried is not None:
        if carried.code in SERVICE_TOKEN_CODES:
            return errors.BadGateway("service_refused", carried.code)
        kind = _KINDS.get(carried.status, Problem)
        # Past the subclasses' own constructors: they would make the headers anew.
        problem = kind.__new__(kind)
        Problem.__init__(
            problem, carried.code, carried.detail, faults=carried.faults, headers=carried.headers
        )
        return problem
    match error.code():
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            return errors.Unavailable("service_unavailable")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.Unavailable("service_timeout")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return errors.Unavailable("service_overloaded")
        case grpc.StatusCode.UNIMPLEMENTED:
            return errors.NotImplementedYet("not_implemented")
    return errors.BadGateway("service_failed")
