"""JSON schemas of FHIR types, from the definitions. Each is called `fhir.<type>` among
the components.
"""

from typing import Any

from apps.patient.definitions.model import (
    ANY_RESOURCE,
    Element,
    definition_of,
    is_primitive,
    primitive_patterns,
    resource_types,
    served_types,
)

Schema = dict[str, Any]
_EXTENSIONS = "PrimitiveExtensions"

_JSON_TYPES = {
    "boolean": "boolean",
    "decimal": "number",
    "integer": "integer",
    "positiveInt": "integer",
    "unsignedInt": "integer",
}
_MINIMA = {"positiveInt": 1, "unsignedInt": 0}
# Their patterns are no help to a reader, or take a validator too long.
_FREE_TEXT = frozenset(("string", "markdown", "base64Binary", "xhtml"))


def reference_to(type_name: str) -> Schema:
    return {"$ref": f"#/components/schemas/fhir.{type_name}"}


def schemas() -> dict[str, Schema]:
    """Returns the schema of every type that a served resource can hold."""
    found: dict[str, Schema] = {
        f"fhir.{ANY_RESOURCE}": _any_resource(),
        f"fhir.{_EXTENSIONS}": {
            "description": "The id and extensions of a primitive, or of each in a list.",
            "anyOf": [
                reference_to("Element"),
                {"type": "array", "items": {"anyOf": [reference_to("Element"), {"type": "null"}]}},
            ],
        },
    }
    waiting = ["Element", *served_types(), "Bundle", "OperationOutcome", "Parameters"]
    while waiting:
        name = waiting.pop()
        if f"fhir.{name}" in found:
            continue
        if is_primitive(name):
            found[f"fhir.{name}"] = _primitive(name)
            continue
        found[f"fhir.{name}"] = _object(name)
        waiting += [element.type for element in definition_of(name).elements.values()]
    return dict(sorted(found.items()))


def _any_resource() -> Schema:
    return {
        "type": "object",
        "description": "A resource of any type.",
        "required": ["resourceType"],
        "properties": {"resourceType": {"enum": sorted(resource_types())}},
    }


def _primitive(name: str) -> Schema:
    if name in _JSON_TYPES:
        minimum = {"minimum": _MINIMA[name]} if name in _MINIMA else {}
        return {"type": _JSON_TYPES[name], **minimum}
    pattern = "" if name in _FREE_TEXT else primitive_patterns()[name]
    return {"type": "string", **({"pattern": f"^(?:{pattern})$"} if pattern else {})}


def _object(name: str) -> Schema:
    definition = definition_of(name)
    properties: Schema = {}
    if definition.is_resource:
        properties["resourceType"] = {"const": name}
    properties |= {element.name: _property(element) for element in definition.elements.values()}
    # One of a choice is required where the choice is; which one, a schema can say less plainly.
    required = [names[0] for names in definition.required if len(names) == 1]
    if definition.is_resource:
        required.insert(0, "resourceType")
    return {
        "type": "object",
        **({"required": required} if required else {}),
        "properties": properties,
        # `_birthDate` and its like hold the extensions of primitives.
        "patternProperties": {"^_[a-z]": reference_to(_EXTENSIONS)},
        "additionalProperties": False,
    }


def _property(element: Element) -> Schema:
    schema: Schema = reference_to(element.type)
    if element.type == "code" and element.codes is not None:
        schema = {"enum": sorted(element.codes)}
    elif element.targets:
        schema = {**schema, "description": f"To {', '.join(sorted(element.targets))}."}
    if not element.many:
        return schema
    if is_primitive(element.type):
        # A null holds the place of a primitive that has only extensions.
        schema = {"anyOf": [schema, {"type": "null"}]}
    return {"type": "array", "minItems": 1, "items": schema}
