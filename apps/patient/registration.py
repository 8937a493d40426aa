"""The seed's simple resource: parses it, makes a FHIR Patient of it, and merges it
into one. Pure.
"""

import re
from datetime import date
from typing import Any

import msgspec

from apps.kit.errors import FieldError, Unprocessable
from apps.patient.codec import Resource
from apps.patient.storage.summaries import (
    display_name,
    first_address,
    first_email,
    objects,
    official_name,
)

MAX_NAME_CHARS = 255
MAX_ADDRESS_CHARS = 1000
MAX_EMAIL_CHARS = 254
REGISTERED_DATE_URL = "urn:patient-management:registered-date"

_EMAIL = re.compile(r"[^@\s<>()\[\],;:\\\"]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_FIELDS = frozenset(("id", "name", "address", "email", "dateOfBirth", "registeredDate"))


class Registration(msgspec.Struct, frozen=True):
    """None where the caller gave nothing. Dates are ISO 8601 days."""

    name: str | None
    address: str | None
    email: str | None
    date_of_birth: str | None
    registered_date: str | None = None


def parse_registration(body: Any, *, complete: bool, today: date) -> Registration:
    """Raises Unprocessable naming each field that is wrong. `complete`: all but the registered
    date are needed.
    """
    if not isinstance(body, dict):
        raise Unprocessable("invalid_patient", "expected an object", pointer="/")
    faults: list[FieldError] = [
        FieldError("unknown_field", "there is no such field", f"/{name}")
        for name in body
        if name not in _FIELDS
    ]

    def text(name: str, maximum: int, required: bool) -> str | None:
        value = body.get(name)
        fault = None
        if value is None:
            fault = ("required", "is required") if required else None
        elif not isinstance(value, str):
            fault = ("not_a_string", "must be a string")
        elif not value.strip():
            fault = ("blank", "must not be blank")
        elif len(value) > maximum:
            fault = ("too_long", f"has at most {maximum} characters")
        elif _CONTROL.search(value):
            fault = ("control_character", "must not hold control characters")
        if fault:
            faults.append(FieldError(fault[0], f"{name} {fault[1]}", f"/{name}"))
            return None
        return value.strip() if isinstance(value, str) else None

    def day(name: str, required: bool) -> str | None:
        value = text(name, 10, required)
        if value is None:
            return None
        try:
            parsed = date.fromisoformat(value)
            if parsed.isoformat() != value:
                raise ValueError
        except ValueError:
            faults.append(
                FieldError("not_a_date", f"{name} must be a date, YYYY-MM-DD", f"/{name}")
            )
            return None
        if parsed > today:
            faults.append(
                FieldError("in_the_future", f"{name} must not be in the future", f"/{name}")
            )
        return value

    registration = Registration(
        name=text("name", MAX_NAME_CHARS, complete),
        address=text("address", MAX_ADDRESS_CHARS, complete),
        email=text("email", MAX_EMAIL_CHARS, complete),
        date_of_birth=day("dateOfBirth", complete),
        registered_date=day("registeredDate", False),
    )
    if registration.email and not _EMAIL.fullmatch(registration.email):
        faults.append(FieldError("not_an_email", "email must be an e-mail address", "/email"))
    if faults:
        raise Unprocessable(
            "invalid_patient",
            "; ".join(fault.message for fault in faults[:5]),
            faults=tuple(faults),
        )
    return registration


def patient_of(registration: Registration, today: date) -> Resource:
    """Makes a new FHIR Patient."""
    return {
        "resourceType": "Patient",
        "extension": [
            {
                "url": REGISTERED_DATE_URL,
                "valueDate": registration.registered_date or today.isoformat(),
            }
        ],
        "name": [{"use": "official", "text": registration.name}],
        "telecom": [{"system": "email", "value": registration.email}],
        "birthDate": registration.date_of_birth,
        "address": [{"text": registration.address}],
    }


def merge(patient: Resource, registration: Registration) -> Resource:
    """Returns `patient` with what `registration` gives: what it leaves out, or gives as it reads
    already, stays as it is.
    """
    merged = dict(patient)
    if registration.name and registration.name != display_name(patient):
        names = list(patient.get("name", ()))
        official = official_name(patient)
        if official is None:
            names = [{"use": "official", "text": registration.name}]
        else:
            names[names.index(official)] = {**official, "text": registration.name}
        merged["name"] = names
    if registration.email and registration.email != first_email(patient):
        contacts = objects(patient.get("telecom"))
        first = next(
            (index for index, contact in enumerate(contacts) if contact.get("system") == "email"),
            None,
        )
        if first is None:
            contacts.append({"system": "email", "value": registration.email})
        else:
            contacts[first] = {**contacts[first], "value": registration.email}
        merged["telecom"] = contacts
    if registration.address and registration.address != first_address(patient):
        # The parts of the old address would contradict the new text.
        merged["address"] = [{"text": registration.address}, *patient.get("address", ())[1:]]
    if registration.date_of_birth:
        merged["birthDate"] = registration.date_of_birth
    return merged
