"""What a resource is found by: the values of its search parameters, and their rows. Pure.

Most properties are the same in many resources (a status, a code, the patient referred to), so the rows of
each are made once and remembered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apps.patient.codec import decode, encode
from apps.patient.search.extraction import part_values, parts_of
from apps.patient.search.index_rows import IndexRows, index_rows
from apps.patient.search.index_values import IndexValue

# About 8 MB: what repeats does so soon, within a Bundle and between neighbours.
REMEMBERED_PARTS = 2_048
MAX_REMEMBERED_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A resource's values, each once, and the rows that they become."""

    values: tuple[IndexValue, ...]
    rows: IndexRows


def index_of(resource: Mapping[str, Any], base_url: str) -> Index:
    """Returns the index of a valid resource; `base_url` is the address of this service's FHIR resources."""
    resource_type = resource["resourceType"]
    values: dict[IndexValue, None] = {}
    rows = IndexRows()
    for name, part in parts_of(resource):
        text = encode(part)
        if len(text) > MAX_REMEMBERED_BYTES:
            found = _index_of_part(resource_type, name, part, base_url)
        else:
            found = _remembered_index(resource_type, name, text, base_url)
        values.update(dict.fromkeys(found.values))
        rows.add(found.rows)
    return Index(values=tuple(values), rows=rows)


@lru_cache(maxsize=REMEMBERED_PARTS)
def _remembered_index(resource_type: str, name: str, text: bytes, base_url: str) -> Index:
    return _index_of_part(resource_type, name, decode(text), base_url)


def _index_of_part(resource_type: str, name: str, part: dict[str, Any], base_url: str) -> Index:
    values = tuple(dict.fromkeys(part_values(resource_type, name, part, base_url)))
    return Index(values=values, rows=index_rows(resource_type, values))
