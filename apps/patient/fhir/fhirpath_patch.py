"""FHIRPath Patch: add, insert, delete, replace and move
(https://hl7.org/fhir/R4/fhirpatch.html). Pure.

Its paths name one element: members, indexes, `first()`, `last()` and `where(name = 'value')`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apps.kit.errors import BadRequest, FieldError, Unprocessable
from apps.patient.codec import Resource
from apps.patient.definitions.model import Element, definition_of

MAX_OPERATIONS = 500
MAX_PATH_CHARS = 500
MAX_PART_DEPTH = 20

_STEP = re.compile(
    r"(?P<name>[A-Za-z][A-Za-z0-9_]*)(?P<call>\((?P<argument>[^()]*)\))?(?:\[(?P<index>[0-9]{1,5})\])?(?:\.|$)"
)
_CONDITION = re.compile(r"\s*([A-Za-z][A-Za-z0-9.]*)\s*=\s*(?:'([^']*)'|(true|false|[0-9.]+))\s*")


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in a resource: `holder[key]`, its type, and the list that it is an
    item of, if any.
    """

    holder: Any
    key: Any
    type: str


class PatchError(Unprocessable):
    def __init__(self, message: str, index: int) -> None:
        pointer = f"/parameter/{index}"
        super().__init__(
            "patch_failed", message, faults=(FieldError("processing", message, pointer),)
        )


def apply_fhirpath_patch(resource: Resource, parameters: Resource) -> Resource:
    """Applies the operations in their order, in place; raises PatchError naming the
    one that fails.
    """
    operations = parameters.get("parameter")
    if not isinstance(operations, list) or not 0 < len(operations) <= MAX_OPERATIONS:
        raise BadRequest("malformed_patch", f"expected 1 to {MAX_OPERATIONS} operations")
    for index, operation in enumerate(operations):
        parts = _parts(operation, index)
        kind = parts.get("type")
        apply = _KINDS.get(str(kind))
        if apply is None:
            raise PatchError("type: expected add, insert, delete, replace or move", index)
        path = parts.get("path")
        if not isinstance(path, str) or not 0 < len(path) <= MAX_PATH_CHARS:
            raise PatchError("path: expected a FHIRPath", index)
        apply(resource, path, parts, index)
    return resource


def _parts(operation: Any, index: int) -> dict[str, Any]:
    if not isinstance(operation, dict) or operation.get("name") != "operation":
        raise PatchError("expected a parameter with the name operation", index)
    parts: dict[str, Any] = {}
    for part in _list(operation.get("part"), index):
        if not isinstance(part, dict) or not isinstance(part.get("name"), str):
            raise PatchError("expected parts with names", index)
        parts[part["name"]] = _value(part, index)
    return parts


def _list(value: Any, index: int) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise PatchError("part: expected a list", index)
    return value


def _value(part: dict[str, Any], index: int, depth: int = 0) -> Any:
    """Returns `value[x]`; an element of no data type of its own comes as parts."""
    if depth > MAX_PART_DEPTH:
        raise PatchError("part: nested too deep", index)
    for name, value in part.items():
        if name.startswith("value"):
            return value
    if "resource" in part:
        return part["resource"]
    made: dict[str, Any] = {}
    for item in _list(part.get("part"), index):
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            made[item["name"]] = _value(item, index, depth + 1)
    return made


def find(resource: Resource, path: str, index: int) -> list[Slot]:
    """Returns the places that a path names."""
    steps = _steps(path, index)
    name, rest = steps[0], steps[1:]
    if name["name"] != resource["resourceType"] or name["call"]:
        rest = steps
    root: dict[str, Any] = {"": resource}
    slots = [Slot(root, "", resource["resourceType"])]
    for step in rest:
        slots = _follow(slots, step, index)
    return slots


def _steps(path: str, index: int) -> list[dict[str, Any]]:
    steps = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise PatchError(f"path: {path[:100]} is not served", index)
        steps.append(match.groupdict())
        position = match.end()
    return steps


def _follow(slots: list[Slot], step: dict[str, Any], index: int) -> list[Slot]:
    name = step["name"]
    if step["call"] is None:
        found = [child for slot in slots for child in _children(slot, name, index)]
    elif name == "where":
        condition = _CONDITION.fullmatch(step["argument"])
        if condition is None:
            raise PatchError("path: expected where(name = 'value')", index)
        found = [slot for slot in slots if _meets(slot, condition)]
    elif name in ("first", "last") and not step["argument"]:
        found = slots[:1] if name == "first" else slots[-1:]
    elif name in ("ofType", "as"):
        found = [slot for slot in slots if slot.type == (step["argument"] or "").strip()]
    else:
        raise PatchError(f"path: {name}() is not served", index)
    if step["index"] is not None:
        position = int(step["index"])
        found = found[position : position + 1]
    return found


