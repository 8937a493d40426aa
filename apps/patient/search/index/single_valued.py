"""Which parameters a resource has at most one value of: the bounds of such a date may
be joined. Pure.
"""

import re
from functools import cache

from apps.patient.definitions.fhirpath.compiler import compile_path
from apps.patient.definitions.model import definition_of, search_parameters
from apps.patient.search.index.hashing import parameter_key

_PATH = re.compile(r"[A-Z][A-Za-z]+(\.[a-z][A-Za-z]*)+")


@cache
def single_valued_date_keys(resource_type: str) -> frozenset[int]:
    """Returns the keys of the type's date parameters whose element repeats nowhere on its path."""
    return frozenset(
        parameter_key(resource_type, code)
        for code, parameter in search_parameters(resource_type).items()
        if parameter.kind == "date" and _is_single(resource_type, parameter.expression)
    )


@cache
def is_single_code(resource_type: str, code: str) -> bool:
    """Tells whether a resource has at most one code by a token parameter: no list, no
    CodeableConcept.
    """
    expression = search_parameters(resource_type)[code].expression
    types = {branch.type for branch in compile_path(expression, resource_type)}
    return types <= {"code", "boolean", "Coding"} and _is_single(resource_type, expression)


def _is_single(resource_type: str, expression: str) -> bool:
    path = expression.strip().removesuffix(")").removeprefix("(")
    path = re.sub(r" as [A-Za-z]+$|\.as\([A-Za-z]+$", "", path)
    if not _PATH.fullmatch(path):
        return False
    kind = resource_type
    for name in path.split(".")[1:]:
        elements = definition_of(kind).named(name)
        if not elements or any(element.many or element.type == "Timing" for element in elements):
            return False
        kind = elements[0].type
        if kind[0].islower():
            break
    return True
