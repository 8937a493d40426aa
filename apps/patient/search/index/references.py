"""References as searches and the index see them: one of ours is one reference, however it is
written. Pure.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from apps.patient.definitions.model import resource_types
from apps.patient.search.index.index_values import CompositeValue, IndexValue, ReferenceValue


@dataclass(frozen=True, slots=True)
class Reference:
    """`type` and `id` for a resource of this service; `url` for any other, with `type`
    where it tells it.
    """

    type: str = ""
    id: str = ""
    version: str = ""
    url: str = ""


def parse_reference(text: str, base_url: str) -> Reference | None:
    """Returns what `text` refers to; None for a contained resource (`#id`).

    `base_url` is the address of this service's FHIR resources, without a slash at its end.
    """
    if text.startswith("#"):
        return None
    local = text
    is_absolute = "://" in text or text.startswith("urn:")
    if is_absolute and text.startswith(f"{base_url}/"):
        local, is_absolute = text[len(base_url) + 1 :], False
    parts = local.split("/")
    version = ""
    if len(parts) >= 4 and parts[-2] == "_history":
        version = parts[-1]
        parts = parts[:-2]
    named = parts[-2] if len(parts) > 1 and parts[-2] in resource_types() else ""
    if not is_absolute and named and len(parts) == 2 and parts[1]:
        return Reference(type=named, id=parts[1], version=version)
    return Reference(type=named, url=text)


def references_of(values: Iterable[IndexValue]) -> Iterator[tuple[str, str, str]]:
    """Yields (parameter, type, id) of each reference to a resource of this service."""
    for value in values:
        for part in value.parts if isinstance(value, CompositeValue) else (value,):
            if isinstance(part, ReferenceValue) and part.id:
                yield value.parameter, part.type, part.id
