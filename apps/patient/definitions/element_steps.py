"""The steps that check the values of an element: one or a list, and a primitive's extensions."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from apps.patient.definitions.element_rules import ItemCheck, check_contained
from apps.patient.definitions.model import Element
from apps.patient.definitions.primitives import Check, bound_code_check, check_of
from apps.patient.definitions.validation_run import Path, Run

ELE_1 = "ele-1: an element must have a value or children"
# Takes a property's value, its object's path and the object.
Step: TypeAlias = "Callable[[Any, Path, Run, Mapping[str, Any]], None]"


def nested_step(element: Element, check: ItemCheck) -> Step:
    return _many(element, check) if element.many else _one(element, check)


def _one(element: Element, check: ItemCheck) -> Step:
    name = element.name

    def step(child: Any, at: Path, run: Run, value: Mapping[str, Any]) -> None:
        check(child, (at, name), run)

    return step


def _many(element: Element, check: ItemCheck) -> Step:
    name = element.name

    def step(child: Any, at: Path, run: Run, value: Mapping[str, Any]) -> None:
        here = (at, name)
        if type(child) is not list or not child:
            run.note(here, "structure", "expected a list that is not empty")
            return
        for index, item in enumerate(child):
            check(item, (here, index), run)
        if name == "contained":
            check_contained(child, here, run)

    return step


def primitive_check(element: Element) -> Check:
    if element.value_set and element.type == "code":
        return bound_code_check(element.value_set, element.codes)
    return check_of(element.type)


def primitives_step(element: Element) -> Step:
    """Checks the list of an element that repeats."""
    name, sibling_name = element.name, f"_{element.name}"
    check = primitive_check(element)

    def step(child: Any, at: Path, run: Run, value: Mapping[str, Any]) -> None:
        if type(child) is not list or not child:
            run.note((at, name), "structure", "expected a list that is not empty")
            return
        siblings = value.get(sibling_name)
        for index, item in enumerate(child):
            # A null holds the place of a primitive that has only extensions.
            if item is None and _item(siblings, index) is not None:
                continue
            problem = check(item)
            if problem:
                run.note(((at, name), index), *problem)

    return step


def _item(items: Any, index: int) -> Any:
    return items[index] if isinstance(items, list) and index < len(items) else None


def extension_step(element: Element, check: ItemCheck) -> Step:
    """Checks `_name`: the id and the extensions of a primitive, each by `check`."""
    name, sibling_name = f"_{element.name}", element.name

    def check_many(child: Any, at: Path, run: Run, value: Mapping[str, Any]) -> None:
        here = (at, name)
        values = value.get(sibling_name)
        if type(child) is not list or not any(item is not None for item in child):
            run.note(here, "structure", "expected a list of objects and nulls")
            return
        if isinstance(values, list) and len(values) != len(child):
            run.note(here, "structure", f"{name} and {sibling_name} must have the same length")
        for index, item in enumerate(child):
            if item is not None:
                check(item, (here, index), run)
                if is_bare(item) and _item(values, index) is None:
                    run.note((here, index), "invariant", ELE_1)

    def check_one(child: Any, at: Path, run: Run, value: Mapping[str, Any]) -> None:
        check(child, (at, name), run)
        if is_bare(child) and value.get(sibling_name) is None:
            run.note((at, name), "invariant", ELE_1)

    return check_many if element.many else check_one


def is_bare(value: Any) -> bool:
    """Tells whether an element has an id and nothing else, which no element may (ele-1)."""
    return isinstance(value, dict) and len(value) == 1 and "id" in value
