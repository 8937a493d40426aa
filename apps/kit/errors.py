"""Errors that carry their meaning; one handler renders them (RFC 9457 problem details)."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with the input. `pointer` is a JSON pointer (RFC 6901) or a
    parameter's name.
    """

    code: str
    message: str
    pointer: str = ""


class Problem(Exception):
    """An answer that is not a success. `code` is stable and for programs, `detail`
    is for people.
    """

    status = 500

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        pointer: str = "",
        faults: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.faults = faults or ((FieldError(code, detail or code, pointer),) if pointer else ())
        self.headers = dict(headers or {})

    def as_problem(self, *, instance: str, request_id: str) -> dict[str, Any]:
        """Returns the `application/problem+json` object, with `code` and `requestId` as
        extension members.
        """
        problem: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "instance": instance,
            "requestId": request_id,
        }
        if self.detail:
            problem["detail"] = self.detail
        if self.faults:
            problem["errors"] = [
                {"pointer": fault.pointer, "code": fault.code, "message": fault.message}
                for fault in self.faults
            ]
        return problem


class BadRequest(Problem):
    status = 400


class Unauthorized(Problem):
    """No valid token (RFC 6750): `code` is `missing_token` or `invalid_token`."""

    status = 401

    def __init__(self, code: str = "invalid_token", detail: str = "") -> None:
        # RFC 6750, 3.1: a request without a token is told the scheme only.
        challenge = "Bearer" if code == "missing_token" else f'Bearer error="{code}"'
        super().__init__(code, detail, headers={"WWW-Authenticate": challenge})


class Forbidden(Problem):
    status = 403

    def __init__(self, code: str = "insufficient_scope", detail: str = "") -> None:
        super().__init__(code, detail, headers={"WWW-Authenticate": f'Bearer error="{code}"'})


class NotFound(Problem):
    status = 404


class Conflict(Problem):
    status = 409


class Gone(Problem):
    status = 410


class PreconditionFailed(Problem):
    status = 412


class ContentTooLarge(Problem):
    status = 413


class UnsupportedMediaType(Problem):
    status = 415


class Unprocessable(Problem):
    status = 422


class TooManyRequests(Problem):
    status = 429

    def __init__(
        self, code: str, retry_after_seconds: int, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, headers={**(headers or {}), "Retry-After": str(retry_after_seconds)})


class NotImplementedYet(Problem):
    status = 501


class BadGateway(Problem):
    status = 502


class Unavailable(Problem):
    """What this needs is down; `Retry-After` says when to come back."""

    status = 503

    def __init__(self, code: str, detail: str = "", retry_after_seconds: int = 1) -> None:
        super().__init__(code, detail, headers={"Retry-After": str(retry_after_seconds)})


_BY_STATUS: dict[int, type[Problem]] = {
    kind.status: kind
    for kind in (
        BadRequest,
        NotFound,
        ContentTooLarge,
        UnsupportedMediaType,
        Unprocessable,
    )
}


def problem_of_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """Returns the Problem for an error that a framework raised with a status alone."""
    kind = _BY_STATUS.get(status)
    if kind is None:
        problem = Problem("error", headers=headers)
        problem.status = status
        return problem
    return kind(HTTPStatus(status).phrase.lower().replace(" ", "_"), headers=headers)
