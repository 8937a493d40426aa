"""Requests that say too much, or contradict themselves: refused, rather than read one way here and
another there.
"""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.auth.browser import App, Browser, parameters
from tests.auth.conftest import SERVICE_SECRET, Auth
from tests.auth.oauth.test_assertions import assertion, keyed_client

pytestmark = pytest.mark.integration

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def proof(auth: Auth, client: str) -> dict[str, str]:
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion(auth, client)}


def signed_in(auth: Auth) -> Browser:
    browser = Browser(auth)
    browser.sign_in(auth.user("clinician").email)
    return browser


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/revoke", "/oauth2/introspect"])
def test_client_authenticates_in_one_way_and_as_itself(auth: Auth, path: str) -> None:
    client, other, keyed = (
        auth.client("system/*.rs"),
        auth.client("system/*.rs"),
        keyed_client(auth),
    )
    form = {"grant_type": "client_credentials", "token": "x"}

    def send(more: dict[str, str], basic: tuple[str, str] | None = None) -> tuple[int, str]:
        answer = httpx.post(auth.url + path, auth=basic, data={**form, **more})
        return answer.status_code, answer.json().get("error", "") if answer.content else ""

    assert send({}, client)[0] == send({"client_id": client[0]}, client)[0] == 200
    assert send({**proof(auth, keyed), "client_id": keyed})[0] == 200
    assert send({"client_secret": client[1]}, client) == (400, "invalid_request")
    assert send(proof(auth, keyed), client) == (400, "invalid_request")
    assert send({**proof(auth, keyed), "client_secret": "x"}) == (400, "invalid_request")
    assert send({"client_id": other[0]}, client)[1] == "invalid_client"
    assert send({**proof(auth, keyed), "client_id": other[0]})[1] == "invalid_client"


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/revoke", "/oauth2/introspect"])
def test_parameters_in_the_address_are_refused(auth: Auth, path: str) -> None:
    client, form = auth.client("system/*.rs"), {"grant_type": "client_credentials", "token": "x"}
    for query in ("scope=system/*.rs", "client_secret=x", "unknown=x"):
        answer = httpx.post(f"{auth.url}{path}?{query}", auth=client, data=form)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_two_authorization_headers_are_refused_at_the_token_endpoint(auth: Auth) -> None:
    basic = httpx.BasicAuth(*auth.client("system/*.rs"))._auth_header
    headers = [("Authorization", basic), ("Authorization", "Basic YTpi")]
    form = {"grant_type": "client_credentials"}
    assert (
        httpx.post(f"{auth.url}/oauth2/token", headers=headers, data=form).json()["error"]
        == "invalid_request"
    )


def test_resource_is_this_service_or_for_a_service_its_callee(auth: Auth) -> None:
    client, patient = auth.client("system/*.rs"), ("service-patient", SERVICE_SECRET)
    assert auth.token_for(client, resource=auth.url).status_code == 200
    assert auth.token_for(patient, resource="billing").status_code == 200
    for answer in (
        auth.token_for(client, resource="https://evil.example"),
        auth.token_for(client, resource="billing"),
        auth.token_for(client, audience=auth.url, resource="billing"),
        auth.token_for(patient, audience="billing", resource=auth.url),
    ):
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")


def test_resource_of_a_code_and_of_a_refresh_token_is_checked(auth: Auth) -> None:
    app, browser = App(auth, trusted=True), signed_in(auth)
    location = browser.get(app.url(resource="https://evil.example")).headers["location"]
    assert parameters(location)["error"] == "invalid_target"
    twice = browser.get(f"{app.url(resource=auth.url)}&resource=billing").headers["location"]
    assert parameters(twice)["error"] == "invalid_target"
    token = app.redeem(app.authorize(browser, resource=auth.url), resource=auth.url)
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    for resource, status in (("https://evil.example", 400), (auth.url, 200)):
        answer = httpx.post(
            f"{auth.url}/oauth2/token", auth=app.client, data={**form, "resource": resource}
        )
        assert answer.status_code == status
        assert status == 200 or answer.json()["error"] == "invalid_target"


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"request": "e30.e30."}, "request_not_supported"),
        ({"request_uri": "https://app.example/request"}, "request_uri_not_supported"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"prompt": "create"}, "invalid_request"),
        ({"prompt": "login surprise"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
    ],
)
def test_wish_that_is_not_understood_is_refused(
    auth: Auth, wish: dict[str, str], error: str
) -> None:
    app = App(auth, trusted=True)
    for browser in (Browser(auth), signed_in(auth)):
        answer = parameters(browser.get(app.url(**wish)).headers["location"])
        assert (answer["error"], answer["state"], answer["iss"]) == (error, app.state, auth.url)
    assert "code" in parameters(
        signed_in(auth).get(app.url(response_mode="query")).headers["location"]
    )


def test_discovery_says_what_is_not_understood_and_how_id_tokens_are_signed(auth: Auth) -> None:
    document = httpx.get(f"{auth.url}/.well-known/openid-configuration").json()
    assert (
        document["request_parameter_supported"]
        is document["request_uri_parameter_supported"]
        is False
    )
    keys = httpx.get(document["jwks_uri"]).json()["keys"]
    assert set(document["id_token_signing_alg_values_supported"]) == {
        "RS256",
        *(key["alg"] for key in keys),
    }


HINTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "id token": lambda token: token["id_token"],
    "access token": lambda token: token["access_token"],
}


@pytest.mark.parametrize("name", HINTS)
def test_only_an_id_token_is_a_hint_at_the_logout(auth: Auth, name: str) -> None:
    app = App(auth, trusted=True, post_logout_redirect_uris=("https://app.example/bye",))
    browser = signed_in(auth)
    hint = HINTS[name](app.redeem(app.authorize(browser)))
    query = {
        "id_token_hint": hint,
        "client_id": "",
        "post_logout_redirect_uri": "https://app.example/bye",
    }
    answer = browser.get(str(httpx.URL("/oauth2/logout", params=query)))
    assert answer.is_redirect is (name == "id token")
    if name == "access token":
        assert "Your account" in browser.get("/oauth2/account").text
