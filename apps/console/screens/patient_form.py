"""The administrative data of a patient as a form: read from the resource, checked, and
written back into it.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from apps.console.neighbours import fhir
from apps.console.web.texts import Texts
from apps.kit.texts import N_

MAX_CHARS = 200
GENDERS = {
    "female": N_("Female"),
    "male": N_("Male"),
    "other": N_("Other"),
    "unknown": N_("Unknown"),
}
# http://terminology.hl7.org/CodeSystem/v3-MaritalStatus
MARITAL_STATUSES = {
    "S": N_("Never married"),
    "M": N_("Married"),
    "T": N_("Domestic partner"),
    "D": N_("Divorced"),
    "W": N_("Widowed"),
}
# http://terminology.hl7.org/CodeSystem/v2-0131
RELATIONSHIPS = {
    "C": N_("Emergency contact"),
    "N": N_("Next of kin"),
    "E": N_("Employer"),
    "U": N_("Other"),
}
FIELDS: Mapping[str, str] = {
    "family": N_("Family name"),
    "given": N_("Given names"),
    "birth_date": N_("Birth date"),
    "gender": N_("Sex"),
    "mobile": N_("Mobile telephone"),
    "home_phone": N_("Other telephone"),
    "email": N_("E-mail address"),
    "line": N_("Street and number"),
    "postal_code": N_("Postal code"),
    "city": N_("City"),
    "state": N_("State or province"),
    "country": N_("Country"),
    "prefix": N_("Title"),
    "maiden": N_("Name at birth"),
    "national_id": N_("Identity document number"),
    "marital_status": N_("Marital status"),
    "language": N_("Preferred language"),
    "contact_name": N_("Contact person"),
    "contact_relationship": N_("Relationship"),
    "contact_phone": N_("Contact's telephone"),
    "deceased": N_("Date of death"),
    "active": N_("Record in use"),
}
ID_TYPE_SYSTEM = "http://terminology.hl7.org/CodeSystem/v2-0203"
MARITAL_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus"
RELATIONSHIP_SYSTEM = "http://terminology.hl7.org/CodeSystem/v2-0131"
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"[+0-9][0-9 ()/.-]{2,40}(?:x[0-9]+)?")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def values_of(patient: Mapping[str, Any], texts: Texts) -> dict[str, str]:
    """Gives the form's values for a resource; dates as this locale writes them."""
    name = fhir.name_record(patient)
    address = _first(patient.get("address"))
    contact = _first(patient.get("contact"))
    language = _first(patient.get("communication")).get("language")
    marital = fhir.code_of(patient.get("maritalStatus"))[1]
    values = {
        "family": name.get("family", "") or ("" if name.get("given") else name.get("text", "")),
        "given": " ".join(name.get("given") or []),
        "prefix": " ".join(name.get("prefix") or []),
        "maiden": _find(patient.get("name"), "use", "maiden").get("family", ""),
        "birth_date": _written(patient.get("birthDate"), texts),
        "gender": patient.get("gender", ""),
        "mobile": _phone(patient, mobile=True).get("value", ""),
        "home_phone": _phone(patient, mobile=False).get("value", ""),
        "email": fhir.telecom(patient, "email"),
        "line": ", ".join(address.get("line") or []),
        "postal_code": address.get("postalCode", ""),
        "city": address.get("city", ""),
        "state": address.get("state", ""),
        "country": address.get("country", ""),
        "national_id": _national_id(patient).get("value", ""),
        "marital_status": marital if marital in MARITAL_STATUSES else "",
        "language": fhir.code_of(language)[1],
        "contact_name": fhir.name_of({"name": [contact["name"]]}) if contact.get("name") else "",
        "contact_relationship": fhir.code_of(_first(contact.get("relationship")))[1],
        "contact_phone": _first(contact.get("telecom")).get("value", ""),
        "deceased": _written(str(patient.get("deceasedDateTime", ""))[:10], texts),
        "active": "" if patient.get("active") is False else "on",
    }
    return {key: str(value) for key, value in values.items()}


