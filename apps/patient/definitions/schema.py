"""The elements of FHIR R4B types, read from the models of `fhir.resources`: what JSON each takes and which codes.

The models themselves coerce (`"true"` passes for a boolean, a number for a date) and do not check value sets.
"""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from fhir.resources.R4B import get_fhir_model_class

HISTORY_TYPES = (
    "Encounter",
    "Condition",
    "AllergyIntolerance",
    "MedicationRequest",
    "Immunization",
    "Procedure",
    "Observation",
)
RESOURCE_TYPES = ("Patient", *HISTORY_TYPES)


@dataclass(frozen=True, slots=True)
class Element:
    """`kind`: a primitive type's name in lower case (`boolean`, `date`, `code`...) or a complex type's name."""

    kind: str
    many: bool
    codes: frozenset[str] | None = None


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENCOUNTER_STATUS = words(
    "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown"
)
# Required value sets (https://hl7.org/fhir/R4/terminologies-valuesets.html) that the models give in part or not at all.
_CODES: Mapping[tuple[str, str], frozenset[str] | None] = {
    ("Encounter", "status"): _ENCOUNTER_STATUS,
    ("EncounterStatusHistory", "status"): _ENCOUNTER_STATUS,
    ("Observation", "status"): words(
        "registered preliminary final amended corrected cancelled entered-in-error unknown"
    ),
    ("Quantity", "comparator"): words("< <= >= >"),
    ("TimingRepeat", "when"): words(
        "MORN MORN.early MORN.late NOON AFT AFT.early AFT.late EVE EVE.early EVE.late NIGHT PHS"
        " HS WAKE C CM CD CV AC ACM ACD ACV PC PCM PCD PCV"
    ),
    ("Signature", "targetFormat"): None,
    ("Expression", "language"): None,
}
_PRIMITIVE_EXTENSION = {"id": Element("string", False), "extension": Element("Extension", True)}


@cache
def model_of(type_name: str) -> Any:
    """The pydantic model of a resource or data type; raises LookupError for a name that FHIR does not have."""
    try:
        return get_fhir_model_class(type_name)
    except (KeyError, LookupError, ImportError, AttributeError, ValueError):
        raise LookupError(type_name) from None


@cache
def is_resource_type(name: str) -> bool:
    try:
        return issubclass(model_of(name), model_of("DomainResource"))
    except LookupError:
        return False


@cache
def elements_of(type_name: str) -> Mapping[str, Element]:
    """The elements by their JSON names, `_name` for a primitive's extensions among them."""
    if type_name == "FHIRPrimitiveExtension":
        return _PRIMITIVE_EXTENSION
    found: dict[str, Element] = {}
    for name, info in model_of(type_name).model_fields.items():
        if name == "fhir_comments":  # DSTU2's; R4 has none
            continue
        kind, many = _kind_of(info.annotation)
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        alias = info.alias or name
        listed = extra.get("enum_values")
        known = frozenset(str(code) for code in listed) if isinstance(listed, list) else None
        found[alias] = Element(kind, many, _CODES.get((type_name, alias), known))
    return found


def load_models() -> None:
    """At the start, so that the first request does not wait a quarter of a second for it, nor all others with it."""
    for name in RESOURCE_TYPES:
        elements_of(name)


def _kind_of(annotation: Any) -> tuple[str, bool]:
    many = False
    while True:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin in (Union, types.UnionType):
            annotation = next(argument for argument in arguments if argument is not type(None))
        elif origin is list:
            annotation, many = arguments[0], True
        elif origin is Annotated:
            return type(arguments[1]).__name__.lower(), many
        elif annotation is bool:
            return "boolean", many
        else:
            name = getattr(annotation, "__name__", "str")
            return (name.removesuffix("Type") if name.endswith("Type") else "string"), many
