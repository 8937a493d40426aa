"""Request bodies of FHIR whose schemas end: types hold types that hold types, and making one from
the whole definition takes minutes.
"""

from typing import Any

PREFIX = "#/components/schemas/fhir."
# Deeper, only what is required and what holds no more types.
MAX_DEPTH = 2
MAX_ITEMS = 2
# Any type may hold these, and they any type.
ENDLESS = ("contained", "extension", "modifierExtension")

Schema = dict[str, Any]


def with_bounded_bodies(document: Schema) -> Schema:
    """Returns the document with each request body of a FHIR type written out, to a bounded depth.

    Nothing is taken from a type itself but what is endless, and of a create the id, which the
    server gives: Schemathesis would look for the resource by it.
    """
    schemas = document["components"]["schemas"]
    paths = {
        path: {
            method: _bounded_operation(method, operation, schemas)
            for method, operation in item.items()
        }
        for path, item in document["paths"].items()
    }
    return {**document, "paths": paths}


def _bounded_operation(method: str, operation: Schema, schemas: Schema) -> Schema:
    content = operation.get("requestBody", {}).get("content", {})
    if not any(_is_fhir(media.get("schema", {})) for media in content.values()):
        return operation
    bounded = {
        name: {**media, "schema": _bounded(media["schema"], schemas, 0)}
        for name, media in content.items()
    }
    for media in bounded.values() if method == "post" else ():
        media["schema"]["properties"].pop("id", None)
    return {**operation, "requestBody": {**operation["requestBody"], "content": bounded}}


def _is_fhir(schema: Schema) -> bool:
    return str(schema.get("$ref", "")).startswith(PREFIX)


def _bounded(schema: Schema, schemas: Schema, depth: int) -> Schema:
    if "$ref" in schema:
        return _bounded(_target(schema, schemas), schemas, depth)
    if "anyOf" in schema:
        return {"anyOf": [_bounded(item, schemas, depth) for item in schema["anyOf"]]}
    if schema.get("type") == "array":
        items = _bounded(schema["items"], schemas, depth)
        return {**schema, "items": items, "maxItems": MAX_ITEMS}
    if schema.get("type") != "object" or "properties" not in schema:
        return schema
    required = schema.get("required", ())
    properties = {
        name: _bounded(found, schemas, depth + 1)
        for name, found in schema["properties"].items()
        if name in required
        or (name not in ENDLESS and (depth < MAX_DEPTH or not _holds_more(found, schemas)))
    }
    whole = {name: value for name, value in schema.items() if name != "patternProperties"}
    return {**whole, "properties": properties}


def _target(schema: Schema, schemas: Schema) -> Schema:
    found: Schema = schemas[schema["$ref"].rpartition("/")[2]]
    return found


def _holds_more(schema: Schema, schemas: Schema) -> bool:
    inner = schema.get("items", schema)
    return "$ref" in inner and "properties" in _target(inner, schemas)
