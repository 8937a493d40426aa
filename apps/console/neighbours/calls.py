"""What a page's calls were and how they failed: shown to integrators as curl, and to everybody as a
plain sentence.
"""

import shlex
from dataclasses import dataclass
from typing import Any

import msgspec

from apps.kit.errors import FieldError, Problem

MAX_BODY_CHARS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the public interface. `body`: JSON, or a form's text."""

    method: str
    path: str
    body: Any = None
    media_type: str = ""
    if_match: str = ""
    status: int = 0
    milliseconds: float = 0.0

    def as_curl(self, public_url: str) -> str:
        """Writes the command that makes the same call with a token of one's own."""
        words = ["curl -s"]
        if self.method != "GET":
            words.append(f"-X {self.method}")
        words.append(shlex.quote(public_url + self.path))
        words.append('-H "Authorization: Bearer $TOKEN"')
        if self.if_match:
            words.append("-H " + shlex.quote(f"If-Match: {self.if_match}"))
        if self.body is not None:
            text = (
                self.body if isinstance(self.body, str) else msgspec.json.encode(self.body).decode()
            )
            words.append("-H " + shlex.quote(f"Content-Type: {self.media_type}"))
            words.append("-d " + shlex.quote(text[:MAX_BODY_CHARS]))
        return " \\\n  ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A successful answer: `body` is parsed JSON, or bytes where it is something else."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def version(self) -> str:
        """Returns the version of the resource, without the ETag's marks."""
        return self.headers.get("etag", "").removeprefix("W/").strip('"')

    @property
    def created_id(self) -> str:
        """Returns the id that the `Location` names."""
        parts = self.headers.get("location", "").split("/_history/")[0].rstrip("/").split("/")
        return parts[-1]


class ApiError(Problem):
    """A service refused: its status, its code, and a sentence for each fault.
    `service`: who answered.
    """

    def __init__(self, status: int, code: str, service: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.status = status
        self.service = service
        self.body: Any = None

    @property
    def is_unavailable(self) -> bool:
        """Tells whether the service is down, too slow or overloaded: another try may do."""
        return self.status in (429, 502, 503, 504)

    @property
    def sentences(self) -> list[str]:
        """Returns what the service said is wrong."""
        return [fault.message for fault in self.faults] or [self.detail or self.code]


def error_of_answer(service: str, status: int, body: Any) -> ApiError:
    """Reads problem details (RFC 9457) or an OperationOutcome; anything else is an error
    without words.
    """
    if not isinstance(body, dict):
        return ApiError(status, "error", service)
    if body.get("resourceType") == "OperationOutcome":
        return _error_of_outcome(service, status, body)
    error = ApiError(
        status,
        str(body.get("code") or body.get("error") or "error"),
        service,
        str(body.get("detail") or body.get("error_description") or ""),
    )
    error.body = body
    found = body.get("errors")
    if isinstance(found, list):
        error.faults = tuple(
            FieldError(
                str(each.get("code", "")), str(each.get("message", "")), str(each.get("pointer"))
            )
            for each in found
            if isinstance(each, dict)
        )
    return error


def _error_of_outcome(service: str, status: int, body: dict[str, Any]) -> ApiError:
    issues = [each for each in body.get("issue", []) if isinstance(each, dict)]
    faults = []
    for issue in issues:
        details = issue.get("details", {}) if isinstance(issue.get("details"), dict) else {}
        places = issue.get("expression") or issue.get("location") or [""]
        text = issue.get("diagnostics") or details.get("text") or issue.get("code", "")
        faults.append(FieldError(str(issue.get("code", "")), str(text), str(places[0])))
    error = ApiError(status, faults[0].code if faults else "error", service)
    error.detail = faults[0].message if faults else ""
    error.faults = tuple(faults)
    error.body = body
    return error
