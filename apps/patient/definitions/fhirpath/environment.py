"""What a compiled FHIRPath is evaluated in, and what it is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from apps.patient.definitions.fhirpath.values import Items
from apps.patient.definitions.model import Element, resource_types

UCUM = "http://unitsofmeasure.org"
# Lists as short as nearly all are not counted.
FREE_ITEMS = 20


class TooCostlyError(Exception):
    """Evaluating an expression went through more items than the budget allows."""


@dataclass(slots=True)
class Budget:
    """How many items the expressions of one validation may still go through: some grow
    with the square.
    """

    items: int

    def spend(self, items: int) -> None:
        self.items -= items
        if self.items < 0:
            raise TooCostlyError


@dataclass(frozen=True, slots=True)
class Environment:
    """`resource` is the resource that holds the element, `root` the one that contains
    that (or itself).
    """

    resource: dict[str, Any]
    root: dict[str, Any]
    budget: Budget | None = None


Function: TypeAlias = Callable[[Environment, Items], Items]


@dataclass(frozen=True, slots=True)
class Branch:
    """`type` is "" where it is not known; `element` is the last one on the way, if there is one.

    `root` is the JSON property that the path starts with: without it there is no result. It is ""
    for what has no such property. `alone`: the property that is all of the path, if one is.
    """

    evaluate: Function
    type: str
    element: Element | None = None
    root: str = ""
    alone: str = ""


Branches: TypeAlias = tuple[Branch, ...]


def reference_type(reference: Any) -> str:
    """Returns the type that a Reference names in its text or its `type`; "" if it tells none."""
    if not isinstance(reference, dict):
        return ""
    text = reference.get("reference")
    if isinstance(text, str):
        parts = text.partition("?")[0].split("/")
        if "_history" in parts:
            parts = parts[: parts.index("_history")]
        name = parts[-2] if len(parts) > 1 else parts[0] if "?" in text else ""
        if name in resource_types():
            return name
    return str(reference.get("type") or "")
