"""The clinical entries that a person writes: the fields of each kind's form, its checks,
and its resource.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from apps.console.neighbours import fhir
from apps.console.screens.clinical_resources import (
    Context,
    Resource,
    Values,
    build_allergy,
    build_condition,
    build_immunization,
    build_medication,
    build_note,
    build_procedure,
    dosage_of,
)
from apps.console.screens.entries import note_text
from apps.console.screens.form_values import day, written_day
from apps.console.web.texts import Texts
from apps.kit.texts import N_

MAX_TEXT_CHARS = 20_000
MAX_LINE_CHARS = 300


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
class Kind:
    """`build` writes the form into a resource, new or amended; `read` gives the form's
    values for one.
    """

    title: str
    resource_type: str
    inputs: tuple[Input, ...]
    build: Callable[[Resource, Values, Context], Resource]
    read: Callable[[Resource, Texts], dict[str, str]]


def _note(resource: Resource) -> str:
    texts = fhir.notes_of(resource)
    return texts[-1] if texts else ""


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
            "dosage": dosage_of(resource),
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
