"""References between a resource and what it contains: `#id` and `#`
(https://hl7.org/fhir/R4/references.html#contained).
"""

from collections.abc import Iterator, Mapping
from typing import Any


def unreferenced_contained(resource: Mapping[str, Any]) -> list[int]:
    """Returns the indexes of contained resources that nothing refers to and that do not
    refer back (dom-3).
    """
    contained = resource.get("contained")
    if not isinstance(contained, list):
        return []
    named = set(_fragments(resource))
    return [
        index
        for index, item in enumerate(contained)
        if isinstance(item, dict)
        and f"#{item.get('id')}" not in named
        and "#" not in _fragments(item)
    ]


def _fragments(value: Any) -> Iterator[str]:
    """Yields every string that starts with `#`: references, canonicals and URLs."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            waiting += current.values()
        elif isinstance(current, list):
            waiting += current
        elif isinstance(current, str) and current.startswith("#"):
            yield current


def contained_types(root: Mapping[str, Any]) -> dict[str, str]:
    """Returns the type of each contained resource by its id."""
    return {
        item["id"]: str(item.get("resourceType") or "")
        for item in root.get("contained") or ()
        if isinstance(item, dict) and isinstance(item.get("id"), str)
    }
