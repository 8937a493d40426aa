"""The objects of a resource with their FHIR types, as the definitions tell them."""

from collections.abc import Iterator, Mapping
from typing import Any

from apps.patient.definitions.model import definition_of, is_primitive

# (type, object, the resource that holds it)
Node = tuple[str, dict[str, Any], dict[str, Any]]


def typed_nodes(resource: dict[str, Any]) -> Iterator[Node]:
    """Yields the resource itself and every object in it that is no resource of its own."""
    yield from _nodes(resource["resourceType"], resource, resource)


def _nodes(type_name: str, value: dict[str, Any], holder: dict[str, Any]) -> Iterator[Node]:
    yield type_name, value, holder
    for child_type, child in _children(type_name, value):
        yield from _nodes(child_type, child, holder)


def _children(type_name: str, value: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    elements = definition_of(type_name).elements
    for name, child in value.items():
        element = elements.get(name)
        if element is None or is_primitive(element.type) or element.type == "Resource":
            continue
        for item in child if isinstance(child, list) else [child]:
            yield element.type, item
