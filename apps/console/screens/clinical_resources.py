"""The FHIR resources of what people write into a chart, made from a form's values or
amended by them.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.console.neighbours import fhir
from apps.console.screens.form_values import codes, day
from apps.console.web.texts import Texts

CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
ALLERGY_CLINICAL = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
ALLERGY_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"
OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an entry says beside the form: whose it is, who writes, in which encounter, and when."""

    patient_id: str
    author: str
    encounter_id: str
    now: datetime
    texts: Texts


Values = Mapping[str, str]
Resource = dict[str, Any]


def concept(kind: str, text: str) -> Resource:
    """Gives the concept that a text names in the shipped list, else the text alone."""
    for system, code, display in codes(kind):
        if display.lower() == text.lower():
            return {
                "coding": [{"system": system, "code": code, "display": display}],
                "text": display,
            }
    return {"text": text}


def put_concept(resource: Resource, element: str, kind: str, text: str) -> None:
    """Sets a concept, unless it already says this: a code from elsewhere is kept."""
    if fhir.text_of(resource.get(element)) != text:
        resource[element] = concept(kind, text)


def coding(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def put(resource: Resource, element: str, value: Any) -> None:
    """Sets an element, or removes it: FHIR has no empty ones."""
    if value:
        resource[element] = value
    else:
        resource.pop(element, None)


def put_note(resource: Resource, text: str, context: Context) -> None:
    """Sets the newest annotation; what others wrote before it stays."""
    notes = fhir.as_list(resource.get("note"))
    if notes and notes[-1].get("text") == text:
        return
    if not text:
        put(resource, "note", notes[:-1])
        return
    note = {
        "text": text,
        "time": context.now.isoformat(timespec="seconds"),
        "authorString": context.author,
    }
    resource["note"] = [*notes[:-1], note]


def base(resource: Resource, context: Context, subject: str = "subject") -> None:
    """Sets whose entry it is, and in which encounter it was made."""
    resource.setdefault(subject, {"reference": f"Patient/{context.patient_id}"})
    if context.encounter_id and "id" not in resource:
        resource["encounter"] = {"reference": f"Encounter/{context.encounter_id}"}
    resource.pop("text", None)


def build_condition(resource: Resource, values: Values, context: Context) -> Resource:
    base(resource, context)
    put_concept(resource, "code", "condition", values["what"])
    resource["clinicalStatus"] = coding(CLINICAL, values.get("status") or "active")
    resource.setdefault("verificationStatus", coding(VERIFICATION, "confirmed"))
    resource.setdefault("category", [coding(CATEGORY, "problem-list-item")])
    resource.setdefault("recordedDate", context.now.isoformat(timespec="seconds"))
    resource.setdefault("recorder", {"display": context.author})
    put(resource, "onsetDateTime", day(values.get("since", ""), context.texts))
    put_note(resource, values.get("note", ""), context)
    return resource


def build_allergy(resource: Resource, values: Values, context: Context) -> Resource:
    resource.pop("text", None)
    resource.setdefault("patient", {"reference": f"Patient/{context.patient_id}"})
    put_concept(resource, "code", "allergy", values["what"])
    resource["clinicalStatus"] = coding(ALLERGY_CLINICAL, values.get("status") or "active")
    resource.setdefault("verificationStatus", coding(ALLERGY_VERIFICATION, "confirmed"))
    resource.setdefault("recordedDate", context.now.isoformat(timespec="seconds"))
    resource.setdefault("recorder", {"display": context.author})
    put(resource, "criticality", values.get("criticality", ""))
    put(resource, "category", [values["category"]] if values.get("category") else None)
    reaction = values.get("reaction", "")
    put(resource, "reaction", [{"manifestation": [{"text": reaction}]}] if reaction else None)
    put_note(resource, values.get("note", ""), context)
    return resource


def build_medication(resource: Resource, values: Values, context: Context) -> Resource:
    base(resource, context)
    put_concept(resource, "medicationCodeableConcept", "medication", values["what"])
    resource["status"] = values.get("status") or "active"
    resource.setdefault("intent", "order")
    resource.setdefault("authoredOn", context.now.isoformat(timespec="seconds"))
    resource.setdefault("requester", {"display": context.author})
    dosage = values.get("dosage", "")
    if dosage != dosage_of(resource):
        put(resource, "dosageInstruction", [{"text": dosage}] if dosage else None)
    put_note(resource, values.get("note", ""), context)
    return resource


def build_immunization(resource: Resource, values: Values, context: Context) -> Resource:
    base(resource, context, "patient")
    put_concept(resource, "vaccineCode", "immunization", values["what"])
    resource.setdefault("status", "completed")
    resource["occurrenceDateTime"] = day(values.get("when", ""), context.texts) or (
        context.now.date().isoformat()
    )
    resource.setdefault("performer", [{"actor": {"display": context.author}}])
    put(resource, "lotNumber", values.get("lot", ""))
    put_note(resource, values.get("note", ""), context)
    return resource


def build_procedure(resource: Resource, values: Values, context: Context) -> Resource:
    base(resource, context)
    put_concept(resource, "code", "procedure", values["what"])
    resource.setdefault("status", "completed")
    when = day(values.get("when", ""), context.texts)
    if "performedPeriod" not in resource:
        resource["performedDateTime"] = when or context.now.isoformat(timespec="seconds")
    resource.setdefault("performer", [{"actor": {"display": context.author}}])
    put_note(resource, values.get("note", ""), context)
    return resource


def build_note(resource: Resource, values: Values, context: Context) -> Resource:
    resource.pop("text", None)
    resource.setdefault("subject", {"reference": f"Patient/{context.patient_id}"})
    resource.setdefault("status", "current")
    resource.setdefault(
        "type",
        {
            "coding": [{"system": LOINC, "code": "34109-9", "display": "Note"}],
        },
    )
    resource["type"]["text"] = values["what"]
    resource["description"] = values["what"]
    resource.setdefault("date", context.now.isoformat(timespec="seconds"))
    resource.setdefault("author", [{"display": context.author}])
    if context.encounter_id and "id" not in resource:
        resource["context"] = {"encounter": [{"reference": f"Encounter/{context.encounter_id}"}]}
    data = base64.b64encode(values["text"].encode()).decode()
    attachment = {"contentType": "text/plain; charset=utf-8", "data": data}
    resource["content"] = [{"attachment": attachment}]
    return resource


def dosage_of(resource: Resource) -> str:
    """Gives the first dosage instruction's text."""
    first = next(iter(fhir.as_list(resource.get("dosageInstruction"))), {})
    return str(first.get("text", ""))
