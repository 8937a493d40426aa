"""The clinical entries that a person writes: a form's fields of each kind, and the FHIR resource made of them."""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from apps.console.neighbours import fhir
from apps.console.screens.entries import note_text
from apps.console.web.texts import N_, Texts

MAX_TEXT_CHARS = 20_000
MAX_LINE_CHARS = 300
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
ALLERGY_CLINICAL = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
ALLERGY_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"
OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A field of a form. `type`: text, area, choice, code, date, moment or number."""

    name: str
    label: str
    type: str = "text"
    required: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`build` writes the form into a resource, new or amended; `read` gives the form's values for one."""

    title: str
    resource_type: str
    inputs: tuple[Input, ...]
    build: Callable[[Resource, Values, Context], Resource]
    read: Callable[[Resource, Texts], dict[str, str]]


@cache
def codes(kind: str) -> tuple[tuple[str, str, str], ...]:
    """Gives the shipped codes of a kind: system, code and display."""
    content = (files("apps.console") / "codes" / "codes.json").read_bytes()
    return tuple(tuple(row) for row in msgspec.json.decode(content).get(kind, []))


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


def day(text: str, texts: Texts) -> str:
    """Reads a day, month or year; empty where it is none."""
    if re.fullmatch(r"[12][0-9]{3}(-(0[1-9]|1[0-2]))?", text):
        return text
    found = texts.parse_date(text)
    return found.isoformat() if found else ""


def written_day(value: Any, texts: Texts) -> str:
    """Writes a day for a form."""
    text = str(value or "")[:10]
    return texts.short_date(date.fromisoformat(text)) if len(text) == 10 else text


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
    if dosage != _dosage(resource):
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


def _note(resource: Resource) -> str:
    texts = fhir.notes_of(resource)
    return texts[-1] if texts else ""


def _dosage(resource: Resource) -> str:
    first = next(iter(fhir.as_list(resource.get("dosageInstruction"))), {})
    return str(first.get("text", ""))


def _reaction(resource: Resource) -> str:
    first = next(iter(fhir.as_list(resource.get("reaction"))), {})
    return fhir.text_of(next(iter(fhir.as_list(first.get("manifestation"))), {}))