def check_form(form: Mapping[str, str], texts: Texts) -> dict[str, str]:
    """Finds what is wrong, by field."""
    errors: dict[str, str] = {}
    if not form.get("family") and not form.get("given"):
        errors["family"] = N_("Enter a name.")
    for name in FIELDS:
        if len(form.get(name, "")) > MAX_CHARS:
            errors[name] = N_("This is too long.")
    for name in ("birth_date", "deceased"):
        if form.get(name) and not _read_date(form[name], texts):
            errors[name] = N_("This is not a date.")
        elif _read_date(form.get(name, ""), texts) > date.today().isoformat():
            errors[name] = N_("This date is in the future.")
    if form.get("gender") and form["gender"] not in GENDERS:
        errors["gender"] = N_("Choose one of the list.")
    for name, pattern, message in (
        ("email", _EMAIL, N_("This is not an e-mail address.")),
        ("mobile", _PHONE, N_("This is not a telephone number.")),
        ("home_phone", _PHONE, N_("This is not a telephone number.")),
        ("contact_phone", _PHONE, N_("This is not a telephone number.")),
        ("language", _LANGUAGE, N_("Enter a language code, such as en or es.")),
    ):
        if form.get(name) and not pattern.fullmatch(form[name]):
            errors[name] = message
    return errors


def apply_form(patient: dict[str, Any], form: Mapping[str, str], texts: Texts) -> dict[str, Any]:
    """Writes the form's values into the resource; what the form does not know stays as it is."""
    _apply_name(patient, form)
    _put(patient, "birthDate", _read_date(form.get("birth_date", ""), texts))
    _put(patient, "gender", form.get("gender", ""))
    for system, use, name in (("phone", "mobile", "mobile"), ("email", "home", "email")):
        _apply_telecom(patient, system, use, form.get(name, ""))
    _apply_telecom(patient, "phone", "home", form.get("home_phone", ""))
    _apply_address(patient, form)
    _apply_national_id(patient, form.get("national_id", ""))
    marital = form.get("marital_status", "")
    if marital:
        patient["maritalStatus"] = {"coding": [{"system": MARITAL_SYSTEM, "code": marital}]}
    elif fhir.code_of(patient.get("maritalStatus"))[1] in MARITAL_STATUSES:
        patient.pop("maritalStatus", None)
    language = form.get("language", "")
    if language != fhir.code_of(_first(patient.get("communication")).get("language"))[1]:
        coding = {"system": "urn:ietf:bcp:47", "code": language}
        spoken = [{"language": {"coding": [coding]}, "preferred": True}]
        _put(patient, "communication", spoken if language else None)
    _apply_contact(patient, form)
    deceased = _read_date(form.get("deceased", ""), texts)
    if deceased != str(patient.get("deceasedDateTime", ""))[:10]:
        patient.pop("deceasedBoolean", None)
        _put(patient, "deceasedDateTime", deceased)
    if "active" in form or "active" in patient or "id" in patient:
        patient["active"] = form.get("active") == "on"
    # Written anew by whoever makes narratives: the old one would tell the old data.
    patient.pop("text", None)
    return patient


def _apply_name(patient: dict[str, Any], form: Mapping[str, str]) -> None:
    names = list(patient.get("name") or [])
    shown = fhir.name_record(patient)
    name = next((each for each in names if each is shown), None)
    if name is None:
        name = {"use": "official"}
        names.insert(0, name)
    _put(name, "family", form.get("family", ""))
    _put(name, "given", form.get("given", "").split())
    _put(name, "prefix", form.get("prefix", "").split())
    name.pop("text", None)
    maiden = _find(names, "use", "maiden")
    if form.get("maiden"):
        if not maiden:
            maiden = {"use": "maiden"}
            names.append(maiden)
        maiden["family"] = form["maiden"]
    elif maiden:
        names.remove(maiden)
    patient["name"] = names


def _apply_telecom(patient: dict[str, Any], system: str, use: str, value: str) -> None:
    contacts = list(patient.get("telecom") or [])
    is_phone = system == "phone"
    found = (
        _phone(patient, mobile=use == "mobile") if is_phone else _find(contacts, "system", system)
    )
    if found.get("value", "") == value:
        return
    if found and value:
        found["value"] = value
    elif found:
        contacts.remove(found)
    elif value:
        contacts.append({"system": system, "use": use, "value": value})
    _put(patient, "telecom", contacts)


