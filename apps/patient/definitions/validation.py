"""Whether a resource is valid FHIR R4: elements, types, cardinalities, value sets,
references, invariants.

Each type's checks are built once from its definition. A fault names its element by a JSON pointer,
which an OperationOutcome gives as FHIRPath.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from apps.kit.errors import FieldError
from apps.patient.definitions.element_rules import (
    ItemCheck,
    binding_check,
    check_local_reference,
    target_check,
)
from apps.patient.definitions.element_steps import (
    ELE_1,
    Step,
    extension_step,
    nested_step,
    primitive_check,
    primitives_step,
)
from apps.patient.definitions.fhirpath.compiler import compile_condition, member_names
from apps.patient.definitions.fhirpath.environment import Budget, Environment, TooCostlyError
from apps.patient.definitions.known_values import REPEATED_TYPES, KnownValues, key_of
from apps.patient.definitions.model import (
    Element,
    Invariant,
    definition_of,
    is_primitive,
    resource_types,
    served_types,
)
from apps.patient.definitions.primitives import Check
from apps.patient.definitions.validation_run import MAX_FAULTS, Path, Run

MAX_DEPTH = 50
# Beyond it a value that is known to be valid may still nest too deep.
MAX_DEPTH_KNOWN = MAX_DEPTH - 5
# More than any resource needs that people write; what needs more is refused as too costly.
MAX_ITEMS = 500_000
# Checked in code: as FHIRPath they look through all that is contained for each of it, or
# each reference.
_CHECKED_IN_CODE = frozenset(("dom-3", "ref-1"))


@dataclass(frozen=True, slots=True)
class _Rule:
    """`names` are the properties that the invariant looks at; it holds where none of
    them is there.
    """

    holds: Callable[[Environment, Any], bool]
    invariant: Invariant
    names: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """The checks of one type: `checks` of its single primitives, `steps` of all else."""

    name: str
    checks: Mapping[str, Check]
    steps: Mapping[str, Step]
    required: Sequence[tuple[str, ...]]
    choices: Sequence[tuple[str, ...]]
    choice_names: frozenset[str]
    rules: Sequence[_Rule]


def find_faults(resource: Any, resource_type: str) -> tuple[FieldError, ...]:
    """Returns what is wrong with `resource`, at most MAX_FAULTS; nothing for a valid one."""
    if not isinstance(resource, dict):
        return (FieldError("structure", "expected a resource", ""),)
    if resource.get("resourceType") != resource_type:
        return (FieldError("invalid", f"resourceType must be {resource_type}", "/resourceType"),)
    budget = Budget(MAX_ITEMS)
    run = Run(Environment(resource, resource, budget))
    try:
        _check_object(_plan(resource_type), resource, None, run)
    except TooCostlyError:
        run.note(None, "too-costly", "elements repeat too often for the rules to be checked")
    return tuple(run.faults)


def compile_checks() -> None:
    """Builds the checks of every served type at the start, so that no request waits for it."""
    for name in served_types():
        waiting = [name]
        while waiting:
            kind = waiting.pop()
            if kind in _COMPILED:
                continue
            _COMPILED.add(kind)
            _plan(kind)
            waiting += [
                element.type
                for element in definition_of(kind).elements.values()
                if not is_primitive(element.type)
            ]


_COMPILED: set[str] = set()


def _check_object(plan: _Plan, value: Mapping[str, Any], at: Path, run: Run) -> None:
    checks, steps = plan.checks, plan.steps
    for name, child in value.items():
        check = checks.get(name)
        if check is not None:
            problem = check(child)
            if problem is not None:
                run.note((at, name), *problem)
            continue
        step = steps.get(name)
        if step is None:
            run.note((at, name), "structure", f"{plan.name} has no such element")
        else:
            step(child, at, run, value)
    for names in plan.required:
        if names[0] not in value and not any(
            name in value or f"_{name}" in value for name in names
        ):
            run.note((at, names[0]), "required", f"{names[0]} is required")
    if plan.choices and len(plan.choice_names & value.keys()) > 1:
        for names in plan.choices:
            given = [name for name in names if name in value or f"_{name}" in value]
            if len(given) > 1:
                run.note(
                    (at, given[1]), "structure", f"only one of {', '.join(given)} may be given"
                )
    for rule in plan.rules:
        if rule.names is not None and rule.names.isdisjoint(value):
            continue
        if not rule.holds(run.environment, value):
            invariant = rule.invariant
            run.note(at, "invariant", f"{invariant.key}: {invariant.human}")


@cache
def _plan(type_name: str) -> _Plan:
    definition = definition_of(type_name)
    checks: dict[str, Check] = {}
    steps: dict[str, Step] = {}
    for element in definition.elements.values():
        if is_primitive(element.type) and not element.many:
            checks[element.name] = primitive_check(element)
        else:
            steps[element.name] = _step(element)
        if is_primitive(element.type) and element.type != "xhtml":
            name = f"_{element.name}"
            extension = Element(name=name, path_name=name, type="Element", many=False)
            steps[name] = extension_step(element, _object_check(extension))
    if type_name == "Resource" or definition.is_resource:
        steps["resourceType"] = _accept
    choices = tuple(definition.choices.values())
    return _Plan(
        name=type_name,
        checks=checks,
        steps=steps,
        required=definition.required,
        choices=choices,
        choice_names=frozenset(
            f"{prefix}{name}" for names in choices for name in names for prefix in ("", "_")
        ),
        rules=[
            _rule(invariant, type_name)
            for invariant in definition.invariants
            if invariant.key not in _CHECKED_IN_CODE
        ],
    )


def _accept(child: Any, at: Path, run: Run, value: Mapping[str, Any]) -> None:
    """Accepts a property that is checked elsewhere."""


def _rule(invariant: Invariant, type_name: str) -> _Rule:
    holds = compile_condition(invariant.expression, type_name)
    definition = definition_of(type_name)
    names = frozenset(
        f"{prefix}{element.name}"
        for path_name in member_names(invariant.expression)
        for element in definition.named(path_name)
        for prefix in ("", "_")
    )
    nothing: dict[str, Any] = {}
    skips = bool(names) and holds(Environment(nothing, nothing), nothing)
    return _Rule(holds, invariant, names if skips else None)


def _step(element: Element) -> Step:
    if element.type == "Resource":
        return nested_step(element, _check_resource)
    if is_primitive(element.type):
        return primitives_step(element)
    return nested_step(element, _object_check(element))


def _object_check(element: Element) -> ItemCheck:
    """Returns the check of one object of the element's type, and of what the element
    asks beyond it.
    """
    type_name = element.type
    rules = [_rule(invariant, type_name) for invariant in element.invariants]
    extra: list[ItemCheck] = [check_local_reference] if type_name == "Reference" else []
    if element.targets:
        extra.append(target_check(element.targets))
    if element.codes is not None and type_name in ("CodeableConcept", "Coding", "Quantity"):
        extra.append(binding_check(element.codes))
    plan: _Plan | None = None
    # An invariant of the element's own may look at the whole resource.
    known = KnownValues() if type_name in REPEATED_TYPES and not rules else None

    def check(value: Any, at: Path, run: Run) -> None:
        nonlocal plan
        if type(value) is not dict:
            run.note(at, "structure", "expected an object")
            return
        if not value:
            run.note(at, "structure", "an object must not be empty")
            return
        if len(value) == 1 and "id" in value and type_name != "Element":
            run.note(at, "invariant", ELE_1)
        if run.depth >= MAX_DEPTH:
            run.note(at, "too-long", "nested too deep")
            return
        key = b""
        if known is not None and run.depth < MAX_DEPTH_KNOWN:
            key = key_of(value)
            if key in known:
                return
        if plan is None:
            # Not before it is needed: types refer to each other, and to themselves.
            plan = _plan(type_name)
        run.depth += 1
        _check_object(plan, value, at, run)
        run.depth -= 1
        for rule in rules:
            if not rule.holds(run.environment, value):
                run.note(at, "invariant", f"{rule.invariant.key}: {rule.invariant.human}")
        for further in extra:
            further(value, at, run)
        if known is not None and key and not run.faults:
            known.add(key)

    return check


def _check_resource(value: Any, at: Path, run: Run) -> None:
    """Checks a resource inside another: contained, or in a Bundle or in Parameters."""
    if type(value) is not dict:
        run.note(at, "structure", "expected a resource")
        return
    type_name = value.get("resourceType")
    if not isinstance(type_name, str) or type_name not in resource_types():
        run.note((at, "resourceType"), "value", "expected the name of a resource type")
        return
    if run.depth >= MAX_DEPTH:
        run.note(at, "too-long", "nested too deep")
        return
    if len(value) == 1:
        run.note(at, "structure", "an object must not be empty")
        return
    outer = run.environment
    is_contained = at is not None and at[0] is not None and at[0][1] == "contained"
    run.environment = Environment(value, outer.root if is_contained else value, outer.budget)
    run.depth += 1
    _check_object(_plan(type_name), value, at, run)
    run.depth -= 1
    run.environment = outer


__all__ = ["MAX_DEPTH", "MAX_FAULTS", "compile_checks", "find_faults"]
