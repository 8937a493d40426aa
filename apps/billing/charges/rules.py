"""Which resources of the record are charged: one table. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

# A resource is charged once it has one of these statuses, by its first coding (Encounter.type, Procedure.code,
# Immunization.vaccineCode); in any other status, and once it is deleted, it is not.
CHARGED_STATUSES: Mapping[str, frozenset[str]] = {
    "Encounter": frozenset({"finished"}),
    "Procedure": frozenset({"completed"}),
    "Immunization": frozenset({"completed"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What a clinical event says of a resource that may be charged."""

    patient_id: str
    resource_type: str
    resource_id: str
    version: int
    deleted: bool
    status: str
    system: str
    code: str
    occurred_at: datetime
    encounter_id: str = ""


def concerns_billing(resource_type: str) -> bool:
    return resource_type in CHARGED_STATUSES


def is_charged(fact: Fact) -> bool:
    """Tells whether the resource, as this version has it, is charged."""
    return (
        not fact.deleted
        and fact.code != ""
        and (fact.status in CHARGED_STATUSES[fact.resource_type])
    )
