"""Which resources of the record are charged, and which coverages pay: one table. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

# A resource is charged once it has one of these statuses, by its first coding (Encounter.type,
# Procedure.code, Immunization.vaccineCode); in any other status, and once it is deleted, it is not.
CHARGED_STATUSES: Mapping[str, frozenset[str]] = {
    "Encounter": frozenset({"finished"}),
    "Procedure": frozenset({"completed"}),
    "Immunization": frozenset({"completed"}),
}

# An Encounter without a coded type is charged by its class, where the class is one of these.
CLASS_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CHARGED_CLASSES = frozenset({"AMB", "EMER", "IMP", "HH", "VR"})


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

    @property
    def source(self) -> tuple[str, str]:
        return self.resource_type, self.resource_id


# Only a Coverage with this status pays.
COVERING_STATUS = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageFact:
    """What a clinical event says of a Coverage. `order`: 0 where the record has none.

    The patient pays a part in basis points, or an amount as a decimal in a currency, or nothing.
    """

    patient_id: str
    coverage_id: str
    version: int
    deleted: bool
    status: str
    payer_id: str
    order: int
    valid_from: date | None
    valid_to: date | None
    copay_basis_points: int
    copay_amount: Decimal | None
    copay_currency: str


def concerns_billing(resource_type: str) -> bool:
    return resource_type in CHARGED_STATUSES


def charged_code(resource_type: str, system: str, code: str, category: str) -> tuple[str, str]:
    """Returns the code system and the code that the resource is charged by; "" is no code."""
    if not code and resource_type == "Encounter" and category in CHARGED_CLASSES:
        return CLASS_SYSTEM, category
    return system, code


def is_charged(fact: Fact) -> bool:
    """Tells whether the resource, as this version has it, is charged."""
    return (
        not fact.deleted
        and fact.code != ""
        and (fact.status in CHARGED_STATUSES[fact.resource_type])
    )
