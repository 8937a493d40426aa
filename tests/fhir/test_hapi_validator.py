"""HAPI's validator judges what we refuse, what we accept and what we answer;
disagreements have reasons.
"""

import json
import re
from collections import Counter
from typing import Any

import pytest

from apps.kit.errors import FieldError, Unprocessable
from apps.kit.operation_outcomes import outcome_of
from apps.patient.codec import decode, encode
from apps.patient.definitions.expressions import element_expression
from apps.patient.definitions.model import served_types
from apps.patient.definitions.validation import find_faults
from apps.patient.fhir.capabilities import capability_statement
from apps.patient.operations.validate import outcome_for
from tests.fhir.hapi import errors_of
from tests.fhir.packages import R4_EXAMPLES, resources_in, type_of
from tests.patient.definitions.test_rules_of_r4 import ACCEPTED, REFUSED, Resource

pytestmark = pytest.mark.fhir

# What HAPI lets through, by the pointer of our fault, and why we refuse it all the same.
ACCEPTED_BY_HAPI = {
    # HAPI knows a target's type only where a server behind it resolves the reference.
    "/encounter/reference",
    "/encounter/type",
    # HAPI takes any text for a MIME type.
    "/photo/0/contentType",
    # HAPI's parser of XHTML closes what is open at the end.
    "/text/div",
    # Characters that R4's string does not have (datatypes.html#string); PostgreSQL takes no NUL.
    "/name/0/text",
    # HAPI does not hold ele-1 against an object that has an id alone.
    "/name/0",
}
# What HAPI refuses in HL7's examples, and why we accept it.
REFUSED_BY_HAPI = re.compile(
    # Codes of value sets that are extensible or preferred, and displays: terminology beyond R4's
    # required sets.
    r"None of the codings provided|Wrong Display Name|Unknown code|Unable to validate code"
    r"|The code .* is not valid|not in the value set|could not be validated|The System URI could "
    r"not"
    # Profiles and extensions that R4 core does not hold.
    r"|Profile reference|profile|Extension|extension"
    # Rules of vital signs, which apply to Observations of certain codes.
    r"|vitalsigns|vs-\d|vital signs|bodyweight|bodyheight|bp"
    # A reference inside one resource that no server resolves.
    r"|Unable to resolve|Invalid Resource target type"
    # Rules on text that no invariant of R4 states.
    r"|Narrative|narrative|URL value .* does not resolve|canonical|Canonical"
    # UCUM's units, the hash of an attachment and the form of an OID: true, and in no
    # invariant of R4.
    r"|Error processing unit|hash of the data|must be a full URI|CodeSystem is unknown"
    r"|UUIDs must be|OIDs must|uuid|Coding has no system|A code with no system"
)
# Beside those, in what we accept.
ACCEPTED_BY_US = re.compile(
    # FHIRPath has no answer for `2024` <= `2024-01-31`: no breach, where HAPI sees one.
    r"per-1"
    # R4's expression for base64 has blanks between groups of four.
    r"|Illegal base64 character a"
)


def judged(resource: Any) -> list[str]:
    """Returns HAPI's errors; a crash of the validator counts as one."""
    try:
        return [error.text for error in errors_of(json.dumps(resource, default=float))]
    except Exception as error:  # its parser ends at some nulls with a NullPointerException
        return [f"crash: {error}"]


@pytest.mark.parametrize(("resource", "pointer", "words"), REFUSED)
def test_hapi_refuses_what_we_refuse(resource: Resource, pointer: str, words: str) -> None:
    assert judged(resource) or pointer in ACCEPTED_BY_HAPI


@pytest.mark.parametrize("resource", ACCEPTED)
def test_hapi_accepts_what_we_accept(resource: Resource) -> None:
    surprises = [
        text
        for text in judged(resource)
        if not REFUSED_BY_HAPI.search(text) and not ACCEPTED_BY_US.search(text)
    ]
    assert surprises == []


def test_hapi_accepts_the_examples_that_we_accept() -> None:
    surprises: Counter[str] = Counter()
    judged_count = 0
    for name, text in resources_in(R4_EXAMPLES, largest=20_000):
        if type_of(text) not in served_types() or find_faults(decode(text), type_of(text)):
            continue
        judged_count += 1
        for error in errors_of(text.decode()):
            if not REFUSED_BY_HAPI.search(error.text):
                surprises[f"{name} {error.location}: {error.text}"] += 1
    assert judged_count > 250
    assert "\n".join(surprises) == ""


def test_hapi_accepts_our_own_answers() -> None:
    faults = tuple(FieldError("invariant", "a message", f"/name/{index}") for index in range(3))
    problem = Unprocessable("invalid_resource", faults=faults)
    answers = [
        capability_statement("https://example.org/fhir/R4"),
        outcome_of(problem, "Patient", element_expression),
        outcome_for({"resourceType": "Patient"}, "Patient", mode="create", id=None, profiles=["u"]),
    ]
    for answer in answers:
        assert errors_of(encode(answer).decode()) == []
