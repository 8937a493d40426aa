"""Medical record numbers: issued here, one a person, with a check digit against slips of the pen.
Never given twice.
"""

from apps.kit.errors import Unprocessable
from apps.patient.codec import Resource
from apps.patient.storage.summaries import objects

SYSTEM = "urn:patient-management:mrn"
# What the sequence steps by: a block is drawn once, and numbers are then given without
# asking the database.
BLOCK = 100
_TYPE = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}


def format_mrn(number: int) -> str:
    """Returns eight digits and a Luhn check digit (ISO/IEC 7812-1, annex B): `000000018`."""
    digits = f"{number:08d}"
    total = 0
    for index, char in enumerate(reversed(digits)):
        digit = int(char) * (2 if index % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit
    return f"{digits}{-total % 10}"


def identifier_of(mrn: str) -> Resource:
    return {"use": "usual", "type": _TYPE, "system": SYSTEM, "value": mrn}


def find_mrn(patient: Resource) -> str | None:
    for identifier in objects(patient.get("identifier")):
        if identifier.get("system") == SYSTEM:
            return str(identifier.get("value", ""))
    return None


def with_mrn(patient: Resource, mrn: str) -> Resource:
    """Returns `patient` with its number; raises Unprocessable where it claims another."""
    claimed = find_mrn(patient)
    if claimed == mrn:
        return patient
    if claimed is not None:
        raise Unprocessable(
            "mrn_is_issued_here", f"{SYSTEM} is issued by this service", pointer="/identifier"
        )
    return {**patient, "identifier": [*patient.get("identifier", ()), identifier_of(mrn)]}