def _apply_address(patient: dict[str, Any], form: Mapping[str, str]) -> None:
    addresses = list(patient.get("address") or [])
    address = _first(addresses)
    lines = [each.strip() for each in form.get("line", "").split(",") if each.strip()]
    written = {
        "line": lines,
        "postalCode": form.get("postal_code", ""),
        "city": form.get("city", ""),
        "state": form.get("state", ""),
        "country": form.get("country", ""),
    }
    if not address and any(written.values()):
        address = {"use": "home"}
        addresses.append(address)
    for name, value in written.items():
        if value != address.get(name, "" if name != "line" else []):
            address.pop("text", None)
        _put(address, name, value)
    _put(patient, "address", [each for each in addresses if each and set(each) != {"use"}])


def _apply_national_id(patient: dict[str, Any], value: str) -> None:
    identifiers = list(patient.get("identifier") or [])
    found = _national_id(patient)
    if found and not value:
        identifiers.remove(found)
    elif found:
        found["value"] = value
    elif value:
        kind = {"coding": [{"system": ID_TYPE_SYSTEM, "code": "NI"}]}
        identifiers.append({"use": "official", "type": kind, "value": value})
    _put(patient, "identifier", identifiers)


def _apply_contact(patient: dict[str, Any], form: Mapping[str, str]) -> None:
    contacts = list(patient.get("contact") or [])
    contact = _first(contacts)
    name, phone = form.get("contact_name", ""), form.get("contact_phone", "")
    relationship = form.get("contact_relationship", "")
    if not (name or phone):
        _put(patient, "contact", contacts[1:])
        return
    if not contact:
        contact = {}
        contacts.append(contact)
    if fhir.name_of({"name": [contact.get("name", {})]}) != name:
        _put(contact, "name", {"text": name} if name else None)
    if _first(contact.get("telecom")).get("value", "") != phone:
        _put(contact, "telecom", [{"system": "phone", "value": phone}] if phone else None)
    if relationship and fhir.code_of(_first(contact.get("relationship")))[1] != relationship:
        coding = {"system": RELATIONSHIP_SYSTEM, "code": relationship}
        contact["relationship"] = [{"coding": [coding]}]
    _put(patient, "contact", contacts)


def _first(values: Any) -> dict[str, Any]:
    return next(iter(fhir.as_list(values)), {})


def _find(values: Any, key: str, wanted: str) -> dict[str, Any]:
    return next((each for each in fhir.as_list(values) if each.get(key) == wanted), {})


def _phone(patient: Mapping[str, Any], *, mobile: bool) -> dict[str, Any]:
    return next(
        (
            each
            for each in fhir.as_list(patient.get("telecom"))
            if each.get("system") == "phone" and (each.get("use") == "mobile") == mobile
        ),
        {},
    )


def _national_id(patient: Mapping[str, Any]) -> dict[str, Any]:
    return next(
        (
            each
            for each in fhir.as_list(patient.get("identifier"))
            if fhir.code_of(each.get("type"))[1] == "NI"
        ),
        {},
    )


def _put(target: dict[str, Any], name: str, value: Any) -> None:
    """Sets an element, or removes it: FHIR has no empty ones."""
    if value:
        target[name] = value
    else:
        target.pop(name, None)


def _written(value: Any, texts: Texts) -> str:
    """Writes a full date as this locale does in numbers; a year or month stays as FHIR has it."""
    text = str(value or "")
    return texts.short_date(date.fromisoformat(text)) if len(text) == 10 else text


def _read_date(text: str, texts: Texts) -> str:
    """Reads a date, a month or a year (FHIR's own partial dates); empty where it is none."""
    if re.fullmatch(r"[12][0-9]{3}(-(0[1-9]|1[0-2]))?", text):
        return text
    found = texts.parse_date(text)
    return found.isoformat() if found else ""