WHAT = Input(
    name="what",
    label=N_("What"),
    type="code",
    required=True,
    hint=N_("Choose from the list, or write it in your own words."),
)
NOTE = Input(name="note", label=N_("Remark"), type="area")
KINDS: Mapping[str, Kind] = {
    "condition": Kind(
        title=N_("Problem"),
        resource_type="Condition",
        inputs=(
            WHAT,
            Input(
                name="status",
                label=N_("Status"),
                type="choice",
                options={
                    "active": N_("Active"),
                    "remission": N_("Remission"),
                    "resolved": N_("Resolved"),
                },
            ),
            Input(name="since", label=N_("Since"), type="date"),
            NOTE,
        ),
        build=build_condition,
        read=lambda resource, texts: {
            "what": fhir.text_of(resource.get("code")),
            "status": fhir.code_of(resource.get("clinicalStatus"))[1],
            "since": written_day(resource.get("onsetDateTime"), texts),
            "note": _note(resource),
        },
    ),
    "allergy": Kind(
        title=N_("Allergy"),
        resource_type="AllergyIntolerance",
        inputs=(
            WHAT,
            Input(
                name="criticality",
                label=N_("Danger"),
                type="choice",
                options={
                    "": N_("Not recorded"),
                    "low": N_("Low"),
                    "high": N_("High"),
                    "unable-to-assess": N_("Cannot be told"),
                },
            ),
            Input(
                name="category",
                label=N_("Kind"),
                type="choice",
                options={
                    "": N_("Not recorded"),
                    "food": N_("Food"),
                    "medication": N_("Medication"),
                    "environment": N_("Environment"),
                    "biologic": N_("Biologic"),
                },
            ),
            Input(name="reaction", label=N_("Reaction")),
            Input(
                name="status",
                label=N_("Status"),
                type="choice",
                options={
                    "active": N_("Active"),
                    "inactive": N_("Inactive"),
                    "resolved": N_("Resolved"),
                },
            ),
            NOTE,
        ),
        build=build_allergy,
        read=lambda resource, texts: {
            "what": fhir.text_of(resource.get("code")),
            "criticality": str(resource.get("criticality", "")),
            "category": str((resource.get("category") or [""])[0]),
            "reaction": _reaction(resource),
            "status": fhir.code_of(resource.get("clinicalStatus"))[1],
            "note": _note(resource),
        },
    ),
    "medication": Kind(
        title=N_("Medication"),
        resource_type="MedicationRequest",
        inputs=(
            WHAT,
            Input(name="dosage", label=N_("Dosage")),
            Input(
                name="status",
                label=N_("Status"),
                type="choice",
                options={
                    "active": N_("Active"),
                    "on-hold": N_("On hold"),
                    "stopped": N_("Stopped"),
                    "completed": N_("Completed"),
                },
            ),
            NOTE,
        ),
        build=build_medication,
        read=lambda resource, texts: {
            "what": fhir.text_of(resource.get("medicationCodeableConcept")),
            "dosage": _dosage(resource),
            "status": str(resource.get("status", "")),
            "note": _note(resource),
        },
    ),
    "immunization": Kind(
        title=N_("Immunization"),
        resource_type="Immunization",
        inputs=(
            WHAT,
            Input(name="when", label=N_("When"), type="date", hint=N_("Empty: today")),
            Input(name="lot", label=N_("Lot number")),
            NOTE,
        ),
        build=build_immunization,
        read=lambda resource, texts: {
            "what": fhir.text_of(resource.get("vaccineCode")),
            "when": written_day(resource.get("occurrenceDateTime"), texts),
            "lot": str(resource.get("lotNumber", "")),
            "note": _note(resource),
        },
    ),
    "procedure": Kind(
        title=N_("Procedure"),
        resource_type="Procedure",
        inputs=(
            WHAT,
            Input(name="when", label=N_("When"), type="date", hint=N_("Empty: now")),
            NOTE,
        ),
        build=build_procedure,
        read=lambda resource, texts: {
            "what": fhir.text_of(resource.get("code")),
            "when": written_day(fhir.date_of(resource), texts),
            "note": _note(resource),
        },
    ),
    "note": Kind(
        title=N_("Note"),
        resource_type="DocumentReference",
        inputs=(
            Input(name="what", label=N_("Title"), required=True),
            Input(name="text", label=N_("Text"), type="area", required=True),
        ),
        build=build_note,
        read=lambda resource, texts: {"what": fhir.title_of(resource), "text": note_text(resource)},
    ),
}
KIND_OF_TYPE = {kind.resource_type: name for name, kind in KINDS.items()}


def check(kind: Kind, values: Values, texts: Texts) -> dict[str, str]:
    """Finds what is wrong, by field."""
    errors: dict[str, str] = {}
    for each in kind.inputs:
        value = values.get(each.name, "")
        limit = MAX_TEXT_CHARS if each.type == "area" else MAX_LINE_CHARS
        if each.required and not value:
            errors[each.name] = N_("This is required.")
        elif len(value) > limit:
            errors[each.name] = N_("This is too long.")
        elif each.type == "date" and value and not day(value, texts):
            errors[each.name] = N_("This is not a date.")
        elif each.type == "date" and value and day(value, texts) > texts.now().date().isoformat():
            errors[each.name] = N_("This date is in the future.")
        elif each.type == "choice" and value and value not in each.options:
            errors[each.name] = N_("Choose one of the list.")
    return errors


@dataclass(frozen=True, slots=True, kw_only=True)
class VitalSign:
    """A vital sign of FHIR's own profiles: LOINC code, UCUM unit, and what a person can have."""

    name: str
    label: str
    code: str
    display: str
    unit: str
    ucum: str
    low: Decimal
    high: Decimal


