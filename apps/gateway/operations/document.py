"""The OpenAPI 3.1 document but for FHIR: billing from its contract, all else from the table."""

import re
from typing import Any

from apps.gateway.billing_openapi import describe_billing
from apps.gateway.operations import administration, analytics, identity, outbox, patients
from apps.gateway.operations.components import (
    HEADERS,
    PARAMETERS,
    REFUSALS,
    SECURITY_SCHEMES,
    responses,
)
from apps.gateway.operations.model import (
    Answer,
    Content,
    PublicOperation,
    Schema,
    done,
)
from apps.gateway.operations.schemas import SCHEMAS
from apps.kit.web import PUBLIC

TITLE = "Patient management"
DESCRIPTION = (
    "Patients and their medical history as FHIR R4, their billing accounts, and figures about them,"
    " behind one gateway.\n\n"
    "Get a token from /oauth2/token and send it as a bearer. Scopes are SMART v2: user/Patient.rs,"
    " system/*.cruds, and so on. Every answer carries X-Request-Id; name it when you ask for help."
    " Errors are problem details (RFC 9457), under /fhir/R4 an OperationOutcome. RateLimit headers"
    " tell what may follow."
)
TAGS = {
    "Patients": "The simple resource: a view over the same record as FHIR's Patient.",
    "FHIR R4": "The record. Every type has the same interactions; its search parameters are "
    "listed.",
    "Billing": "Accounts, charges, invoices, payments."
    " Money is minor units and an ISO 4217 currency; 64-bit numbers are strings.",
    "Analytics": "Figures; small groups are not shown.",
    "Identity": "OAuth 2.0, OpenID Connect and SMART App Launch.",
    "Administration": "Users and clients.",
    "Account": "The account of the person behind the token.",
    "Documents": "This, for machines and for people.",
}
DOCUMENTS = tuple(
    PublicOperation(
        method="GET",
        path=path,
        policy=PUBLIC,
        id=id,
        tag="Documents",
        summary=summary,
        answers=answers,
    )
    for path, id, summary, answers in (
        ("/openapi.json", "openapi", "This document", done("OpenAPI 3.1", {"type": "object"})),
        (
            "/docs",
            "docs",
            "This document for people",
            {
                "200": Answer(
                    text="A page", content=Content(schemas={"text/html": {"type": "string"}})
                )
            },
        ),
    )
)
OPERATIONS = (
    *patients.OPERATIONS,
    *outbox.OPERATIONS,
    *analytics.OPERATIONS,
    *identity.OPERATIONS,
    *identity.FOR_BROWSERS,
    *identity.PASSWORD_LOGIN,
    *administration.OPERATIONS,
    *DOCUMENTS,
)


def make_document() -> dict[str, Any]:
    """Returns all but the part that the patient service generates, which is added as it is read."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        described = describe(operation)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    billing_paths, billing_schemas = describe_billing()
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1", "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": {**paths, **billing_paths},
        "components": {
            "securitySchemes": SECURITY_SCHEMES,
            "schemas": {**SCHEMAS, **billing_schemas},
            "parameters": dict(PARAMETERS),
            "headers": HEADERS,
            "responses": responses(),
        },
    }


def describe(operation: PublicOperation) -> dict[str, Any]:
    """Returns one operation of the document."""
    described: dict[str, Any] = {
        "tags": [operation.tag],
        "operationId": operation.id,
        "summary": operation.summary,
        "security": _security(operation),
        "responses": {
            **{status: _answer(answer) for status, answer in operation.answers.items()},
            **{status: _refusal(status) for status in _refusals(operation)},
        },
    }
    if operation.description:
        described["description"] = operation.description
    parameters = _parameters(operation)
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        content = _content(operation.body)
        described["requestBody"] = {"required": operation.body.required, "content": content}
    return described


def _security(operation: PublicOperation) -> list[Schema]:
    """Returns the alternatives; a SMART scope is there for each of its levels."""
    name = operation.policy.name
    if operation.policy.check is None:
        return []
    if name == "authenticated":
        return [{"oauth2": []}]
    if "." in name and name[0].isupper():
        return [{"oauth2": [f"{level}/{name}"]} for level in operation.levels]
    return [{"oauth2": [scope]} for scope in name.split(" or ")]


def _parameters(operation: PublicOperation) -> list[Schema]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    return in_path + [
        {"$ref": f"#/components/parameters/{parameter}"}
        if isinstance(parameter, str)
        else parameter
        for parameter in operation.parameters
    ]


def _refusals(operation: PublicOperation) -> list[str]:
    found = {"429", "503", *operation.refusals}
    if operation.policy.check is not None:
        found |= {"401", "403"}
    if operation.parameters or operation.body is not None:
        found.add("400")
    if operation.body is not None:
        found.add("413")
    if "{" in operation.path:
        found.add("404")
    if "ifMatch" in operation.parameters:
        found.add("412")
    return sorted(found - operation.answers.keys())


def _refusal(status: str) -> Schema:
    return {"$ref": f"#/components/responses/{REFUSALS[status][0]}"}


def _answer(answer: Answer) -> Schema:
    described: Schema = {"description": answer.text}
    if answer.headers:
        described["headers"] = {
            name: {"$ref": f"#/components/headers/{name}"} for name in answer.headers
        }
    if answer.content is not None:
        described["content"] = _content(answer.content)
    return described


def _content(content: Content) -> Schema:
    described: Schema = {
        media_type: {"schema": schema} for media_type, schema in content.schemas.items()
    }
    if content.example is not None:
        next(iter(described.values()))["example"] = content.example
    return described
