"""Search parameters that are made of others: they are not indexed again, and a search asks for
the others. Pure.
"""

from functools import cache

from apps.patient.definitions.model import SearchParameter, search_parameters

_PATIENT_ONLY = ".where(resolve() is Patient)"

# A branch of a parameter's expression, with the expressions of a composite's components.
Branch = tuple[str, tuple[str, ...]]


@cache
def members_of(resource_type: str, code: str) -> tuple[str, ...]:
    """Returns the parameters that together have this one's values: `code` and `component-code`
    for `combo-code`.

    `name` alone for `phonetic`, which is the same elements. Empty for a parameter that is not
    made of others.
    """
    parameters = search_parameters(resource_type)
    whole = _branches(parameters[code])
    if parameters[code].kind == "string":
        same = min(
            name
            for name, other in parameters.items()
            if other.kind == "string" and _branches(other) == whole
        )
        if same != code:
            return (same,)
    parts = {
        name: _branches(other)
        for name, other in parameters.items()
        if other.kind == parameters[code].kind and _branches(other) < whole
    }
    covered = frozenset(branch for branches in parts.values() for branch in branches)
    return tuple(sorted(parts)) if covered == whole else ()


@cache
def wholes_of(resource_type: str, code: str) -> tuple[str, ...]:
    """Returns the parameters that are made of this one, among others or alone."""
    return tuple(
        name for name in search_parameters(resource_type) if code in members_of(resource_type, name)
    )


def _branches(parameter: SearchParameter) -> frozenset[Branch]:
    components = tuple(expression for _, expression in parameter.components)
    return frozenset((part, components) for part in split_union(parameter.expression))


def split_union(expression: str) -> list[str]:
    """Returns the parts of `a | (b | c).d`: `a` and `(b | c).d`."""
    parts = [""]
    depth = 0
    for char in expression:
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


@cache
def reference_name(resource_type: str, code: str) -> str:
    """Returns the parameter that a reference is indexed by: `subject` for a `patient` that is
    the same element.
    """
    parameters = search_parameters(resource_type)
    if code not in parameters or not parameters[code].expression.endswith(_PATIENT_ONLY):
        return code
    element = parameters[code].expression.removesuffix(_PATIENT_ONLY)
    same = [
        name
        for name, other in parameters.items()
        if other.kind == "reference" and other.expression == element
    ]
    return min(same, default=code)
