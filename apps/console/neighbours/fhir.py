"""Reads FHIR R4 resources as a page shows them. What is missing or malformed gives an empty text,
never an error.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Resource = Mapping[str, Any]
MRN_SYSTEM = "urn:patient-management:mrn"
# Elements that tell when something happened, the most telling first.
DATES = (
    "effectiveDateTime",
    "effectivePeriod",
    "effectiveInstant",
    "onsetDateTime",
    "onsetPeriod",
    "occurrenceDateTime",
    "performedDateTime",
    "performedPeriod",
    "period",
    "authoredOn",
    "date",
    "started",
    "issued",
    "recordedDate",
    "recorded",
    "created",
    "start",
)
TITLES = (
    "code",
    "vaccineCode",
    "medicationCodeableConcept",
    "type",
    "description",
    "serviceType",
    "procedureCode",
    "category",
    "class",
    "scope",
)
_TAG = re.compile(r"<[^>]*>")


def entries(bundle: Any) -> list[dict[str, Any]]:
    """Gives the resources that a search found, without outcomes and what was included."""
    found = []
    for entry in as_list(as_dict(bundle).get("entry")):
        mode = as_dict(entry.get("search")).get("mode", "match")
        resource = as_dict(entry.get("resource"))
        if resource and mode == "match":
            found.append(resource)
    return found


def next_query(bundle: Any) -> list[tuple[str, str]]:
    """Gives the parameters of the next page, empty at the end."""
    for link in as_list(as_dict(bundle).get("link")):
        if link.get("relation") == "next":
            return parse_qsl(urlsplit(str(link.get("url", ""))).query, keep_blank_values=True)
    return []


def as_dict(value: Any) -> dict[str, Any]:
    """Gives an object, empty where it is something else."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[dict[str, Any]]:
    """Gives the objects of an array, empty where it is something else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text_of(concept: Any) -> str:
    """Gives a CodeableConcept's or Coding's text for people."""
    concept = as_dict(concept)
    if concept.get("text"):
        return str(concept["text"])
    for coding in as_list(concept.get("coding")):
        if coding.get("display"):
            return str(coding["display"])
    code = code_of(concept)
    return str(concept.get("display") or code[1])


def code_of(concept: Any) -> tuple[str, str]:
    """Gives a CodeableConcept's or Coding's first system and code."""
    concept = as_dict(concept)
    coding = next(iter(as_list(concept.get("coding"))), concept)
    return str(coding.get("system", "")), str(coding.get("code", ""))


def name_record(patient: Any) -> dict[str, Any]:
    """Gives the name that a person goes by: official, else usual, else the first without an end."""
    names = as_list(as_dict(patient).get("name"))
    for use in ("official", "usual"):
        for name in names:
            if name.get("use") == use:
                return name
    return next((name for name in names if name.get("use") not in ("old", "maiden")), {})


def name_of(patient: Any) -> str:
    """Writes a person's name, given names first."""
    name = name_record(patient)
    given = " ".join(str(part) for part in name.get("given") or [])
    written = f"{given} {name.get('family', '')}".strip()
    return written or str(name.get("text", ""))


def mrn_of(patient: Any) -> str:
    """Gives the medical record number that the platform issued."""
    for identifier in as_list(as_dict(patient).get("identifier")):
        if identifier.get("system") == MRN_SYSTEM:
            return str(identifier.get("value", ""))
    return ""


def age_of(patient: Any, today: date) -> int | None:
    """Tells the age in full years, at death where there was one; None where the birth
    date is not known.
    """
    patient = as_dict(patient)
    born = _day(patient.get("birthDate"))
    end = _day(patient.get("deceasedDateTime")) or today
    if born is None:
        return None
    return end.year - born.year - ((end.month, end.day) < (born.month, born.day))


def is_deceased(patient: Any) -> bool:
    """Tells whether the person has died."""
    patient = as_dict(patient)
    return bool(patient.get("deceasedBoolean") or patient.get("deceasedDateTime"))


def _day(text: Any) -> date | None:
    parts = str(text or "")[:10].split("-")
    try:
        numbers = [int(part) for part in parts]
        return date(*([*numbers, 1, 1])[:3]) if numbers else None
    except (ValueError, TypeError):
        return None


