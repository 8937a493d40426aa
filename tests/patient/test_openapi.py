"""The FHIR part of the OpenAPI document: whole, sound, and what the routes and definitions say."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from apps.kit.openapi import render
from apps.kit.web import PUBLIC, Operation, PolicedRoute
from apps.patient.codec import FHIR_MEDIA_TYPE, decode, encode
from apps.patient.definitions.model import search_parameters, served_types
from apps.patient.definitions.validation import find_faults
from apps.patient.fhir.audit_search import SERVED
from apps.patient.fhir.requests import READ_ONLY_TYPES
from apps.patient.openapi.document import DOCUMENT, make_document
from apps.patient.openapi.examples import example_of
from apps.patient.openapi.operations import paths
from apps.patient.search.criteria.query import special_parameters
from tests.patient.definitions.test_rules_of_r4 import ACCEPTED, REFUSED, Resource

MADE = make_document()
# Of the whole document; the gateway's part has them.
FOREIGN = re.compile("#/components/(responses|headers)/")


def values(content: Any, name: str) -> Iterator[Any]:
    if isinstance(content, dict):
        for key, child in content.items():
            if key == name and isinstance(child, str):
                yield child
            yield from values(child, name)
    elif isinstance(content, list):
        for child in content:
            yield from values(child, name)


def validator(type_name: str) -> Draft202012Validator:
    schema = {
        "$ref": f"#/components/schemas/fhir.{type_name}",
        "components": {"schemas": MADE["components"]["schemas"]},
    }
    return Draft202012Validator(schema)


def test_committed_document_is_what_is_generated() -> None:
    assert DOCUMENT.read_text() == render(MADE)
    assert json.loads(DOCUMENT.read_text()) == MADE


def test_every_reference_leads_to_something() -> None:
    for reference in set(values(MADE, "$ref")):
        if not FOREIGN.match(reference):
            _, _, part, name = reference.split("/")
            assert name in MADE["components"][part], reference


def test_operations_have_names_of_their_own() -> None:
    names = list(values(MADE["paths"], "operationId"))
    assert len(names) == len(set(names))


def test_every_search_parameter_of_every_type_is_listed() -> None:
    for name in served_types():
        listed = {
            parameter["name"]
            for parameter in MADE["paths"][f"/fhir/R4/{name}"]["get"]["parameters"]
            if "name" in parameter
        }
        served = {*search_parameters(name), *special_parameters(name)}
        assert listed == (set(SERVED) if name in READ_ONLY_TYPES else served)


def test_types_to_read_only_are_not_written() -> None:
    for name in READ_ONLY_TYPES:
        assert set(MADE["paths"][f"/fhir/R4/{name}"]) == {"get"}
        assert set(MADE["paths"][f"/fhir/R4/{name}/{{id}}"]) == {"get"}


def test_route_that_is_not_described_fails_the_generation() -> None:
    async def answer(request: Any) -> Any: ...

    with pytest.raises(LookupError):
        paths([PolicedRoute("/fhir/R4/new", Operation("GET", answer, PUBLIC))])


@pytest.mark.parametrize("name", served_types())
def test_example_of_every_type_is_valid(name: str) -> None:
    example = example_of(name)
    assert not find_faults(decode(encode(example)), name)
    assert list(validator(name).iter_errors(example)) == []


def test_every_body_has_an_example() -> None:
    bodies = [
        content
        for item in MADE["paths"].values()
        for operation in item.values()
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
        if media_type == FHIR_MEDIA_TYPE and "patch" not in operation["operationId"]
    ]
    assert len(bodies) > 60
    assert all("examples" in content for content in bodies)


def test_schemas_are_sound() -> None:
    for schema in MADE["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("resource", ACCEPTED)
def test_schema_accepts_what_validation_accepts(resource: Resource) -> None:
    assert list(validator(resource["resourceType"]).iter_errors(resource)) == []


@pytest.mark.parametrize(
    "resource",
    [
        resource
        for resource, pointer, words in REFUSED
        if words in ("no such element", "no such", "required", "whole")
        and "contained" not in resource
    ],
)
def test_schema_refuses_wrong_elements_and_types(resource: Resource) -> None:
    assert list(validator(resource["resourceType"]).iter_errors(resource))
