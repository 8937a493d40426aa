"""Discovery says exactly what is there: every endpoint answers, every method of authentication
and grant works.
"""

from typing import Any

import httpx
import pytest

from apps.auth.client_keys import CLIENT_ALGORITHMS
from apps.auth.oauth.registration import AUTH_METHODS, GRANT_TYPES
from apps.auth.people.roles import is_scope
from tests.auth.conftest import Auth

pytestmark = pytest.mark.integration

PATHS = (
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/fhir/R4/.well-known/smart-configuration",
)


@pytest.fixture(params=PATHS)
def document(auth: Auth, request: pytest.FixtureRequest) -> Any:
    return httpx.get(auth.url + request.param).json()


def test_every_endpoint_that_is_named_answers(document: dict[str, Any]) -> None:
    named = {name: url for name, url in document.items() if name.endswith(("_endpoint", "_uri"))}
    assert len(named) >= 7
    for name, url in named.items():
        answers = {httpx.get(url).status_code, httpx.post(url, data={"a": "b"}).status_code}
        assert answers - {404, 405}, name
        assert not answers & {500, 501, 503}, name


def test_grants_methods_and_algorithms_are_those_of_the_code(document: dict[str, Any]) -> None:
    assert set(document["grant_types_supported"]) == set(GRANT_TYPES)
    assert set(document["token_endpoint_auth_methods_supported"]) == set(AUTH_METHODS)
    algorithms = document["token_endpoint_auth_signing_alg_values_supported"]
    assert set(algorithms) == set(CLIENT_ALGORITHMS)
    assert document["code_challenge_methods_supported"] == ["S256"]


def test_every_scope_that_is_named_can_be_registered_and_none_of_the_services(
    document: dict[str, Any],
) -> None:
    assert all(is_scope(scope) for scope in document["scopes_supported"])
    assert "billing.system" not in document["scopes_supported"]


def test_smart_capabilities_are_what_was_built(auth: Auth) -> None:
    document = httpx.get(auth.url + PATHS[2]).json()
    assert {"launch-ehr", "launch-standalone", "permission-v1", "permission-v2"} <= set(
        document["capabilities"]
    )
    assert "context-style" not in document["capabilities"]
