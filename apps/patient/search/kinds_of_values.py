"""What a parameter's values are like, as far as the index depends on it. Pure."""

from functools import cache

from apps.patient.definitions.fhirpath.compiler import compile_path
from apps.patient.definitions.model import search_parameters

# The codes of these come from a terminology: they are few beside the resources. Identifiers are many.
_CODED = frozenset(("code", "Coding", "CodeableConcept", "boolean"))


@cache
def has_few_codes(resource_type: str, parameter: str) -> bool:
    """Tells whether a token parameter's codes are listed by their system (`token_text`)."""
    expression = search_parameters(resource_type)[parameter].expression
    return all(branch.type in _CODED for branch in compile_path(expression, resource_type))


@cache
def has_one_system(resource_type: str, parameter: str) -> bool:
    """Tells whether every value has the same system: `email` and `phone`. Nothing needs to be found by it."""
    return ".where(system=" in search_parameters(resource_type)[parameter].expression


@cache
def pairs_whole_resource(resource_type: str, composite: str) -> bool:
    """Tells whether a composite's element is the resource: its parts are then what two parameters have anyway."""
    return search_parameters(resource_type)[composite].expression == resource_type
