"""Contained resources, as chains look into them (https://hl7.org/fhir/R4/search.html#contained).
Pure.

They are indexed with the resource that contains them. In the place of a type their values have the
path that leads to them: `MedicationRequest.medication:Medication`. A path with a number,
`Observation.performer#1:Practitioner`, has one of several by itself: what must be said of one
contained resource (`:not`, two comparisons) is looked for there.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from apps.kit.errors import Unprocessable
from apps.patient.definitions.local_references import contained_types
from apps.patient.definitions.model import served_types
from apps.patient.search.index.extraction import index_values
from apps.patient.search.index.hashing import contained_path
from apps.patient.search.index.references import references_of

# A contained resource, and one that it refers to.
MAX_STEPS = 2
# With more of a type, those behind the last number share it.
NUMBERED = 4
# Of a resource: each value of each contained one by each path that leads to it. A few kilobytes
# whose contained resources refer to each other have hundreds of paths.
MAX_PATH_VALUES = 5_000

# Contained resources by their ids, by the path that leads to them.
ByPath = Mapping[str, Mapping[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Contents:
    """`parameters` are those that refer to contained resources, by the path of what refers; that
    of the containing resource is its type. `references` are (type, id) of what contained ones
    refer to outside.
    """

    parameters: Mapping[str, frozenset[str]]
    by_path: ByPath
    references: frozenset[tuple[str, str]]


class ContainedTooCostlyError(Unprocessable):
    """Contained resources have more values by their paths than are indexed."""

    def __init__(self) -> None:
        super().__init__(
            "too_costly",
            f"contained resources have over {MAX_PATH_VALUES} values by the references that lead"
            " to them; store some as resources of their own",
            pointer="/contained",
        )


def contents_of(resource: Mapping[str, Any], base_url: str) -> Contents:
    """Returns what a resource contains, as far as a path leads to it and it is of a served type.

    Raises ContainedTooCostlyError where more paths lead to it than are indexed.
    """
    types = contained_types(resource)
    held = {
        item["id"]: item
        for item in resource.get("contained") or ()
        if item.get("id") in types and item.get("resourceType") in served_types()
    }
    plain = {name: value for name, value in resource.items() if name != "contained"}
    links: dict[str, list[tuple[str, str, str]]] = {}
    outside: set[tuple[str, str]] = set()
    for id, item in (("", plain), *held.items()):
        found_here = list(references_of(index_values(_typed(item, types), base_url)))
        links[id] = [(name, kind, to[1:]) for name, kind, to in found_here if to[0] == "#"]
        if id:
            outside.update((kind, to) for _, kind, to in found_here if to[0] != "#")
    by_path: dict[str, Mapping[str, dict[str, Any]]] = {}
    level: Mapping[str, Collection[str]] = {resource["resourceType"]: ("",)}
    parameters: dict[str, frozenset[str]] = {}
    count = 0
    for step in range(MAX_STEPS + 1):
        found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for path, ids in level.items():
            here = [link for holder in ids for link in links[holder]]
            count += len(here)
            if count > MAX_PATH_VALUES:
                raise ContainedTooCostlyError
            parameters[path] = frozenset(parameter for parameter, _, _ in here)
            for parameter, kind, id in here if step < MAX_STEPS else ():
                if id in held:
                    found[contained_path(path, parameter, kind)][id] = held[id]
        for path, items in list(found.items()):
            if len(items) > 1:
                for number, id in enumerate(items):
                    found[numbered_path(path, number)][id] = items[id]
        by_path |= found
        level = found
    return Contents(parameters, by_path, frozenset(outside))


def numbered_path(path: str, number: int) -> str:
    """Returns the path of one among several: the last number is shared by the rest."""
    start, _, kind = path.rpartition(":")
    return f"{start}#{min(number, NUMBERED - 1)}:{kind}"


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
