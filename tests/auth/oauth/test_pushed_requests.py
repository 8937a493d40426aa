"""Pushed requests (RFC 9126)."""

import httpx
import pytest

from tests.auth.browser import App, Browser, parameters
from tests.auth.conftest import Auth

pytestmark = pytest.mark.integration


def push(auth: Auth, app: App, **changes: str) -> httpx.Response:
    values = parameters(app.url()) | changes
    return httpx.post(f"{auth.url}/oauth2/par", auth=app.client, data=values)


def authorize_pushed(auth: Auth, app: App, browser: Browser, request_uri: str) -> httpx.Response:
    query = httpx.QueryParams({"client_id": app.client[0], "request_uri": request_uri})
    return browser.get(f"/oauth2/authorize?{query}")


def test_pushed_request_is_carried_through_sign_in_and_consent_and_used_once(auth: Auth) -> None:
    app, user, browser = App(auth), auth.user("clinician"), Browser(auth)
    pushed = push(auth, app, prompt="login")
    assert pushed.status_code == 201 and pushed.json()["expires_in"] == 600
    request_uri = pushed.json()["request_uri"]
    page = authorize_pushed(auth, app, browser, request_uri)
    assert "https://app.example" in page.headers["content-security-policy"]
    page = browser.sign_in(user.email, page=page)
    location = browser.send(page, decision="allow").headers["location"]
    assert app.redeem(location)["scope"]
    again = authorize_pushed(auth, app, browser, request_uri)
    assert again.status_code == 400 and "request_uri" in again.text


def test_pushed_request_is_of_its_client_and_time_alone(auth: Auth) -> None:
    app, other, browser = App(auth), App(auth), Browser(auth)
    request_uri = push(auth, app).json()["request_uri"]
    assert authorize_pushed(auth, other, browser, request_uri).status_code == 400
    auth.sql("UPDATE pushed_requests SET expires_at = now()")
    assert authorize_pushed(auth, app, browser, request_uri).status_code == 400
    assert authorize_pushed(auth, app, browser, "https://evil.example/request").status_code == 400


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uri": "https://evil.example/cb"}, "invalid_request"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"request_uri": "urn:x"}, "invalid_request"),
        ({"aud": "https://evil.example"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_wrong_request_is_told_to_the_client_that_pushes_it(
    auth: Auth, changes: dict[str, str], error: str
) -> None:
    answer = push(auth, App(auth), **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_only_a_known_client_pushes_and_one_that_must_push_does(auth: Auth) -> None:
    app = App(auth, pushed_requests_only=True)
    values = parameters(app.url())
    wrong = httpx.post(f"{auth.url}/oauth2/par", auth=(app.client[0], "wrong"), data=values)
    assert wrong.status_code == 401
    refused = Browser(auth).get(app.url())
    assert parameters(refused.headers["location"])["error"] == "invalid_request"
    request_uri = push(auth, app).json()["request_uri"]
    assert "Sign in" in authorize_pushed(auth, app, Browser(auth), request_uri).text
