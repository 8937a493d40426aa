"""What a resource is found by: the values of its search parameters, and their rows.

Most properties are the same in many resources (a status, a code, the patient referred to), so the
rows of each are made once and remembered.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from apps.patient.codec import encode
from apps.patient.search.index.aliases import wholes_of
from apps.patient.search.index.contained import (
    MAX_PATH_VALUES,
    ContainedTooCostlyError,
    Contents,
    contents_of,
)
from apps.patient.search.index.extraction import index_values, part_values, parts_of
from apps.patient.search.index.hashing import present_hash, resource_hash, type_at
from apps.patient.search.index.index_rows import FilledRows, IndexRows, contained_rows, index_rows
from apps.patient.search.index.index_values import IndexValue, StringValue

# About 8 MB: what repeats does so soon, within a Bundle and between neighbours.
REMEMBERED_PARTS = 2_048
MAX_REMEMBERED_BYTES = 256
# Of one contained resource.
MAX_NAMES = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A resource's values, each once, and the rows that they become.

    `contained_references` are (type, id) of what contained resources refer to.
    """

    values: tuple[IndexValue, ...]
    rows: IndexRows
    contained_references: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class _Part:
    """What one property of a resource adds: its values, and the rows of those kinds that it has."""

    values: Mapping[IndexValue, None]
    rows: FilledRows


_parts: dict[tuple[str, str, bytes, str], _Part] = {}


def index_of(resource: Mapping[str, Any], base_url: str) -> Index:
    """Returns the index of a valid resource; `base_url` is the address of this service's
    FHIR resources.

    Raises ContainedTooCostlyError for contained resources that more paths lead to than are
    indexed.
    """
    resource_type = resource["resourceType"]
    values: dict[IndexValue, None] = {}
    rows = IndexRows()
    for name, value in parts_of(resource):
        part = _part(resource_type, name, value, base_url)
        values.update(part.values)
        rows.add(part.rows)
    outside: frozenset[tuple[str, str]] = frozenset()
    if resource.get("contained"):
        contents = contents_of(resource, base_url)
        outside = contents.references
        _add_contained(rows, contents, resource["resourceType"], base_url)
    return Index(values=tuple(values), rows=rows, contained_references=outside)


def stored_index(resource: Mapping[str, Any], base_url: str) -> Index:
    """Returns the index of a resource that is stored already: without its contained resources
    where they are too many.
    """
    try:
        return index_of(resource, base_url)
    except ContainedTooCostlyError:
        # It was stored before they were indexed: there is nobody to refuse it to.
        found = {"type": resource["resourceType"], "id": resource.get("id")}
        log.warning("contained resources are too many to be indexed", extra=found)
        plain = {name: value for name, value in resource.items() if name != "contained"}
        return index_of(plain, base_url)


def _add_contained(rows: IndexRows, contents: Contents, root: str, base_url: str) -> None:
    """Adds what chains find in contained resources. References to them are values too: nothing
    is `:missing`. What they refer to outside is a target even where no path leads to them.

    Raises ContainedTooCostlyError before a row is made.
    """
    values: dict[str, list[IndexValue]] = {}
    count = 0
    for items in contents.by_path.values():
        for id, item in items.items():
            if id not in values:
                values[id] = index_values(item, base_url)
            count += 1 + len(values[id])
            if count > MAX_PATH_VALUES:
                raise ContainedTooCostlyError
    for path, names in contents.parameters.items():
        present = {whole for name in names for whole in (name, *wholes_of(type_at(path), name))}
        if path == root:
            rows.present.update(present)
        else:
            rows.values.update(present_hash(path, name) for name in present)
    for path, ids in contents.by_path.items():
        for number, id in enumerate(ids):
            apart = [_apart(value, number) for value in values[id]]
            rows.add(contained_rows(path, apart).filled)
    rows.targets.update(resource_hash(*target) for target in contents.references)


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
