"""What a resource says that is kept in columns: to list it, to find it and to tell statistics of it. Pure."""

import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from apps.patient.codec import Resource
from apps.patient.search.periods import parse_span

MAX_TERM_CHARS = 200
MAX_WORDS = 8


class Coding(msgspec.Struct, frozen=True):
    system: str
    code: str


class Term(msgspec.Struct, frozen=True):
    parameter: str
    value: str
    system: str = ""


class PatientColumns(msgspec.Struct, frozen=True):
    """`name`, `address`, `email` and `birth_date` are the simple resource's; None where the record has none."""

    name: str | None
    address: str | None
    email: str | None
    birth_date: str | None
    # A range of days, as PostgreSQL writes it: `[1975-09-26,1975-09-27)`.
    born: str | None
    gender: str | None
    active: bool | None
    postal_code: str | None
    terms: tuple[Term, ...]


class ClinicalColumns(msgspec.Struct, frozen=True):
    """`happened_*`: ISO 8601, or PostgreSQL's `infinity` and `-infinity` for an open end."""

    status: str | None
    codings: tuple[Coding, ...]
    categories: tuple[Coding, ...]
    happened_from: str | None
    happened_before: str | None
    happened_at: datetime | None


def objects(value: Any) -> list[Resource]:
    """The objects of a list, of a lone object, or of nothing."""
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def official_name(resource: Resource) -> Resource | None:
    """The official name, else the first that is not an old one, else the first."""
    names = objects(resource.get("name"))
    for name in names:
        if name.get("use") == "official":
            return name
    return next((name for name in names if name.get("use") != "old"), names[0] if names else None)


def display_name(resource: Resource) -> str | None:
    name = official_name(resource)
    if name is None:
        return None
    text: str | None = name.get("text")
    return text or _joined(
        " ", [*_texts(name, "prefix", "given"), name.get("family"), *_texts(name, "suffix")]
    )


def first_address(resource: Resource) -> str | None:
    for address in objects(resource.get("address")):
        text: str | None = address.get("text")
        region = _joined(" ", [address.get("state"), address.get("postalCode")])
        return text or _joined(
            ", ", [*_texts(address, "line"), address.get("city"), region, address.get("country")]
        )
    return None


def first_email(resource: Resource) -> str | None:
    for contact in objects(resource.get("telecom")):
        if contact.get("system") == "email" and contact.get("value"):
            return str(contact["value"])
    return None


def _texts(value: Resource, *names: str) -> list[str]:
    return [item for name in names for item in value.get(name, ()) if isinstance(item, str)]


def _joined(separator: str, parts: Iterable[str | None]) -> str | None:
    return separator.join(part for part in parts if part) or None


def fold(text: str) -> str:
    """Lower case without accents, so that `GARCÍA` finds `Garcia`; spaces are one."""
    decomposed = unicodedata.normalize("NFKD", text)
    return " ".join(
        "".join(char for char in decomposed if not unicodedata.combining(char)).casefold().split()
    )


def term_key(text: str) -> str:
    """A token as it is kept and looked for: a long one by its start and its hash."""
    if len(text) <= MAX_TERM_CHARS:
        return text
    return text[: MAX_TERM_CHARS - 64] + sha256(text.encode()).hexdigest()


def patient_columns(resource: Resource) -> PatientColumns:
    addresses = objects(resource.get("address"))
    return PatientColumns(
        name=display_name(resource),
        address=first_address(resource),
        email=first_email(resource),
        birth_date=resource.get("birthDate"),
        born=_day_range(resource.get("birthDate")),
        gender=resource.get("gender"),
        active=resource.get("active"),
        postal_code=next(
            (address["postalCode"] for address in addresses if address.get("postalCode")), None
        ),
        terms=tuple(dict.fromkeys(_patient_terms(resource))),
    )


def _day_range(date: str | None) -> str | None:
    span = parse_span(date) if date else None
    return f"[{span.start:%Y-%m-%d},{span.end:%Y-%m-%d})" if span else None


