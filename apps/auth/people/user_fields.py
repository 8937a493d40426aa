"""What an account may hold: address, name, roles and the resource that the person is."""

import re
import unicodedata

from apps.auth.people.roles import ROLES
from apps.kit.errors import FieldError, Unprocessable

EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,189}")
# https://hl7.org/fhir/R4/datatypes.html#id
RESOURCE_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
MAX_NAME_CHARS = 200
UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def email_key(email: str) -> str:
    """Returns the address as it is compared: one person, however they type it. The unique
    index is on this.

    Without the second NFKC, folding could bring back what the first one removed.
    """
    folded = unicodedata.normalize("NFKC", email.strip()).casefold()
    return unicodedata.normalize("NFKC", folded)


def is_uuid(text: str) -> bool:
    """Tells whether the text may be the id of a user. On a URN or braces PostgreSQL's
    driver raises.
    """
    return bool(UUID.fullmatch(text))


def is_email(email: str) -> bool:
    """Tells whether the text looks like an address. Control characters and lone
    surrogates do not.
    """
    return bool(EMAIL.fullmatch(email)) and email.isprintable()


def check_user(
    *,
    email: object,
    name: object,
    roles: object,
    patient_id: object,
    practitioner_id: object = None,
) -> None:
    """Raises Unprocessable, naming every field that is amiss."""
    faults: list[FieldError] = []
    if not isinstance(email, str) or not is_email(email):
        faults.append(FieldError("invalid_email", "not an e-mail address", "/email"))
    if not isinstance(name, str) or len(name) > MAX_NAME_CHARS or not name.isprintable():
        faults.append(
            FieldError("invalid_name", f"at most {MAX_NAME_CHARS} printable characters", "/name")
        )
    if (
        not isinstance(roles, (list, tuple))
        or not roles
        or not ROLES.keys() >= {str(role) for role in roles}
    ):
        faults.append(FieldError("invalid_roles", f"one or more of {', '.join(ROLES)}", "/roles"))
        roles = ()
    if patient_id is not None and not (
        isinstance(patient_id, str) and RESOURCE_ID.fullmatch(patient_id)
    ):
        faults.append(FieldError("invalid_patient_id", "not the id of a record", "/patientId"))
    elif (patient_id is not None) != ("patient" in roles):
        faults.append(
            FieldError(
                "invalid_patient_id",
                "the role patient, and no other, has a record of its own",
                "/patientId",
            )
        )
    if practitioner_id is not None and not (
        isinstance(practitioner_id, str)
        and RESOURCE_ID.fullmatch(practitioner_id)
        and "patient" not in roles
    ):
        faults.append(
            FieldError(
                "invalid_practitioner_id",
                "the id of a Practitioner, for a person who is no patient here",
                "/practitionerId",
            )
        )
    if faults:
        raise Unprocessable("invalid_user", faults=tuple(faults))