VITAL_SIGNS = tuple(
    VitalSign(
        name=name,
        label=label,
        code=code,
        display=display,
        unit=unit,
        ucum=ucum,
        low=Decimal(low),
        high=Decimal(high),
    )
    for name, label, code, display, unit, ucum, low, high in (
        ("systolic", N_("Blood pressure, systolic"), "8480-6", "Systolic blood pressure", "mmHg", "mm[Hg]", 30, 350),
        ("diastolic", N_("Blood pressure, diastolic"), "8462-4", "Diastolic blood pressure", "mmHg", "mm[Hg]", 10, 250),
        ("pulse", N_("Heart rate"), "8867-4", "Heart rate", "/min", "/min", 10, 350),
        ("breaths", N_("Respiratory rate"), "9279-1", "Respiratory rate", "/min", "/min", 2, 120),
        ("temperature", N_("Body temperature"), "8310-5", "Body temperature", "°C", "Cel", 20, 45),
        ("saturation", N_("Oxygen saturation"), "59408-5", "Oxygen saturation by pulse oximetry", "%", "%", 20, 100),
        ("weight", N_("Body weight"), "29463-7", "Body weight", "kg", "kg", "0.2", 500),
        ("height", N_("Body height"), "8302-2", "Body height", "cm", "cm", 20, 260),
    )
)  # fmt: skip


def read_number(text: str) -> Decimal | None:
    """Reads a number with a decimal point or comma."""
    try:
        number = Decimal(text.replace(",", ".").replace(" ", ""))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def check_vitals(values: Values) -> dict[str, str]:
    """Finds what is no number, or none that a living person has."""
    errors: dict[str, str] = {}
    given = [each for each in VITAL_SIGNS if values.get(each.name)]
    for each in given:
        number = read_number(values[each.name])
        if number is None:
            errors[each.name] = N_("This is not a number.")
        elif not each.low <= number <= each.high:
            errors[each.name] = N_("This value is not possible.")
    names = {each.name for each in given}
    if len(names & {"systolic", "diastolic"}) == 1:
        missing = ({"systolic", "diastolic"} - names).pop()
        errors[missing] = N_("Enter both values of the blood pressure.")
    if not given:
        errors["systolic"] = N_("Enter at least one value.")
    return errors


def build_vitals(values: Values, context: Context) -> list[Resource]:
    """Makes the Observations: one a sign, the blood pressure as a panel."""
    found = []
    for each in VITAL_SIGNS:
        if not values.get(each.name) or each.name in ("systolic", "diastolic"):
            continue
        number = read_number(values[each.name])
        assert number is not None
        resource = _observation(each.code, each.display, context)
        resource["valueQuantity"] = _quantity(each, number)
        found.append(resource)
    if values.get("systolic"):
        panel = _observation("85354-9", "Blood pressure panel", context)
        panel["component"] = []
        for each in VITAL_SIGNS[:2]:
            number = read_number(values[each.name])
            assert number is not None
            code = {"coding": [{"system": LOINC, "code": each.code, "display": each.display}]}
            panel["component"].append({"code": code, "valueQuantity": _quantity(each, number)})
        found.append(panel)
    return found


def _quantity(sign: VitalSign, number: Decimal) -> Resource:
    value = int(number) if number == number.to_integral_value() else float(number)
    return {"value": value, "unit": sign.unit, "system": UCUM, "code": sign.ucum}


def _observation(code: str, display: str, context: Context) -> Resource:
    resource: Resource = {
        "resourceType": "Observation",
        "status": "final",
        "category": [coding(OBSERVATION_CATEGORY, "vital-signs")],
        "code": {
            "coding": [{"system": LOINC, "code": code, "display": display}],
            "text": display,
        },
        "effectiveDateTime": context.now.isoformat(timespec="seconds"),
        "performer": [{"display": context.author}],
    }
    base(resource, context)
    return resource
