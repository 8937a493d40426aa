"""An example of each type, made from the definitions: what R4 requires, and what a
reader looks for.
"""

from collections.abc import Mapping
from typing import Any

from apps.patient.definitions.model import Element, definition_of, is_primitive, served_types

Example = dict[str, Any]

# Shown beside what is required, where a type has it.
_TELLING = (
    *("status", "code", "subject", "patient", "name", "gender", "birthDate"),
    *("clinicalStatus", "recordedDate", "authoredOn", "effectiveDateTime", "onsetDateTime"),
    *("valueQuantity", "period", "start", "end"),
)
_VALUES: Mapping[str, Any] = {
    "boolean": True,
    "date": "1985-12-10",
    "dateTime": "2026-03-01T09:30:00+01:00",
    "instant": "2026-03-01T09:30:00+01:00",
    "decimal": 1.5,
    "integer": 1,
    "positiveInt": 1,
    "unsignedInt": 1,
    "base64Binary": "RXhhbXBsZQ==",
    "code": "en",
    "markdown": "Example",
    "string": "Example",
    "CodeableConcept": {"text": "Example"},
    "Coding": {"system": "http://example.org/codes", "code": "example"},
    "Period": {"start": "2026-03-01T09:30:00+01:00", "end": "2026-03-01T10:00:00+01:00"},
    "Quantity": {
        "value": 72.5,
        "unit": "kg",
        "system": "http://unitsofmeasure.org",
        "code": "kg",
    },
    "Identifier": {"system": "http://example.org/ids", "value": "1234"},
    "HumanName": {"family": "Example", "given": ["Ada"]},
    "Money": {"value": 125.5, "currency": "USD"},
    "Attachment": {"contentType": "text/plain", "data": "RXhhbXBsZQ=="},
}
# By path: where the first code of a set, or the least that is required, would break an invariant.
_INSTEAD: Mapping[str, Any] = {
    "AllergyIntolerance.clinicalStatus": "active",
    "Appointment.start": "2026-03-01T09:30:00+01:00",
    "Appointment.end": "2026-03-01T10:00:00+01:00",
    "Appointment.participant.actor": {"reference": "Patient/example"},
    "Binary.contentType": "text/plain",
    "Binary.data": "RXhhbXBsZQ==",
    "Condition.clinicalStatus": "active",
    "Consent.policyRule": {"text": "Example"},
    "HealthcareService.name": "Example",
    "Location.name": "Example",
    "Organization.name": "Example",
}


def example_of(resource_type: str) -> Example:
    """Returns a resource of this type that the service accepts, but for the references in it."""
    return {"resourceType": resource_type, **_object(resource_type)}


def examples() -> dict[str, Example]:
    """Returns the examples that operations name, by their names among the components."""
    found = {name: example_of(name) for name in served_types()}
    entry = {
        "fullUrl": "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a",
        "resource": found["Patient"],
        "request": {"method": "POST", "url": "Patient"},
    }
    observation = {**found["Observation"], "subject": {"reference": entry["fullUrl"]}}
    second = {"resource": observation, "request": {"method": "POST", "url": "Observation"}}
    found["Bundle"] = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [entry, second],
    }
    found["Parameters"] = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "resource", "resource": found["Patient"]},
            {"name": "count", "valueInteger": 5},
        ],
    }
    return {f"fhir.{name}": {"value": value} for name, value in found.items()}


def _object(type_name: str) -> Example:
    definition = definition_of(type_name)
    required = {_preferred(names) for names in definition.required}
    made: Example = {}
    for name, element in definition.elements.items():
        instead = _INSTEAD.get(f"{type_name}.{name}")
        telling = definition.is_resource and name in _TELLING
        if name not in required and not telling and instead is None:
            continue
        value = _value(element) if not isinstance(instead, (dict, str)) else instead
        if isinstance(instead, str) and element.codes is not None:
            value = _coded(element, instead)
        made[name] = [value] if element.many else value
    return made


def _preferred(names: tuple[str, ...]) -> str:
    """Returns the one of a choice that tells most."""
    for ending in ("DateTime", "CodeableConcept", "Reference", "Period"):
        for name in names:
            if name.endswith(ending):
                return name
    return names[0]


def _value(element: Element) -> Any:
    if element.codes:
        preferred = ("active", "final", "completed", "finished", "order", "booked", "create")
        code = next((code for code in preferred if code in element.codes), min(element.codes))
        return _coded(element, code)
    if element.type == "Reference":
        targets = element.targets or {"Patient"}
        target = (
            "Patient" if "Patient" in targets else min(targets & set(served_types()) or targets)
        )
        return {"reference": f"{target}/example"}
    if element.type in _VALUES:
        return _VALUES[element.type]
    return "http://example.org" if is_primitive(element.type) else _object(element.type)


def _coded(element: Element, code: str) -> Any:
    assert element.codes is not None
    if element.type == "code":
        return code
    coding = {"system": element.codes[code], "code": code}
    return {"coding": [coding]} if element.type == "CodeableConcept" else coding
