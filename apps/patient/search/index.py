"""What a resource is found by: the values of its search parameters, and their rows. Pure.

Most properties are the same in many resources (a status, a code, the patient referred to), so the
rows of each are made once and remembered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from apps.patient.codec import encode
from apps.patient.search.aliases import wholes_of
from apps.patient.search.contained import contents_of
from apps.patient.search.extraction import index_values, part_values, parts_of
from apps.patient.search.index_rows import FilledRows, IndexRows, contained_rows, index_rows
from apps.patient.search.index_values import IndexValue, StringValue

# About 8 MB: what repeats does so soon, within a Bundle and between neighbours.
REMEMBERED_PARTS = 2_048
MAX_REMEMBERED_BYTES = 256
# Of one contained resource.
MAX_NAMES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A resource's values, each once, and the rows that they become."""

    values: tuple[IndexValue, ...]
    rows: IndexRows


@dataclass(frozen=True, slots=True)
class _Part:
    """What one property of a resource adds: its values, and the rows of those kinds that it has."""

    values: Mapping[IndexValue, None]
    rows: FilledRows


_parts: dict[tuple[str, str, bytes, str], _Part] = {}


def index_of(resource: Mapping[str, Any], base_url: str) -> Index:
    """Returns the index of a valid resource; `base_url` is the address of this service's
    FHIR resources.
    """
    resource_type = resource["resourceType"]
    values: dict[IndexValue, None] = {}
    rows = IndexRows()
    for name, value in parts_of(resource):
        part = _part(resource_type, name, value, base_url)
        values.update(part.values)
        rows.add(part.rows)
    if resource.get("contained"):
        _add_contained(rows, resource, base_url)
    return Index(values=tuple(values), rows=rows)


def _add_contained(rows: IndexRows, resource: Mapping[str, Any], base_url: str) -> None:
    """Adds what chains find in contained resources. References to them are values too: nothing
    is `:missing`.
    """
    contents = contents_of(resource, base_url)
    for parameter in contents.parameters:
        rows.present.update((parameter, *wholes_of(resource["resourceType"], parameter)))
    values = {
        id: index_values(item, base_url)
        for items in contents.by_path.values()
        for id, item in items.items()
    }
    for path, ids in contents.by_path.items():
        for number, id in enumerate(ids):
            apart = [_apart(value, number) for value in values[id]]
            rows.add(contained_rows(path, apart).filled)


def _apart(value: IndexValue, number: int) -> IndexValue:
    """Returns the value with a group of its own: names of several are no one's name."""
    if number and isinstance(value, StringValue):
        return msgspec.structs.replace(value, group=value.group + number * MAX_NAMES)
    return value


def _part(resource_type: str, name: str, value: dict[str, Any], base_url: str) -> _Part:
    text = encode(value)
    key = (resource_type, name, text, base_url)
    part = _parts.get(key)
    if part is None:
        values = dict.fromkeys(part_values(resource_type, name, value, base_url))
        part = _Part(values, index_rows(resource_type, values).filled)
        if len(text) <= MAX_REMEMBERED_BYTES:
            if len(_parts) >= REMEMBERED_PARTS:
                _parts.clear()
            _parts[key] = part
    return part
