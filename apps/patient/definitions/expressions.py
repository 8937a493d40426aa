"""JSON pointers of faults as FHIRPath: `/valueQuantity/code` is
`Observation.value.ofType(Quantity).code`.
"""

from collections.abc import Mapping
from functools import cache

from apps.patient.definitions.model import (
    ANY_RESOURCE,
    Element,
    definition_of,
    is_primitive,
    served_types,
)


def element_expression(pointer: str, root: str) -> str:
    """Returns the FHIRPath of the element that a JSON pointer names in a resource of
    the type `root`.
    """
    expression, type_name = root, root
    for part in pointer.split("/")[1:]:
        if part.isdigit():
            expression += f"[{part}]"
            continue
        # `_birthDate` holds the extensions of the element itself.
        name = part.removeprefix("_")
        element = _element(type_name, name)
        expression += f".{_path_of(element) if element else name}"
        type_name = element.type if element else ""
    return expression


def _element(type_name: str, name: str) -> Element | None:
    """Returns the element; in a resource inside another, whose type a pointer does not
    tell, a likely one.
    """
    try:
        definition = definition_of(type_name)
    except LookupError:
        return _choices().get(name)
    if type_name == ANY_RESOURCE and name not in definition.elements:
        return _choices().get(name)
    return definition.elements.get(name)


def _path_of(element: Element) -> str:
    if not element.is_choice:
        return element.name
    return f"{element.path_name}.ofType({element.type.replace('SimpleQuantity', 'Quantity')})"


@cache
def _choices() -> Mapping[str, Element]:
    """Returns the choice properties of all types by their JSON names."""
    found: dict[str, Element] = {}
    seen: set[str] = set()
    waiting = list(served_types())
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for element in definition_of(name).elements.values():
            if element.is_choice:
                found.setdefault(element.name, element)
            if not is_primitive(element.type):
                waiting.append(element.type)
    return found
