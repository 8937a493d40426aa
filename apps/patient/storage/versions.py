"""A change of the record: the next version of one resource, made of what came in. Pure."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from apps.patient.codec import Resource, decode, encode
from apps.patient.search.index.index_rows import IndexRows
from apps.patient.search.index.index_values import IndexValue, ReferenceValue
from apps.patient.search.index.resource_index import Index, index_of, stored_index
from apps.patient.storage.bodies import unpack
from apps.patient.storage.summaries import ClinicalSummary, PatientSummary, Summary, summary_of

Method = Literal["POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes or reads, in which request: for the audit trail and the events."""

    actor_id: str
    client_id: str
    request_id: str
    traceparent: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource as it is kept. `body` is exactly what is given back, None
    for a deletion.

    `patient_id` names the patient whose record it belongs to, None for an
    organization and the like.
    """

    resource_type: str
    id: str
    version_id: int
    patient_id: str | None
    recorded_at: datetime
    method: Method
    body: str | None

    @property
    def etag(self) -> str:
        return f'W/"{self.version_id}"'

    @property
    def reference(self) -> str:
        return f"{self.resource_type}/{self.id}/_history/{self.version_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The current version as a change needs it: with its row's number and what the
    index has of it.
    """

    version: Version
    number: int
    value_hashes: tuple[int, ...]
    target_hashes: frozenset[int]
    ranges_hash: int
    mrn: str | None
    index_version: int


def version_of(row: Any) -> Version:
    """Returns the version of a row whose last column is the stored body."""
    # By place: a page reads hundreds, and by name each costs a third more.
    return Version(row[0], row[1], row[2], row[3], row[4], row[5], unpack(row[6]))


class PatientView(msgspec.Struct, frozen=True, rename="camel"):
    """The resource of /api/patients. `registered_date` is left out where there is none."""

    id: str
    name: str | None
    address: str | None
    email: str | None
    date_of_birth: str | None
    registered_date: str | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A version to be written, with what its index and its event need. `stored` is the one
    before it, if any.
    """

    version: Version
    summary: Summary
    index: IndexRows
    stored: Stored | None = None
    mrn: str | None = None
    # The values are kept for checks of scopes that are limited by search parameters.
    values: tuple[IndexValue, ...] = field(default=(), repr=False)
    # (type, id) of what contained resources refer to.
    contained_references: frozenset[tuple[str, str]] = frozenset()


def now() -> datetime:
    """Returns the time in milliseconds, as FHIR's instants are given."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def format_instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def change_of(
    resource: Resource,
    *,
    id: str,
    method: Method,
    base_url: str,
    stored: Stored | None = None,
    recorded_at: datetime | None = None,
    mrn: str | None = None,
) -> Change:
    """Returns `resource` as the version behind `stored`: its id, meta.versionId and
    meta.lastUpdated are replaced.
    """
    recorded_at = recorded_at or now()
    version_id = stored.version.version_id + 1 if stored else 1
    body = encode(stored_form(resource, id, version_id, recorded_at)).decode()
    resource_type = resource["resourceType"]
    index = index_of(resource, base_url)
    version = Version(
        resource_type=resource_type,
        id=id,
        version_id=version_id,
        patient_id=id if resource_type == "Patient" else owner_of(index.values),
        recorded_at=recorded_at,
        method=method,
        body=body,
    )
    return Change(
        version=version,
        summary=summary_of(resource),
        index=index.rows,
        stored=stored,
        mrn=mrn,
        values=index.values,
        contained_references=index.contained_references,
    )


def change_of_version(
    version: Version, base_url: str, stored: Stored | None, mrn: str | None
) -> Change:
    """Returns a version that is there already as a change, to be indexed as it is."""
    resource: Resource = decode(version.body) if version.body else {}
    index = stored_index(resource, base_url) if resource else Index(values=(), rows=IndexRows())
    is_patient = version.resource_type == "Patient"
    nothing: Summary = PatientSummary() if is_patient else ClinicalSummary()
    return Change(
        version=version,
        summary=summary_of(resource) if resource else nothing,
        index=index.rows,
        stored=stored,
        mrn=mrn,
        values=index.values,
    )


def stored_form(resource: Resource, id: str, version_id: int, recorded_at: datetime) -> Resource:
    """Returns the resource with what the server owns: it comes first, all else
    stays in its order.
    """
    meta = resource.get("meta") or {}
    owned = {"versionId": str(version_id), "lastUpdated": format_instant(recorded_at)}
    return {
        "resourceType": resource["resourceType"],
        "id": id,
        "meta": owned | {name: value for name, value in meta.items() if name not in owned},
    } | {
        name: value
        for name, value in resource.items()
        if name not in ("resourceType", "id", "meta")
    }


# What a PUT without it does not take away (https://hl7.org/fhir/R4/resource.html#tag-updates).
_KEPT_META = ("profile", "security", "tag")


def with_kept_meta(resource: Resource, current: Version | None) -> Resource:
    """Returns `resource` with the tags, security labels and profiles that it does not mention."""
    if current is None or current.body is None:
        return resource
    kept = {
        name: value
        for name, value in (decode(current.body).get("meta") or {}).items()
        if name in _KEPT_META
    }
    meta = resource.get("meta") or {}
    return {**resource, "meta": {**kept, **meta}} if kept else resource


def view_of(id: str, summary: PatientSummary) -> PatientView:
    return PatientView(
        id=id,
        name=summary.name,
        address=summary.address,
        email=summary.email,
        date_of_birth=summary.birth_date,
        registered_date=summary.registered_date or msgspec.UNSET,
    )


def owner_of(values: tuple[IndexValue, ...]) -> str | None:
    """Returns the id of the patient whose record a resource with these values belongs to."""
    for value in values:
        if isinstance(value, ReferenceValue) and value.parameter == "patient" and value.id:
            return value.id
    return None


def deletion_of(stored: Stored) -> Change:
    """Returns the version that says that a resource is deleted."""
    current = stored.version
    version = Version(
        resource_type=current.resource_type,
        id=current.id,
        version_id=current.version_id + 1,
        patient_id=current.patient_id,
        recorded_at=now(),
        method="DELETE",
        body=None,
    )
    is_patient = current.resource_type == "Patient"
    return Change(
        version=version,
        summary=PatientSummary() if is_patient else ClinicalSummary(),
        index=IndexRows(),
        stored=stored,
        mrn=stored.mrn,
    )
