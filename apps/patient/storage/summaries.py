"""What a resource says in short: for events, which statistics read, and for
`/api/patients`. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from apps.patient.codec import Resource
from apps.patient.search.index.moments import Moment, parse_moment
from apps.patient.search.statements.sql import moment_of

REGISTERED_DATE_URL = "urn:patient-management:registered-date"


class Coding(msgspec.Struct, frozen=True):
    system: str
    code: str


class PatientSummary(msgspec.Struct, frozen=True, kw_only=True):
    """None where the record has none. `registered_date` is the one that /api/patients was given."""

    name: str | None = None
    address: str | None = None
    email: str | None = None
    birth_date: str | None = None
    gender: str | None = None
    postal_code: str | None = None
    registered_date: str | None = None
    # The id of the patient that this one was merged into.
    merged_into: str | None = None


class ClinicalSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`happened_at` is when it began, `ended_at` an Encounter's end."""

    status: str | None = None
    codings: tuple[Coding, ...] = ()
    categories: tuple[Coding, ...] = ()
    reasons: tuple[Coding, ...] = ()
    happened_at: datetime | None = None
    ended_at: datetime | None = None
    encounter_id: str | None = None


Summary = PatientSummary | ClinicalSummary


def objects(value: Any) -> list[Resource]:
    """Returns the objects of a list, of a lone object, or of nothing."""
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def official_name(resource: Resource) -> Resource | None:
    """Returns the official name, else the first that is not an old one, else the first."""
    names = objects(resource.get("name"))
    for name in names:
        if name.get("use") == "official":
            return name
    return next((name for name in names if name.get("use") != "old"), names[0] if names else None)


def display_name(resource: Resource) -> str | None:
    name = official_name(resource)
    if name is None:
        return None
    text: str | None = name.get("text")
    return text or _joined(
        " ", [*_texts(name, "prefix", "given"), name.get("family"), *_texts(name, "suffix")]
    )


def first_address(resource: Resource) -> str | None:
    for address in objects(resource.get("address")):
        text: str | None = address.get("text")
        region = _joined(" ", [address.get("state"), address.get("postalCode")])
        return text or _joined(
            ", ", [*_texts(address, "line"), address.get("city"), region, address.get("country")]
        )
    return None


def first_email(resource: Resource) -> str | None:
    for contact in objects(resource.get("telecom")):
        if contact.get("system") == "email" and contact.get("value"):
            return str(contact["value"])
    return None


def registered_date(resource: Resource) -> str | None:
    for extension in objects(resource.get("extension")):
        if extension.get("url") == REGISTERED_DATE_URL:
            date: str | None = extension.get("valueDate")
            return date
    return None


def merged_into(resource: Resource) -> str | None:
    """Returns the id of the patient that replaces this one, if `link` names one."""
    for link in objects(resource.get("link")):
        if link.get("type") == "replaced-by":
            return referenced_id(link.get("other"), "Patient")
    return None


def referenced_id(value: Any, resource_type: str) -> str | None:
    """Returns the id of a reference to a resource of this type, whatever its base and version."""
    reference = value.get("reference") if isinstance(value, dict) else None
    if not isinstance(reference, str):
        return None
    parts = reference.partition("/_history/")[0].split("/")
    return parts[-1] if len(parts) > 1 and parts[-2] == resource_type else None


def _texts(value: Resource, *names: str) -> list[str]:
    return [item for name in names for item in value.get(name, ()) if isinstance(item, str)]


def _joined(separator: str, parts: Iterable[str | None]) -> str | None:
    return separator.join(part for part in parts if part) or None


def summary_of(resource: Resource) -> Summary:
    if resource["resourceType"] == "Patient":
        return _patient_summary(resource)
    return _clinical_summary(resource)


def _patient_summary(resource: Resource) -> PatientSummary:
    addresses = objects(resource.get("address"))
    return PatientSummary(
        name=display_name(resource),
        address=first_address(resource),
        email=first_email(resource),
        birth_date=resource.get("birthDate"),
        gender=resource.get("gender"),
        postal_code=next(
            (address["postalCode"] for address in addresses if address.get("postalCode")), None
        ),
        registered_date=registered_date(resource),
        merged_into=merged_into(resource),
    )


# Where a type has its code, its category and its time under another name; for the time the first
# that is there.
_CODE: Mapping[str, str] = {
    "Encounter": "type",
    "Immunization": "vaccineCode",
    "MedicationRequest": "medicationCodeableConcept",
    "MedicationStatement": "medicationCodeableConcept",
    "MedicationAdministration": "medicationCodeableConcept",
    "Claim": "type",
    "ExplanationOfBenefit": "type",
    "DocumentReference": "type",
    "Coverage": "type",
    "Device": "type",
    "SupplyDelivery": "type",
    "Appointment": "appointmentType",
}
_CATEGORY: Mapping[str, str] = {"Encounter": "class"}
_WHEN = (
    "effectiveDateTime",
    "effectiveInstant",
    "effectivePeriod",
    "performedDateTime",
    "performedPeriod",
    "onsetDateTime",
    "onsetPeriod",
    "occurrenceDateTime",
    "occurrencePeriod",
    "period",
    "authoredOn",
    "billablePeriod",
    "started",
    "start",
    "date",
    "dateTime",
    "issued",
    "recordedDate",
    "recorded",
    "created",
)


def _clinical_summary(resource: Resource) -> ClinicalSummary:
    resource_type = resource["resourceType"]
    status: str | None = resource.get("status")
    if status is None:
        status = next((coding.code for coding in _codings(resource.get("clinicalStatus"))), None)
    happened_at, ended_at = _when(resource)
    return ClinicalSummary(
        status=status,
        codings=tuple(_codings(resource.get(_CODE.get(resource_type, "code")))),
        categories=tuple(_codings(resource.get(_CATEGORY.get(resource_type, "category")))),
        reasons=tuple(_codings(resource.get("reasonCode"))) if resource_type == "Encounter" else (),
        happened_at=happened_at,
        ended_at=ended_at if resource_type == "Encounter" else None,
        encounter_id=referenced_id(resource.get("encounter"), "Encounter"),
    )


def _codings(value: Any) -> Iterator[Coding]:
    """Returns the codings of codes, Codings and CodeableConcepts, alone or in a list."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield Coding("", item)
        elif isinstance(item, dict):
            for coding in objects(item.get("coding", item if "code" in item else None)):
                if coding.get("code"):
                    yield Coding(coding.get("system", ""), coding["code"])


def _when(resource: Resource) -> tuple[datetime | None, datetime | None]:
    """Returns when it began, and when a period ended."""
    for name in _WHEN:
        value = resource.get(name)
        if isinstance(value, str):
            span = parse_moment(value)
            if span:
                return moment_of(span.start), None
        elif isinstance(value, dict):
            start, end = _span(value.get("start")), _span(value.get("end"))
            if start or end:
                return (
                    moment_of(start.start) if start else None,
                    moment_of(end.start) if end else None,
                )
    return None, None


def _span(value: Any) -> Moment | None:
    return parse_moment(value) if isinstance(value, str) else None
