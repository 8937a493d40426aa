"""A change of the record: the next version of one resource, made of what came in. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from apps.kit.errors import FieldError, Unprocessable
from apps.patient.codec import Resource, encode
from apps.patient.search.index_columns import (
    ClinicalColumns,
    PatientColumns,
    clinical_columns,
    patient_columns,
)

Method = Literal["POST", "PUT", "DELETE"]


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes or reads, in which request: for the audit trail and the events."""

    actor_id: str
    client_id: str
    request_id: str
    traceparent: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource as it is kept. `body` is exactly what is given back, None for a deletion."""

    resource_type: str
    id: str
    version_id: int
    patient_id: str
    recorded_at: datetime
    method: Method
    body: str | None

    @property
    def etag(self) -> str:
        return f'W/"{self.version_id}"'

    @property
    def reference(self) -> str:
        return f"{self.resource_type}/{self.id}/_history/{self.version_id}"


@dataclass(frozen=True, slots=True)
class Change:
    """A version to be written, with what its columns need. `mrn` for a Patient."""

    version: Version
    columns: PatientColumns | ClinicalColumns
    mrn: str = ""


def now() -> datetime:
    """FHIR's instants are given in milliseconds."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def format_instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def change_of(
    resource: Resource,
    *,
    id: str,
    version_id: int,
    patient_id: str,
    recorded_at: datetime,
    method: Method,
    mrn: str = "",
) -> Change:
    """`resource` as version `version_id` of `id`: its own id and meta.versionId and lastUpdated are replaced."""
    meta = resource.get("meta") or {}
    stored = {
        "resourceType": resource["resourceType"],
        "id": id,
        "meta": {"versionId": str(version_id), "lastUpdated": format_instant(recorded_at)}
        | {name: value for name, value in meta.items() if name not in ("versionId", "lastUpdated")},
    } | {
        name: value
        for name, value in resource.items()
        if name not in ("resourceType", "id", "meta")
    }
    version = Version(
        resource["resourceType"],
        id,
        version_id,
        patient_id,
        recorded_at,
        method,
        encode(stored).decode(),
    )
    columns = (
        patient_columns(resource)
        if version.resource_type == "Patient"
        else clinical_columns(resource)
    )
    return Change(version, columns, mrn)


def deletion_of(current: Version, recorded_at: datetime, mrn: str = "") -> Change:
    version = Version(
        current.resource_type,
        current.id,
        current.version_id + 1,
        current.patient_id,
        recorded_at,
        "DELETE",
        None,
    )
    if version.resource_type == "Patient":
        return Change(
            version, PatientColumns(None, None, None, None, None, None, None, None, ()), mrn
        )
    return Change(version, ClinicalColumns(None, (), (), None, None, None))


def subject_of(resource: Resource, at: str = "") -> str:
    """The id of the patient that a resource of the history is about; raises Unprocessable where it names none.

    `at` is the JSON pointer of the resource in the body that it came in.
    """
    element = (
        "patient"
        if resource["resourceType"] in ("AllergyIntolerance", "Immunization")
        else "subject"
    )
    reference = resource.get(element)
    text = reference.get("reference") if isinstance(reference, dict) else None
    pointer = f"{at}/{element}/reference"
    if (
        not isinstance(text, str)
        or not text.startswith("Patient/")
        or not text[8:]
        or "/" in text[8:]
    ):
        message = "expected Patient/<id>: the record belongs to a patient of this service"
        raise Unprocessable(
            "patient_required", message, faults=(FieldError("required", message, pointer),)
        )
    return text.removeprefix("Patient/")
