"""What an operation is: its route, who may call it, and what the OpenAPI document says of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.kit.web import Policy

Schema = dict[str, Any]
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A body: its media types, each with a schema, and an example of the first."""

    schemas: Mapping[str, Schema]
    example: Any = None
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A success, or an error with a body of its own. `headers` name those of the components."""

    text: str
    content: Content | None = None
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicOperation:
    """One method of a public path.

    `parameters` are names of the components' parameters, or whole ones; those of the path follow
    from it. `refusals` are statuses beyond those that follow from the policy, the path and the
    body. `levels` are those of a SMART scope: `user`, `system` or `patient`.
    """

    method: str
    path: str
    policy: Policy
    id: str
    tag: str
    summary: str
    answers: Mapping[str, Answer]
    description: str = ""
    parameters: tuple[str | Schema, ...] = ()
    body: Content | None = None
    refusals: tuple[str, ...] = ()
    levels: tuple[str, ...] = field(default=("user", "system"))


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def text(**more: Any) -> Schema:
    return {"type": "string", **more}


def array(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def record(properties: Mapping[str, Schema], *optional: str) -> Schema:
    """Returns the schema of an object whose properties are all there but the optional ones."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        **({"required": required} if required else {}),
        "properties": dict(properties),
    }


def query(name: str, description: str, schema: Schema, *, required: bool = False) -> Schema:
    parameter = {"name": name, "in": "query", "description": description, "schema": schema}
    return {**parameter, "required": True} if required else parameter


def json(schema: Schema, example: Any = None, *, required: bool = True) -> Content:
    return Content(schemas={JSON: schema}, example=example, required=required)


def form(schema: Schema, example: Any = None) -> Content:
    return Content(schemas={FORM: schema}, example=example)


def done(text: str, schema: Schema, example: Any = None, *headers: str) -> Mapping[str, Answer]:
    """Returns the answer 200 with a JSON body."""
    return {"200": Answer(text=text, content=json(schema, example), headers=headers)}


def made(text: str, schema: Schema, example: Any = None, *headers: str) -> Mapping[str, Answer]:
    """Returns the answer 201 with a JSON body."""
    return {"201": Answer(text=text, content=json(schema, example), headers=headers)}


def gone(text: str) -> Mapping[str, Answer]:
    """Returns the answer 204."""
    return {"204": Answer(text=text)}


def table_of(operations: Iterable[PublicOperation]) -> Mapping[str, Mapping[str, Policy]]:
    """Returns the policy of each method of each path."""
    table: dict[str, dict[str, Policy]] = {}
    for operation in operations:
        table.setdefault(operation.path, {})[operation.method] = operation.policy
    return table
