"""The OpenAPI description of `/billing/v1/*`, made from the table of calls and the
contract's messages.
"""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from apps.gateway.billing_call import APPROVE, BASE, READ_OWN, Call, Query
from apps.gateway.billing_calls import CALLS
from protos.billing.v1 import billing_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

Schema = dict[str, Any]

# What the gateway fills in: no caller writes it into a body.
_NOT_IN_BODIES = frozenset(("request_id", "expected_version"))
_SCALARS: dict[int, Schema] = {
    # Answers have strings, which keep all digits in any client; a body may have a number too
    # (protobuf's JSON).
    3: {"type": ["string", "integer"], "format": "int64"},
    5: {"type": "integer", "format": "int32"},
    8: {"type": "boolean"},
    9: {"type": "string"},
    12: {"type": "string", "format": "byte"},
}
_MESSAGE, _ENUM = 11, 14
_REFUSALS = {
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "NotFound",
    "422": "Unprocessable",
    "429": "TooManyRequests",
    "503": "Unavailable",
}
_CHANGE_REFUSALS = {"400": "BadRequest", "409": "Conflict", "412": "PreconditionFailed"}
DESCRIPTIONS = {
    "GetAccountByPatient": "A patient has one account. It follows the registration, within a "
    "second as a rule.",
    "CreateInvoice": "Without chargeItemIds it takes all that can be billed. A draft is computed "
    "anew whenever it is"
    " read: prices are fixed, coverages and voided charges are not.",
    "IssueInvoice": "The patient's and each payer's share is an invoice of its own; payerInvoices "
    "has the others.",
    "RecordPayment": "What neither allocations nor open invoices take is credit, which ApplyCredit "
    "uses later.",
    "SetPrices": "Also as text/csv with the columns system, code, description, unit_price, "
    "currency, tax_category,"
    " revenue_group, valid_from, valid_to.",
}


def describe_billing() -> tuple[dict[str, Any], dict[str, Schema]]:
    """Gives the paths, and the schemas of the messages that they name."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Schema] = {}
    names: set[str] = set()
    for call in CALLS:
        operation = _operation(call, names)
        paths.setdefault(BASE + call.path, {})[call.method.lower()] = operation
        request: Any = call.request.DESCRIPTOR
        if call.method != "GET":
            schemas[request.name] = _nullable(
                _schema(request, set(_path_fields(call)) | _NOT_IN_BODIES)
            )
            for field in request.fields:
                _add_schemas(field.message_type, schemas, form=_nullable)
    # What a body may be made of is there by now: the same schemas describe the answers.
    for call in CALLS:
        if call.answer == "json":
            _add_schemas(pb.DESCRIPTOR.message_types_by_name[call.response], schemas)
    return paths, schemas


def _operation(call: Call, names: set[str]) -> dict[str, Any]:
    name = call.rpc[:1].lower() + call.rpc[1:]
    if name in names:
        # One method of the contract behind two paths.
        name += "Of" + "".join(part.capitalize() for part in re.findall(r"[a-z]+", call.path)[:1])
    while name in names:
        name += "2"
    names.add(name)
    parameters: list[Schema] = [
        {"name": field, "in": "path", "required": True, "schema": {"type": "string"}}
        for field in _path_fields(call)
    ]
    parameters += [_query(query) for query in call.query]
    operation: dict[str, Any] = {
        "tags": ["Billing"],
        "operationId": name,
        "summary": call.summary,
        "description": DESCRIPTIONS.get(call.rpc, ""),
        "security": [{"oauth2": [scope]} for scope in _scopes(call)],
        "parameters": parameters,
        "responses": _responses(call),
    }
    if call.method != "GET":
        operation["parameters"] += [
            {"$ref": "#/components/parameters/idempotencyKey"},
            {"$ref": "#/components/parameters/ifMatch"},
        ]
        content: dict[str, Any] = {
            "application/json": {
                "schema": _reference(call.request.DESCRIPTOR.name),
                "example": call.example or {},
            }
        }
        if call.text_body[0]:
            content[call.text_body[0]] = {"schema": {"type": "string"}}
        # Without one it is as an empty object; the service says which fields it needs.
        operation["requestBody"] = {"required": False, "content": content}
    return operation


def _scopes(call: Call) -> list[str]:
    if call.policy is READ_OWN:
        return ["billing.read", "patient/*.rs"]
    if call.policy is APPROVE:
        return ["billing.approve"]
    return [call.policy.name]


def _responses(call: Call) -> dict[str, Any]:
    kinds = {
        "json": {"application/json": {"schema": _reference(call.response)}},
        "document": {
            media_type: {"schema": {"type": "string"}}
            for media_type in ("text/html", "application/pdf", "application/xml")
        },
        "text": {
            media_type: {"schema": {"type": "string"}} for media_type in ("text/csv", "text/plain")
        },
    }
    done: dict[str, Any] = {"description": "Done", "content": kinds[call.answer]}
    headers: dict[str, Any] = {}
    if call.location:
        headers["Location"] = {"$ref": "#/components/headers/Location"}
    if "version" in pb.DESCRIPTOR.message_types_by_name[call.response].fields_by_name:
        headers["ETag"] = {"$ref": "#/components/headers/ETag"}
    if headers:
        done["headers"] = headers
    refusals = _REFUSALS | (_CHANGE_REFUSALS if call.method != "GET" else {"400": "BadRequest"})
    return {
        "201" if call.location else "200": done,
        **{
            status: {"$ref": f"#/components/responses/{name}"}
            for status, name in sorted(refusals.items())
        },
    }


def _query(query: Query) -> Schema:
    schema: Schema = {"type": "string"}
    if query.name == "pageSize":
        # 0 is the contract's word for the default.
        schema = {"type": "integer", "minimum": 0, "maximum": 100, "default": 20}
    elif query.values:
        schema = {"type": "string", "enum": list(query.values)}
    elif query.is_date:
        schema = {"type": "string", "format": "date"}
    parameter: Schema = {"name": query.name, "in": "query", "schema": schema}
    return {**parameter, "required": True} if query.required else parameter


def _path_fields(call: Call) -> Iterator[str]:
    yield from re.findall(r"{(\w+)}", call.path)


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _add_schemas(
    message: "Descriptor | None",
    schemas: dict[str, Schema],
    form: Callable[[Schema], Schema] = lambda schema: schema,
) -> None:
    """Adds a message of the contract, and those that it is made of, each as `form` makes it."""
    if message is None or message.file is not pb.DESCRIPTOR or message.name in schemas:
        return
    schemas[message.name] = form(_schema(message, set()))
    for field in message.fields:
        _add_schemas(field.message_type, schemas, form)


def _schema(message: "Descriptor", left_out: set[str]) -> Schema:
    return {
        "type": "object",
        "properties": {
            field.json_name: _field(field) for field in message.fields if field.name not in left_out
        },
    }


def _nullable(schema: Schema) -> Schema:
    """Returns the schema with null for what is not given, which ProtoJSON takes."""
    properties = {
        name: {"anyOf": [one, {"type": "null"}]} for name, one in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def _field(field: "FieldDescriptor") -> Schema:
    schema = _single(field)
    return {"type": "array", "items": schema} if field.is_repeated else schema


def _single(field: "FieldDescriptor") -> Schema:
    if field.type == _ENUM:
        return {
            "type": "string",
            "enum": [
                name for name in field.enum_type.values_by_name if not name.endswith("_UNSPECIFIED")
            ],
        }
    if field.type == _MESSAGE:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return {"type": "string", "format": "date-time"}
        return _reference(field.message_type.name)
    return _SCALARS[field.type]
