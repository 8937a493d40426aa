"""Contained resources, as chains look into them (https://hl7.org/fhir/R4/search.html#contained).
Pure.

They are indexed with the resource that contains them. In the place of a type their values have the
path that leads to them: `MedicationRequest.medication:Medication`. A path with a number,
`Observation.performer#1:Practitioner`, has one of several by itself: what must be said of one
contained resource (`:not`, two comparisons) is looked for there.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apps.patient.definitions.local_references import contained_types
from apps.patient.definitions.model import served_types
from apps.patient.search.extraction import index_values
from apps.patient.search.hashing import contained_path
from apps.patient.search.index_values import ReferenceValue

# A contained resource, and one that it refers to.
MAX_STEPS = 2
# With more of a type, those behind the last number share it.
NUMBERED = 4

# Contained resources by their ids, by the path that leads to them.
ByPath = Mapping[str, Mapping[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Contents:
    """`parameters` are those of the containing resource that refer to contained ones."""

    parameters: frozenset[str]
    by_path: ByPath


def contents_of(resource: Mapping[str, Any], base_url: str) -> Contents:
    """Returns what a resource contains, as far as a path leads to it and it is of a served type."""
    types = contained_types(resource)
    held = {
        item["id"]: item
        for item in resource.get("contained") or ()
        if item.get("id") in types and item.get("resourceType") in served_types()
    }
    plain = {name: value for name, value in resource.items() if name != "contained"}
    references = {
        id: list(_local_references(item, types, base_url))
        for id, item in (("", plain), *held.items())
    }
    by_path: dict[str, Mapping[str, dict[str, Any]]] = {}
    level: Mapping[str, Collection[str]] = {resource["resourceType"]: ("",)}
    for _ in range(MAX_STEPS):
        found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for path, ids in level.items():
            for parameter, kind, id in (part for holder in ids for part in references[holder]):
                if id in held:
                    found[contained_path(path, parameter, kind)][id] = held[id]
        for path, items in list(found.items()):
            if len(items) > 1:
                for number, id in enumerate(items):
                    found[numbered_path(path, number)][id] = items[id]
        by_path |= found
        level = found
    parameters = frozenset(parameter for parameter, _, _ in references[""])
    return Contents(parameters, by_path)


def numbered_path(path: str, number: int) -> str:
    """Returns the path of one among several: the last number is shared by the rest."""
    start, _, kind = path.rpartition(":")
    return f"{start}#{min(number, NUMBERED - 1)}:{kind}"


def _local_references(
    resource: Mapping[str, Any], types: Mapping[str, str], base_url: str
) -> Iterator[tuple[str, str, str]]:
    """Yields (parameter, type, id) of each reference to a contained resource."""
    for value in index_values(_typed(resource, types), base_url):
        if isinstance(value, ReferenceValue) and value.id.startswith("#"):
            yield value.parameter, value.type, value.id[1:]


def _typed(value: Any, types: Mapping[str, str]) -> Any:
    """Returns the value with `Medication/#m` for `#m`: parameters ask for the type."""
    if isinstance(value, list):
        return [_typed(item, types) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: _typed(item, types) for name, item in value.items()}
    reference = value.get("reference")
    if isinstance(reference, str) and reference[:1] == "#" and reference[1:] in types:
        found["reference"] = f"{types[reference[1:]]}/{reference}"
    return found
