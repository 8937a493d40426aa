"""Writes the search parameters of the served types."""

import re

from apps.patient.definitions.generator.hl7_source import Json

# The types that are served, in the order in which they are listed. The auth service gives scopes
# on the same ones (`RESOURCE_TYPES`).
SERVED_TYPES = (
    "Patient",
    "RelatedPerson",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Location",
    "HealthcareService",
    "Encounter",
    "Condition",
    "AllergyIntolerance",
    "MedicationRequest",
    "MedicationStatement",
    "MedicationAdministration",
    "Medication",
    "Immunization",
    "Procedure",
    "Observation",
    "DiagnosticReport",
    "ServiceRequest",
    "CarePlan",
    "CareTeam",
    "Goal",
    "DocumentReference",
    "Binary",
    "Coverage",
    "Claim",
    "ExplanationOfBenefit",
    "ImagingStudy",
    "Device",
    "SupplyDelivery",
    "Appointment",
    "Consent",
    "Provenance",
    "AuditEvent",
)


def parameters_of(source: dict[str, Json]) -> dict[str, dict[str, Json]]:
    """Returns the search parameters by type and code; `Resource` has those of every type."""
    listed = [entry["resource"] for entry in source["search-parameters"]["entry"]]
    codes = {parameter["url"]: parameter["code"] for parameter in listed}
    wanted = (*SERVED_TYPES, "Resource")
    found: dict[str, dict[str, Json]] = {name: {} for name in wanted}
    for parameter in listed:
        for base in parameter["base"]:
            if base not in found or "expression" not in parameter:
                continue
            branches = [
                branch
                for branch in split_union(parameter["expression"])
                if re.match(rf"\(*{base}\b", branch)
            ]
            if not branches:
                raise ValueError(f"{parameter['url']} has no expression for {base}")
            made: Json = {"type": parameter["type"], "expression": " | ".join(branches)}
            if parameter.get("target"):
                made["targets"] = sorted(parameter["target"])
            if parameter.get("component"):
                made["components"] = [
                    [codes[part["definition"]], part["expression"].replace("DateTime", "dateTime")]
                    for part in parameter["component"]
                ]
            found[base][parameter["code"]] = made
    return {name: dict(sorted(parameters.items())) for name, parameters in found.items()}


def split_union(expression: str) -> list[str]:
    """Returns the parts of `a | (b | c).d`: `a` and `(b | c).d`."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(expression):
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            parts.append(expression[start:index].strip())
            start = index + 1
    return [*parts, expression[start:].strip()]