def _patient_terms(resource: Resource) -> Iterator[Term]:
    for name in objects(resource.get("name")):
        for parameter, texts in (
            ("family", [name.get("family")]),
            ("given", name.get("given", ())),
            ("name", [name.get("text"), *_texts(name, "prefix", "suffix")]),
        ):
            for text in texts:
                for start in _starts(text):
                    yield Term(parameter, start)
    for identifier in objects(resource.get("identifier")):
        if identifier.get("value"):
            yield Term(
                "identifier", term_key(identifier["value"]), term_key(identifier.get("system", ""))
            )
    for contact in objects(resource.get("telecom")):
        if contact.get("value"):
            yield Term("telecom", term_key(contact["value"].casefold()), contact.get("system", ""))
    for address in objects(resource.get("address")):
        if address.get("postalCode"):
            yield Term("postalcode", fold(address["postalCode"])[:MAX_TERM_CHARS])


def _starts(text: str | None) -> Iterator[str]:
    """The text from each of its words on: a search by its second word finds it as well."""
    words = fold(text or "").split(" ")
    for index in range(min(len(words), MAX_WORDS)):
        start = " ".join(words[index:])[:MAX_TERM_CHARS]
        if start:
            yield start


# Where each type has its code, and when it happened: the first that is there.
_CODE = {
    "Encounter": "type",
    "Immunization": "vaccineCode",
    "MedicationRequest": "medicationCodeableConcept",
}
_CATEGORY = {"Encounter": "class"}
_WHEN = {
    "Encounter": ("period",),
    "Condition": ("onsetDateTime", "onsetPeriod", "recordedDate"),
    "AllergyIntolerance": ("onsetDateTime", "onsetPeriod", "recordedDate"),
    "MedicationRequest": ("authoredOn",),
    "Immunization": ("occurrenceDateTime", "recorded"),
    "Procedure": ("performedDateTime", "performedPeriod"),
    "Observation": ("effectiveDateTime", "effectiveInstant", "effectivePeriod", "issued"),
}


def clinical_columns(resource: Resource) -> ClinicalColumns:
    resource_type = resource["resourceType"]
    status: str | None = resource.get("status")
    if status is None:
        status = next((coding.code for coding in _codings(resource.get("clinicalStatus"))), None)
    happened_from, happened_before, happened_at = _when(resource, _WHEN[resource_type])
    return ClinicalColumns(
        status=status,
        codings=tuple(_codings(resource.get(_CODE.get(resource_type, "code")))),
        categories=tuple(_codings(resource.get(_CATEGORY.get(resource_type, "category")))),
        happened_from=happened_from,
        happened_before=happened_before,
        happened_at=happened_at,
    )


def _codings(value: Any) -> Iterator[Coding]:
    """The codings of codes, Codings and CodeableConcepts, alone or in a list."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield Coding("", item)
        elif isinstance(item, dict):
            for coding in objects(item.get("coding", item if "code" in item else None)):
                if coding.get("code"):
                    yield Coding(coding.get("system", ""), coding["code"])


def code_keys(codings: Iterable[Coding]) -> list[str]:
    """Each coding twice: to be found by its code alone, and with its system (`|code` where it has none)."""
    return list(
        dict.fromkeys(key for item in codings for key in (item.code, f"{item.system}|{item.code}"))
    )


def _when(
    resource: Resource, names: tuple[str, ...]
) -> tuple[str | None, str | None, datetime | None]:
    for name in names:
        value = resource.get(name)
        if isinstance(value, str):
            span = parse_span(value)
            if span:
                return span.start.isoformat(), span.end.isoformat(), span.start
        elif isinstance(value, dict):
            start, end = parse_span(value.get("start", "")), parse_span(value.get("end", ""))
            if start or end:
                return (
                    start.start.isoformat() if start else "-infinity",
                    end.end.isoformat() if end else "infinity",
                    start.start if start else None,
                )
    return None, None, None
