import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from apps.analytics.reports.parameters import INTERVALS, MAX_TOP
from apps.auth.oauth.client_changes import MAX_OVERLAP_SECONDS
from apps.auth.oauth.registration import AUTH_METHODS, FIELDS, GRANT_TYPES
from apps.gateway.app import create_app
from apps.gateway.billing_openapi import describe_billing
from apps.gateway.middleware import HEALTH_PATHS
from apps.gateway.operations.document import make_document
from apps.gateway.operations.schemas import SCHEMAS
from apps.gateway.pages import DOCUMENT as DOCUMENT_FILE
from apps.gateway.pages import read_document
from apps.gateway.routes import PAGES
from apps.kit.openapi import render
from apps.kit.web import every_route
from tests.gateway.running import PUBLIC_URL, Gateway, make_settings

DOCUMENT = read_document(make_settings())
# Pages that lead from one to the next; clients send people to the two that are documented.
UNDOCUMENTED = (PAGES.keys() - {"/oauth2/authorize", "/oauth2/logout"}) | {
    "/{path}",
    "/fhir/R4/{path}",
    "/docs/{name}",
}
METHODS = {"get", "post", "put", "patch", "delete"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def is_forwarded_by_wildcard(path: str) -> bool:
    """Tells whether the service alone knows the operations of a path."""
    return path.startswith("/fhir/R4/") and path not in (
        "/fhir/R4/metadata",
        "/fhir/R4/.well-known/smart-configuration",
    )


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


@pytest.mark.parametrize("password_login", [True, False])
def test_document_and_routes_name_the_same_operations(password_login: bool) -> None:
    settings = make_settings(password_login_enabled=password_login)
    served = {
        (route.path_format, method)
        for route in every_route(create_app(settings))
        if route.path_format not in HEALTH_PATHS | UNDOCUMENTED
        for method in route.operations
    }
    documented = {
        (path, method.upper())
        for path, item in read_document(settings)["paths"].items()
        if not is_forwarded_by_wildcard(path)
        for method in item
    }
    assert documented == served
    assert (("/auth/login", "POST") in served) == password_login


def test_document_says_which_operations_need_a_token() -> None:
    policies = {
        (route.path_format, method): operation.policy
        for route in every_route(create_app(make_settings()))
        for method, operation in route.operations.items()
    }
    for path, method, operation in operations():
        if is_forwarded_by_wildcard(path):
            continue
        assert bool(operation["security"]) == (policies[path, method].check is not None), (
            f"{method} {path}"
        )
        if operation["security"]:
            assert {"401", "403"} & operation["responses"].keys() == {"401", "403"}
        for alternative in operation["security"]:
            # A scope as the policy knows it: its name ends the documented one's.
            for scope in alternative["oauth2"] if path != "/fhir/R4" else ():
                assert scope.rpartition("/")[2] in policies[path, method].name.split(" or ")


def test_no_schema_of_billing_takes_the_name_of_another() -> None:
    _, billing_schemas = describe_billing()
    assert not SCHEMAS.keys() & billing_schemas.keys()


def test_document_is_sound() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found
    for path, method, operation in operations():
        assert operation["responses"], f"{method} {path}"
        assert set(operation["tags"]) <= tags
        declared = {
            parameter["name"]
            for reference in operation.get("parameters", ())
            for parameter in [
                DOCUMENT["components"]["parameters"][reference["$ref"].rpartition("/")[2]]
                if "$ref" in reference
                else reference
            ]
            if parameter["in"] == "path"
        }
        assert declared == set(re.findall(r"{(\w+)}", path)), f"{method} {path}"
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert set(DOCUMENT["paths"]["/api/patients"]) <= METHODS


async def test_document_and_page_are_public_and_name_this_place(gateway: Gateway) -> None:
    async with gateway.call("GET", "/openapi.json") as answer:
        assert answer.status == 200
        document = msgspec.json.decode(await answer.read())
        assert document["openapi"].startswith("3.1")
        assert document["servers"] == [{"url": PUBLIC_URL}]
        flows = document["components"]["securitySchemes"]["oauth2"]["flows"]
        assert flows["clientCredentials"]["tokenUrl"] == PUBLIC_URL + "/oauth2/token"


async def test_page_leads_to_every_part_of_the_document(gateway: Gateway) -> None:
    async with gateway.call("GET", "/docs") as answer:
        page = await answer.text()
        assert answer.content_type == "text/html"
    parts = set(re.findall('data-part="([^"]+)"', page))
    for path, _, operation in operations():
        match = re.match("/fhir/R4/([A-Z][A-Za-z]+)", path)
        assert (match[1] if match else operation["tags"][0]) in parts, path


async def test_page_needs_nothing_from_elsewhere_and_runs_nothing_inline(gateway: Gateway) -> None:
    async with gateway.call("GET", "/docs") as answer:
        page = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    for forbidden in (
        "<style",
        "http-equiv",
        "onload",
        "style=",
        "<script>",
        "http://",
        "https://",
    ):
        assert forbidden not in page
    for name in re.findall('(?:src|href)="(/docs/[^"?]+)"', page):
        async with gateway.call("GET", name) as answer:
            assert answer.status == 200, name
            assert answer.content_type == (
                "text/css" if name.endswith("css") else "text/javascript"
            )
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["docs.html", "..%2fpages.py", "swagger-ui.LICENSE", "%00"])
async def test_other_files_are_not_served(gateway: Gateway, name: str) -> None:
    async with gateway.call("GET", f"/docs/{name}") as answer:
        assert answer.status in (400, 404)


def test_committed_document_is_what_is_generated() -> None:
    assert DOCUMENT_FILE.read_text() == render(make_document())


def test_parameters_say_what_the_services_take() -> None:
    parameters = DOCUMENT["components"]["parameters"]
    assert parameters["interval"]["schema"]["enum"] == list(INTERVALS)
    assert parameters["top"]["schema"]["maximum"] == MAX_TOP
    schemas = DOCUMENT["components"]["schemas"]
    assert set(schemas["NewClient"]["properties"]) == set(FIELDS)
    assert schemas["NewClient"]["properties"]["authMethod"]["enum"] == list(AUTH_METHODS)
    assert schemas["TokenRequest"]["properties"]["grant_type"]["enum"] == sorted(
        GRANT_TYPES, key=schemas["TokenRequest"]["properties"]["grant_type"]["enum"].index
    )
    rotation = schemas["SecretRotation"]["properties"]["overlapSeconds"]
    assert rotation["maximum"] == MAX_OVERLAP_SECONDS