def _meets(slot: Slot, condition: re.Match[str]) -> bool:
    values: list[Any] = [slot.holder[slot.key]]
    for name in condition[1].split("."):
        values = [
            item
            for value in values
            if isinstance(value, dict) and name in value
            for item in (value[name] if isinstance(value[name], list) else [value[name]])
        ]
    if condition[2] is not None:
        return condition[2] in values
    wanted = condition[3]
    return any(str(value).lower() == wanted for value in values)


def _element(type_name: str, name: str, index: int) -> tuple[Element, ...]:
    if not type_name[:1].isupper():
        raise PatchError(f"path: {type_name} has no elements", index)
    elements = definition_of(type_name).named(name)
    exact = definition_of(type_name).elements.get(name)
    found = elements or ((exact,) if exact else ())
    if not found:
        raise PatchError(f"path: {type_name} has no element {name}", index)
    return found


def _children(slot: Slot, name: str, index: int) -> list[Slot]:
    holder = slot.holder[slot.key]
    if not isinstance(holder, dict):
        return []
    found: list[Slot] = []
    type_name = holder.get("resourceType", slot.type)
    for element in _element(type_name, name, index):
        value = holder.get(element.name)
        if isinstance(value, list):
            found += [Slot(value, position, element.type) for position in range(len(value))]
        elif value is not None:
            found.append(Slot(holder, element.name, element.type))
    return found


def _one(slots: list[Slot], path: str, index: int) -> Slot:
    if len(slots) != 1:
        raise PatchError(f"path: {path[:100]} names {len(slots)} elements, not one", index)
    return slots[0]


def _add(resource: Resource, path: str, parts: dict[str, Any], index: int) -> None:
    slot = _one(find(resource, path, index), path, index)
    name = parts.get("name")
    holder = slot.holder[slot.key]
    if not isinstance(name, str) or not isinstance(holder, dict):
        raise PatchError("name: expected the name of an element", index)
    elements = _element(holder.get("resourceType", slot.type), name, index)
    element = elements[0]
    if element.is_choice and element.name != name:
        raise PatchError("name: expected the name with its type, like deceasedBoolean", index)
    if element.many:
        holder.setdefault(element.name, []).append(parts.get("value"))
    elif element.name in holder:
        raise PatchError(f"name: {name} is there already", index)
    else:
        holder[element.name] = parts.get("value")


def _list_of(resource: Resource, path: str, index: int) -> tuple[list[Any], list[Slot]]:
    slots = find(resource, path, index)
    if not slots or not isinstance(slots[0].holder, list):
        raise PatchError(f"path: {path[:100]} is no list", index)
    return slots[0].holder, slots


def _position(parts: dict[str, Any], name: str, length: int, index: int) -> int:
    position = parts.get(name)
    if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position <= length:
        raise PatchError(f"{name}: expected a position from 0 to {length}", index)
    return position


def _insert(resource: Resource, path: str, parts: dict[str, Any], index: int) -> None:
    items, _ = _list_of(resource, path, index)
    items.insert(_position(parts, "index", len(items), index), parts.get("value"))


def _delete(resource: Resource, path: str, parts: dict[str, Any], index: int) -> None:
    """Deletes it; what is not there is no fault."""
    slots = find(resource, path, index)
    if not slots:
        return
    slot = _one(slots, path, index)
    if slot.key == "":
        raise PatchError("path: the resource itself cannot be deleted", index)
    del slot.holder[slot.key]
    _drop_empty(resource)


def _drop_empty(value: Any) -> None:
    """Drops empty lists and objects, which FHIR does not have."""
    children = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for key, child in reversed(children):
        if isinstance(child, (dict, list)):
            _drop_empty(child)
            if not child:
                del value[key]


def _replace(resource: Resource, path: str, parts: dict[str, Any], index: int) -> None:
    slot = _one(find(resource, path, index), path, index)
    if slot.key == "":
        raise PatchError("path: the resource itself cannot be replaced", index)
    slot.holder[slot.key] = parts.get("value")


def _move(resource: Resource, path: str, parts: dict[str, Any], index: int) -> None:
    items, _ = _list_of(resource, path, index)
    source = _position(parts, "source", len(items) - 1, index)
    destination = _position(parts, "destination", len(items) - 1, index)
    items.insert(destination, items.pop(source))


_KINDS: dict[str, Callable[[Resource, str, dict[str, Any], int], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}
