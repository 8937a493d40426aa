"""The table of the gateway against what the services offer."""

import importlib
import inspect
import re

import pytest
from starlette.routing import Match

from apps.catalogue import SERVICES
from apps.gateway.app import create_app
from apps.gateway.billing_call import BASE
from apps.gateway.billing_calls import CALLS
from apps.gateway.pages import read_document
from apps.gateway.routes import ANALYTICS_PATHS as ANALYTICS
from apps.gateway.routes import AUTH, FHIR, FHIR_ROOT, OUTBOX, PAGES, PASSWORD_LOGIN, PATIENTS
from apps.kit.web import PolicedRoute, every_route
from tests.gateway.running import make_settings
from tests.test_architecture import local_environment, settings_of

HEALTH = {"/livez", "/readyz"}
# For services among themselves.
INTERNAL = {"/oauth2/revocations", "/oauth2/origins"}
TABLES = {
    "patient": (PATIENTS, OUTBOX, FHIR, FHIR_ROOT),
    "auth": (AUTH, PAGES, PASSWORD_LOGIN),
    "analytics": (ANALYTICS,),
}


def routes_of(name: str) -> list[PolicedRoute]:
    entry = SERVICES[name]
    make = importlib.import_module(f"apps.{name}.app").create_app
    fakes = {
        parameter.name: object()
        for parameter in inspect.signature(make).parameters.values()
        if parameter.default is parameter.empty and parameter.name != "settings"
    }
    return every_route(make(settings_of(entry, local_environment(entry)), **fakes))


def offered_by(name: str) -> dict[tuple[str, str], str]:
    """(path, method) -> the policy's name."""
    return operations_of(routes_of(name))


def operations_of(routes: list[PolicedRoute]) -> dict[tuple[str, str], str]:
    return {
        (route.path_format, method): operation.policy.name
        for route in routes
        if route.path_format not in HEALTH
        for method, operation in route.operations.items()
    }


@pytest.mark.parametrize("name", ["auth", "analytics"])
def test_gateway_forwards_what_the_service_offers_and_no_more(name: str) -> None:
    gateway = operations_of(every_route(create_app(make_settings())))
    paths = {path for table in TABLES[name] for path in table}
    forwarded = {
        operation: policy for operation, policy in gateway.items() if operation[0] in paths
    }
    offered = {
        operation: policy
        for operation, policy in offered_by(name).items()
        if operation[0] not in INTERNAL
    }
    assert forwarded.keys() == offered.keys()
    for operation, policy in forwarded.items():
        # The service may ask for more than the scope.
        assert offered[operation].startswith(policy), f"{operation}: the gateway asks for more"


def test_gateway_forwards_every_operation_of_the_patient_service() -> None:
    routes = every_route(create_app(make_settings()))
    own = {path for table in TABLES["patient"] for path in table}
    for path, method in offered_by("patient"):
        example = re.sub(r"\{[a-z]+\}", "Patient", path)
        scope = {"type": "http", "path": example, "method": method, "headers": []}
        found = next(route for route in routes if route.matches(scope)[0] is Match.FULL)
        assert found.path in own, f"{method} {path}"


@pytest.mark.parametrize("path", sorted(INTERNAL | HEALTH))
def test_internal_paths_are_not_in_the_table(path: str) -> None:
    assert all(path not in table for tables in TABLES.values() for table in tables)


def test_document_names_the_idempotency_key_exactly_where_it_is_honoured() -> None:
    honoured = {
        (route.path_format, method.lower())
        for name in ("auth", "patient", "analytics")
        for route in routes_of(name)
        for method, operation in route.operations.items()
        # What an endpoint's code calls, by name.
        if "read_claim" in getattr(operation.endpoint, "__code__").co_names  # noqa: B009
    }
    # Billing's request ids are made of the keys (test_billing.py).
    honoured |= {
        (BASE + call.path, call.method.lower())
        for call in CALLS
        if "request_id" in call.request.DESCRIPTOR.fields_by_name
    }
    document = read_document(make_settings())
    documented = {
        (path, method)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if {"$ref": "#/components/parameters/idempotencyKey"} in operation.get("parameters", ())
    }
    assert documented == honoured
    assert {("/auth/v1/clients/{id}/secret", "post"), ("/api/patients", "post")} <= honoured
