"""What a parameter's values are like, as far as the index depends on it. Pure."""

from collections.abc import Mapping
from functools import cache

from apps.patient.definitions.fhirpath.compiler import compile_path
from apps.patient.definitions.model import Element, search_parameters

# The codes of these come from a terminology: they are few beside the resources.
# Identifiers are many.
_CODED = frozenset(("code", "Coding", "CodeableConcept", "boolean"))


@cache
def has_few_codes(resource_type: str, parameter: str) -> bool:
    """Tells whether a token parameter's codes are listed by their system (`token_text`)."""
    expression = search_parameters(resource_type)[parameter].expression
    return all(branch.type in _CODED for branch in compile_path(expression, resource_type))


@cache
def bound_codes(resource_type: str, parameter: str) -> Mapping[str, str]:
    """Returns the system of each code of the required value sets of a token
    parameter's elements.
    """
    codes: dict[str, str] = {}
    for element in _elements(resource_type, parameter):
        codes |= element.codes or {}
    return codes


@cache
def is_closed(resource_type: str, parameter: str) -> bool:
    """Tells whether a token parameter's elements hold the codes of their required
    value sets alone.
    """
    elements = _elements(resource_type, parameter)
    return bool(elements) and all(element.type == "code" and element.codes for element in elements)


@cache
def is_coded(resource_type: str, parameter: str) -> bool:
    """Tells whether a token parameter has codes of code systems: `:in`, `:above` and
    `:below` need them.
    """
    return bool(_types(resource_type, parameter) & {"code", "Coding", "CodeableConcept"})


@cache
def has_texts(resource_type: str, parameter: str) -> bool:
    """Tells whether a token parameter's values come with a text: `:text` looks for it."""
    return bool(_types(resource_type, parameter) & {"Coding", "CodeableConcept", "Identifier"})


@cache
def is_boolean(resource_type: str, parameter: str) -> bool:
    """Tells whether true and false are all that a token parameter's elements hold."""
    return _types(resource_type, parameter) == {"boolean"}


@cache
def has_identifiers(resource_type: str, parameter: str) -> bool:
    """Tells whether a token parameter has Identifiers: `:of-type` needs their type."""
    return "Identifier" in _types(resource_type, parameter)


@cache
def has_media_types(resource_type: str, parameter: str) -> bool:
    """Tells whether a token parameter's codes are media types."""
    return any(element.value_set == "mimetypes" for element in _elements(resource_type, parameter))


@cache
def is_canonical(resource_type: str, parameter: str) -> bool:
    """Tells whether a reference parameter has canonical URLs, which have a business
    version behind `|`.
    """
    return "canonical" in _types(resource_type, parameter)


def _types(resource_type: str, parameter: str) -> set[str]:
    expression = search_parameters(resource_type)[parameter].expression
    return {branch.type for branch in compile_path(expression, resource_type)}


def _elements(resource_type: str, parameter: str) -> list[Element]:
    expression = search_parameters(resource_type)[parameter].expression
    branches = compile_path(expression, resource_type)
    return [branch.element for branch in branches if branch.element is not None]


@cache
def parent_parameter(resource_type: str) -> str | None:
    """Returns the reference to what a resource of the type is part of, of the same type;
    None without one.
    """
    for code in ("partof", "part-of", "parent"):
        parameter = search_parameters(resource_type).get(code)
        if parameter is not None and resource_type in parameter.targets:
            return code
    return None


@cache
def has_one_system(resource_type: str, parameter: str) -> bool:
    """Tells whether every value has the same system: `email` and `phone`. Nothing needs to
    be found by it.
    """
    return ".where(system=" in search_parameters(resource_type)[parameter].expression


@cache
def pairs_whole_resource(resource_type: str, composite: str) -> bool:
    """Tells whether a composite's element is the resource: its parts are then what two
    parameters have anyway.
    """
    return search_parameters(resource_type)[composite].expression == resource_type