def telecom(patient: Any, system: str) -> str:
    """Gives the first telephone number or e-mail address."""
    for contact in as_list(as_dict(patient).get("telecom")):
        if contact.get("system") == system and contact.get("use") != "old":
            return str(contact.get("value", ""))
    return ""


def address_of(patient: Any) -> str:
    """Writes the first address on one line."""
    address = next(iter(as_list(as_dict(patient).get("address"))), {})
    if address.get("text"):
        return str(address["text"])
    place = " ".join(str(address[key]) for key in ("postalCode", "city") if address.get(key))
    parts = [*(str(line) for line in address.get("line") or []), place, address.get("state")]
    return ", ".join(str(part) for part in (*parts, address.get("country")) if part)


def id_of(reference: Any, resource_type: str = "") -> str:
    """Gives the id that a Reference names."""
    parts = str(as_dict(reference).get("reference", "")).split("/")
    if resource_type and (len(parts) < 2 or parts[-2] != resource_type):
        return ""
    return parts[-1] if len(parts) > 1 else ""


def date_of(resource: Any) -> str:
    """Tells when it happened, as FHIR writes it; empty where nothing says so."""
    resource = as_dict(resource)
    for name in DATES:
        value = resource.get(name)
        if isinstance(value, dict):
            value = value.get("start") or value.get("end")
        if value:
            return str(value)
    return ""


def end_of(resource: Any) -> str:
    """Tells when it ended."""
    resource = as_dict(resource)
    period = as_dict(resource.get("period") or resource.get("performedPeriod"))
    return str(period.get("end") or resource.get("abatementDateTime") or "")


def title_of(resource: Any) -> str:
    """Says what it is about, by its code, type or category."""
    resource = as_dict(resource)
    supplied = as_dict(resource.get("suppliedItem")).get("itemCodeableConcept")
    for value in (supplied, *(resource.get(name) for name in TITLES)):
        for each in value if isinstance(value, list) else [value]:
            text = text_of(each)
            if text:
                return text
    for name in ("description", "title", "name"):
        if isinstance(resource.get(name), str):
            return str(resource[name])
    return str(resource.get("resourceType", ""))


def status_of(resource: Any) -> str:
    """Gives the status that matters to a reader: entered in error before all else."""
    resource = as_dict(resource)
    if code_of(resource.get("verificationStatus"))[1] == "entered-in-error":
        return "entered-in-error"
    clinical = code_of(resource.get("clinicalStatus"))[1]
    return clinical or str(resource.get("status", ""))


def detail_of(resource: Any) -> str:
    """Gives what a reader needs beside the title: how a medication is taken, how an
    allergy shows.
    """
    resource = as_dict(resource)
    for name in ("dosageInstruction", "dosage"):
        texts = [str(each["text"]) for each in as_list(resource.get(name)) if each.get("text")]
        if texts:
            return "; ".join(texts)
    manifestations = [
        text_of(each)
        for reaction in as_list(resource.get("reaction"))
        for each in as_list(reaction.get("manifestation"))
    ]
    return ", ".join(each for each in manifestations if each)


def notes_of(resource: Any) -> list[str]:
    """Gives the annotations' texts."""
    return [str(note.get("text", "")) for note in as_list(as_dict(resource).get("note"))]


def narrative_of(resource: Any) -> str:
    """Gives the narrative as plain text: its markup is never shown as markup."""
    return _TAG.sub(" ", str(as_dict(as_dict(resource).get("text")).get("div", ""))).strip()


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Gives every leaf of a resource with its path, for differences between versions."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from flatten(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from flatten(each, f"{path}[{index}]")
    else:
        yield path, str(value)


def differences(before: Resource, after: Resource) -> list[tuple[str, str, str]]:
    """Lists what differs between two versions: path, old value, new value."""
    ignored = ("meta.", "text.")
    old, new = dict(flatten(before)), dict(flatten(after))
    return [
        (path, old.get(path, ""), new.get(path, ""))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path) and not path.startswith(ignored)
    ]
