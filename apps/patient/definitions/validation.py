"""Whether a resource is valid FHIR R4B: `fhir.resources`, and a pass beside it for what the library lets through."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from apps.kit.errors import FieldError
from apps.patient.codec import Resource
from apps.patient.definitions.narrative import is_safe_narrative
from apps.patient.definitions.schema import Element, elements_of, is_resource_type, model_of

MAX_FAULTS = 20
MAX_DEPTH = 50
MAX_STRING_CHARS = 1024 * 1024

# https://hl7.org/fhir/R4/datatypes.html
_YEAR = r"([0-9](?:[0-9](?:[0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_DAY = r"(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
_ZONE = r"(Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "date": re.compile(rf"{_YEAR}(-(0[1-9]|1[0-2])|-{_DAY})?"),
    "datetime": re.compile(rf"{_YEAR}(-(0[1-9]|1[0-2])|-{_DAY}(T{_CLOCK}{_ZONE})?)?"),
    "instant": re.compile(rf"{_YEAR}-{_DAY}T{_CLOCK}{_ZONE}"),
    "time": re.compile(_CLOCK),
    "id": re.compile(r"[A-Za-z0-9.-]{1,64}"),
    "code": re.compile(r"[^\s]+(\s[^\s]+)*"),
    "uri": re.compile(r"\S+"),
    "url": re.compile(r"\S+"),
    "canonical": re.compile(r"\S+"),
}
# Of the C0 controls FHIR strings may hold tab, line feed and carriage return alone; PostgreSQL takes no NUL.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_NUMBERS = ("integer", "positiveint", "unsignedint")

Note = Callable[[str, str, str], None]


def find_faults(resource: Any, resource_type: str) -> tuple[FieldError, ...]:
    """What is wrong with `resource`, at most MAX_FAULTS; nothing for a valid one. Takes 0.1 to 1 ms."""
    faults: list[FieldError] = []

    def note(pointer: str, code: str, message: str) -> None:
        if len(faults) < MAX_FAULTS:
            faults.append(FieldError(code, message, pointer))

    if not isinstance(resource, dict):
        return (FieldError("structure", "expected a resource", ""),)
    if resource.get("resourceType") != resource_type:
        return (FieldError("invalid", f"resourceType must be {resource_type}", "/resourceType"),)
    _walk(resource, resource_type, "", note, 0)
    if not faults:
        try:
            model_of(resource_type).model_validate(resource)
        except ValidationError as error:
            for fault in error.errors(
                include_url=False, include_input=False, include_context=False
            ):
                note("".join(f"/{part}" for part in fault["loc"]), "invalid", fault["msg"])
        except (ValueError, TypeError, AssertionError, KeyError, RecursionError):
            note("", "invalid", f"this is not a valid {resource_type}")
    return tuple(faults)


def _walk(value: Resource, type_name: str, at: str, note: Note, depth: int) -> None:
    if depth > MAX_DEPTH:
        note(at, "too-long", "nested too deep")
        return
    if not value or (len(value) == 1 and "resourceType" in value and depth):
        note(at, "structure", "an object must not be empty")
        return
    elements = elements_of(type_name)
    for name, child in value.items():
        if name == "resourceType":
            continue
        element = elements.get(name)
        pointer = f"{at}/{name}"
        if element is None:
            note(pointer, "structure", f"{type_name} has no such element")
        elif element.many:
            if not isinstance(child, list) or not child:
                note(pointer, "structure", "expected a list that is not empty")
                continue
            # A null holds the place of a primitive that has only extensions, or the other way round.
            nullable = element.kind[0].islower() or element.kind == "FHIRPrimitiveExtension"
            for index, item in enumerate(child):
                if item is None and nullable:
                    continue
                _check(item, element, f"{pointer}/{index}", note, depth)
        else:
            _check(child, element, pointer, note, depth)


def _check(value: Any, element: Element, at: str, note: Note, depth: int) -> None:
    kind = element.kind
    if kind[0].isupper():
        if not isinstance(value, dict):
            note(at, "structure", "expected an object")
        elif kind == "Resource":
            _check_contained(value, at, note, depth)
        else:
            _walk(value, kind, at, note, depth + 1)
    elif kind == "boolean":
        if not isinstance(value, bool):
            note(at, "value", "expected true or false")
    elif kind in _NUMBERS:
        if not isinstance(value, int) or isinstance(value, bool):
            note(at, "value", "expected a whole number")
    elif kind == "decimal":
        if isinstance(value, (bool, str, list, dict)) or value is None:
            note(at, "value", "expected a number")
    elif not isinstance(value, str):
        note(at, "value", "expected a string")
    else:
        _check_text(value, element, at, note)


def _check_text(value: str, element: Element, at: str, note: Note) -> None:
    kind = element.kind
    if not value.strip():
        note(at, "value", "a string must not be empty")
    elif len(value) > MAX_STRING_CHARS and kind != "encodedbytes":
        note(at, "too-long", f"a string has at most {MAX_STRING_CHARS} characters")
    elif _FORBIDDEN.search(value):
        note(at, "value", "a string must not hold control characters or lone surrogates")
    elif kind in _PATTERNS and not _PATTERNS[kind].fullmatch(value):
        note(at, "value", f"this is not a valid {kind}")
    elif element.codes is not None and value not in element.codes:
        note(at, "code-invalid", f"expected one of {', '.join(sorted(element.codes))}")
    elif kind == "xhtml" and not is_safe_narrative(value):
        note(
            at,
            "security",
            "a narrative is one <div> of formatting: no script, form, frame or event",
        )


def _check_contained(value: Resource, at: str, note: Note, depth: int) -> None:
    type_name = value.get("resourceType")
    if not isinstance(type_name, str) or not is_resource_type(type_name):
        note(f"{at}/resourceType", "value", "expected the name of a resource type")
        return
    _walk(value, type_name, at, note, depth + 1)
