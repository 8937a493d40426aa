"""`Patient/<id>/$summary`: the International Patient Summary as a document Bundle.

Source: https://hl7.org/fhir/uv/ips/STU1.1/. The three required sections are always there, with an
`emptyReason` where the record has nothing; the others only where it has something.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import BadRequest
from apps.patient.codec import Resource, decode
from apps.patient.fhir.requests import (
    base_of,
    caller_of,
    path_id,
    read_audit_of,
    read_operation,
)
from apps.patient.fhir.responses import respond
from apps.patient.search.criteria.criteria import AllOf
from apps.patient.search.criteria.query import Query
from apps.patient.storage.access import Caller
from apps.patient.storage.preconditions import read_patient
from apps.patient.storage.read_audit import ReadEntry
from apps.patient.storage.search import select_matches

LOINC = "http://loinc.org"
EMPTY_REASON = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'
MAX_ENTRIES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the summary: its LOINC code, and the searches that fill it."""

    title: str
    code: str
    searches: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    is_required: bool = False


SECTIONS = (
    Section(
        title="Problems",
        code="11450-4",
        searches=(("Condition", (("clinical-status", "active,recurrence,relapse"),)),),
        is_required=True,
    ),
    Section(
        title="Allergies and intolerances",
        code="48765-2",
        searches=(("AllergyIntolerance", (("verification-status:not", "entered-in-error"),)),),
        is_required=True,
    ),
    Section(
        title="Medication",
        code="10160-0",
        searches=(
            ("MedicationStatement", (("status", "active,intended"),)),
            ("MedicationRequest", (("status", "active,on-hold"),)),
        ),
        is_required=True,
    ),
    Section(
        title="Immunizations",
        code="11369-6",
        searches=(("Immunization", (("status", "completed"),)),),
    ),
    Section(
        title="Procedures",
        code="47519-4",
        searches=(("Procedure", (("status", "completed,in-progress"),)),),
    ),
    Section(
        title="Results",
        code="30954-2",
        searches=(
            (
                "Observation",
                (("category", "laboratory,imaging"), ("status", "final,amended,corrected")),
            ),
            ("DiagnosticReport", (("status", "final,amended,corrected"),)),
        ),
    ),
    Section(
        title="Vital signs",
        code="8716-3",
        searches=(
            ("Observation", (("category", "vital-signs"), ("status", "final,amended,corrected"))),
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    section: Section
    resources: Sequence[Resource]


async def summarise(request: Request) -> Response:
    """Answers the summary of what the caller may read; it names the sections that a
    scope leaves out.
    """
    caller = caller_of(request)
    id = path_id(request)
    caller.require("Patient", "r")
    unknown = [name for name, _ in await read_operation(request)]
    if unknown:
        raise BadRequest(
            "parameter_not_served", "the operation has no parameters", pointer=unknown[0][:100]
        )

    read_audit = read_audit_of(request)
    async with read_audit.database.connection() as connection:
        # A token of another patient's must not learn that this one is there, or was.
        version = await read_patient(connection, id, caller)
        filled = [await fill(connection, caller, section, id) for section in SECTIONS]

    given = [f"Patient/{id}"]
    given += [f"{each['resourceType']}/{each['id']}" for one in filled for each in one.resources]
    await read_audit.record(
        ReadEntry(
            "search",
            caller.author,
            "Bundle",
            patient_id=id,
            query="$summary",
            returned_ids=given,
            patient_ids=[id],
        )
    )
    patient: Resource = decode(version.body or "{}")
    return respond(request, document_of(base_of(request), patient, filled, datetime.now(UTC)))


async def fill(connection: Connection, caller: Caller, section: Section, id: str) -> Filled:
    """Returns the section with what the caller may find and read, at most MAX_ENTRIES
    of each search.
    """
    found: list[Resource] = []
    for kind, pairs in section.searches:
        query = Query(types=(kind,))
        criteria = [
            caller.reader.criterion(query, kind, name, value, 0)
            for name, value in (("patient", f"Patient/{id}"), *pairs)
        ]
        criterion = AllOf(
            criteria=(*criteria, caller.criterion(kind, "s"), caller.criterion(kind, "r"))
        )
        versions = await select_matches(
            connection, kind, criterion, caller.scans.budget, MAX_ENTRIES
        )
        found += [decode(version.body or "{}") for version in versions]
    return Filled(section=section, resources=found)


def document_of(base: str, patient: Resource, filled: Sequence[Filled], now: datetime) -> Resource:
    """Returns the document: Composition first, then the patient, the author and each
    resource once.
    """
    time = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    subject = f"{base}/Patient/{patient['id']}"
    author = {
        "resourceType": "Device",
        "id": new_id(),
        "deviceName": [{"name": "Patient management", "type": "user-friendly-name"}],
    }
    sections = [section_of(base, one) for one in filled if one.resources or one.section.is_required]
    composition: Resource = {
        "resourceType": "Composition",
        "id": new_id(),
        "status": "final",
        "type": _coded(LOINC, "60591-5", "Patient summary Document"),
        "subject": {"reference": subject},
        "date": time,
        "author": [{"reference": f"{base}/Device/{author['id']}"}],
        "title": "International Patient Summary",
        "section": sections,
    }
    resources = [composition, patient, author]
    seen: set[tuple[str, str]] = set()
    for one in filled:
        for resource in one.resources:
            key = (resource["resourceType"], resource["id"])
            if key not in seen:
                seen.add(key)
                resources.append(resource)
    return {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{new_id()}"},
        "type": "document",
        "timestamp": time,
        "entry": [
            {"fullUrl": f"{base}/{each['resourceType']}/{each['id']}", "resource": each}
            for each in resources
        ],
    }


def section_of(base: str, filled: Filled) -> Resource:
    section: Resource = {
        "title": filled.section.title,
        "code": _coded(LOINC, filled.section.code, filled.section.title),
        "text": {"status": "generated", "div": narrative_of(filled)},
    }
    if filled.resources:
        section["entry"] = [
            {"reference": f"{base}/{each['resourceType']}/{each['id']}"}
            for each in filled.resources
        ]
    else:
        # Nothing is recorded: that is not the same as that there is nothing.
        section["emptyReason"] = _coded(EMPTY_REASON, "unavailable", "Unavailable")
    return section


def narrative_of(filled: Filled) -> str:
    """Returns the section as XHTML: a line a resource, or that there is nothing."""
    if not filled.resources:
        return f"<div {XHTML}><p>No information is recorded.</p></div>"
    lines = "".join(f"<li>{html.escape(line_of(each))}</li>" for each in filled.resources)
    return f"<div {XHTML}><ul>{lines}</ul></div>"


def line_of(resource: Resource) -> str:
    """Returns what a resource is about, its value and its day, as far as it says."""
    about = (
        next(
            (
                text_of(resource[name])
                for name in ("code", "vaccineCode", "medicationCodeableConcept")
                if isinstance(resource.get(name), dict)
            ),
            "",
        )
        or str((resource.get("medicationReference") or {}).get("display", ""))
        or "Not coded"
    )
    parts = [about]
    quantity = resource.get("valueQuantity")
    if isinstance(quantity, dict) and "value" in quantity:
        parts.append(f"{quantity['value']} {quantity.get('unit', '')}".strip())
    elif isinstance(resource.get("valueCodeableConcept"), dict):
        parts.append(text_of(resource["valueCodeableConcept"]))
    elif "valueString" in resource:
        parts.append(str(resource["valueString"]))
    day = next(
        (
            str(resource[name])[:10]
            for name in (
                "onsetDateTime",
                "effectiveDateTime",
                "occurrenceDateTime",
                "performedDateTime",
                "authoredOn",
                "recordedDate",
            )
            if name in resource
        ),
        "",
    )
    return ", ".join([part for part in (*parts, day) if part])


def text_of(concept: Any) -> str:
    """Returns a CodeableConcept's text, else the display or code of its first coding."""
    if concept.get("text"):
        return str(concept["text"])
    coding = (concept.get("coding") or [{}])[0]
    return str(coding.get("display") or coding.get("code") or "")


def _coded(system: str, code: str, display: str) -> Resource:
    return {"coding": [{"system": system, "code": code, "display": display}]}
