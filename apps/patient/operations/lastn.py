"""`Observation/$lastn`: the newest observations of each code
(https://hl7.org/fhir/R4/observation-operation-lastn.html).
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.errors import BadRequest, Unprocessable
from apps.kit.operation_outcomes import FHIR_PATH
from apps.patient.codec import Resource, decode
from apps.patient.fhir.requests import (
    base_of,
    caller_of,
    read_audit_of,
    read_operation,
)
from apps.patient.fhir.responses import links_of, query_text, raw, respond
from apps.patient.search.criteria.criteria import AllOf
from apps.patient.search.criteria.query import DEFAULT_COUNT, Query
from apps.patient.storage.read_audit import ReadEntry
from apps.patient.storage.search import Found, Mark, read_page

MAX_PER_CODE = 100
# The newest observations of a patient that are looked through. A patient has more only in an
# intensive care unit.
MAX_ROWS = 5_000
PAGE_ROWS = 100
SUBJECTS = ("patient", "subject")


async def last_observations(request: Request) -> Response:
    """Answers `max` observations (by default one) of each code, the newest first. Needs
    `patient` or `subject`.
    """
    caller = caller_of(request)
    caller.require("Observation", "s")
    caller.require("Observation", "r")
    pairs = await read_operation(request)
    per_code = read_max(pairs)
    criteria = [(name, value) for name, value in pairs if name != "max"]
    if not any(name.partition(":")[0] in SUBJECTS for name, _ in criteria):
        raise BadRequest("missing_parameter", "say whose: patient or subject", pointer="patient")
    query = caller.reader.read(("Observation",), criteria)
    if is_shaped(query):
        raise BadRequest(
            "parameter_not_served", "$lastn takes max and search criteria, no other", pointer="url"
        )
    query = caller.reader.read(("Observation",), [*criteria, ("_sort", "-date")])
    criterion = AllOf(
        criteria=(
            caller.limited(query.criteria["Observation"]),
            caller.criterion("Observation", "s"),
            caller.criterion("Observation", "r"),
        )
    )

    read_audit = read_audit_of(request)
    chosen: list[Found] = []
    counts: dict[tuple[str, ...], int] = {}
    async with read_audit.database.connection() as connection:
        mark: Mark | None = None
        for _ in range(MAX_ROWS // PAGE_ROWS):
            found, mark = await read_page(
                connection,
                [("Observation", criterion)],
                query.sort[0],
                mark,
                PAGE_ROWS,
                scans=caller.scans,
            )
            for item in found:
                key = code_key(decode(item.version.body or "{}"))
                counts[key] = counts.get(key, 0) + 1
                if counts[key] <= per_code:
                    chosen.append(item)
            if mark is None:
                break
        else:
            raise Unprocessable(
                "too_many_observations", f"over {MAX_ROWS}: narrow it by code or date"
            )

    patients = sorted({item.version.patient_id or "" for item in chosen} - {""})
    entry = ReadEntry(
        "search",
        caller.author,
        "Observation",
        patient_id=patients[0] if len(patients) == 1 else None,
        query="$lastn?" + query_text(criteria)[:2000],
        returned_ids=[item.version.id for item in chosen],
        patient_ids=patients,
    )
    await read_audit.record(entry)
    return respond(request, bundle_of(base_of(request), request, pairs, chosen))


def is_shaped(query: Query) -> bool:
    """Tells whether the answer is asked for in another form or order: the operation has its own."""
    return bool(query.sort or query.includes or query.elements or query.total or query.cursor) or (
        query.summary != "false" or query.count != DEFAULT_COUNT
    )


def read_max(pairs: list[tuple[str, str]]) -> int:
    """Returns `max`, from 1 to MAX_PER_CODE."""
    values = [value for name, value in pairs if name == "max"] or ["1"]
    if len(values) > 1 or not values[0].isascii() or not values[0].isdigit() or len(values[0]) > 3:
        raise BadRequest("invalid_parameter", f"max is from 1 to {MAX_PER_CODE}", pointer="max")
    if not 1 <= int(values[0]) <= MAX_PER_CODE:
        raise BadRequest("invalid_parameter", f"max is from 1 to {MAX_PER_CODE}", pointer="max")
    return int(values[0])


def code_key(resource: Resource) -> tuple[str, ...]:
    """Returns what observations of one kind share: the first coding, else the text of the code."""
    code: Any = resource.get("code") or {}
    coding = (code.get("coding") or [{}])[0]
    if coding.get("code"):
        return (coding.get("system", ""), coding["code"])
    return (str(code.get("text", "")).casefold(),)


def bundle_of(
    base: str, request: Request, pairs: list[tuple[str, str]], chosen: list[Found]
) -> Resource:
    path = request.url.path.removeprefix(FHIR_PATH)
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(chosen),
        "link": links_of(base + path, {"self": query_text(pairs)}),
    }
    if chosen:
        bundle["entry"] = [
            {
                "fullUrl": f"{base}/Observation/{item.version.id}",
                "resource": raw(item.version.body or ""),
                "search": {"mode": "match"},
            }
            for item in chosen
        ]
    return bundle
