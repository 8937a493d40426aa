"""Members of an item, `name.given`: where they stand in JSON, and of which types they are."""

from typing import Any

from apps.patient.definitions.fhirpath.environment import (
    FREE_ITEMS,
    Branch,
    Branches,
    Environment,
    Function,
)
from apps.patient.definitions.fhirpath.values import EMPTY, Items
from apps.patient.definitions.model import definition_of, is_primitive


def identity(environment: Environment, focus: Items) -> Items:
    return focus


def constant(items: Items, type_name: str) -> Branches:
    return (Branch(lambda environment, focus: items, type_name),)


def member(target: Branches, path_name: str) -> Branches:
    """Returns a branch for each type that the member may have; an empty one where there is none."""
    found: list[Branch] = []
    for branch in target:
        if not branch.type or branch.type == "Resource":
            found.append(Branch(_getter(branch.evaluate, path_name), ""))
            continue
        if is_primitive(branch.type):
            if path_name in ("id", "extension"):
                kind = "string" if path_name == "id" else "Extension"
                found.append(Branch(_getter(branch.evaluate, path_name), kind))
            continue
        found += [
            Branch(
                _getter(branch.evaluate, element.name),
                element.type,
                element,
                branch.root or element.name,
                element.name if branch.evaluate is identity else "",
            )
            for element in definition_of(branch.type).named(path_name)
        ]
    return tuple(found) or constant(EMPTY, "")


def _getter(target: Function, name: str) -> Function:
    sibling = f"_{name}"

    def evaluate(environment: Environment, focus: Items) -> Items:
        found: Items = []
        for item in focus if target is identity else target(environment, focus):
            if not isinstance(item, dict):
                continue
            value = item.get(name)
            if isinstance(value, list):
                found += _with_extensions(value, item.get(sibling))
            elif value is not None:
                found.append(value)
            elif sibling in item:
                # A primitive without a value, or with none in its list, has its extensions only.
                only = item[sibling]
                found += only if isinstance(only, list) else [only]
        if len(found) > FREE_ITEMS and environment.budget is not None:
            environment.budget.spend(len(found))
        return found

    return evaluate


def _with_extensions(values: list[Any], siblings: Any) -> list[Any]:
    if not isinstance(siblings, list):
        return values
    return [
        siblings[index] if value is None and index < len(siblings) else value
        for index, value in enumerate(values)
    ]


def is_a(type_name: str, wanted: str) -> bool:
    """Tells whether an item of the type, \"\" for an unknown one, may be of the wanted one."""
    if not type_name or type_name == wanted:
        return True
    return not is_primitive(type_name) and wanted in definition_of(type_name).bases
