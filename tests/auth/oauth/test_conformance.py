"""What the OpenID conformance suite sends beyond the usual (plan "Basic OP"), one test a module or
a group of them.
"""

import time
from urllib.parse import urlencode

import httpx
import pytest

from tests.auth.browser import App, Browser, parameters
from tests.auth.conftest import Auth
from tests.auth.oauth.test_tokens import decode

pytestmark = pytest.mark.integration


def signed_in(auth: Auth) -> Browser:
    browser = Browser(auth)
    browser.sign_in(auth.user("clinician", name="Ada B.").email)
    return browser


@pytest.mark.parametrize(
    "wish",
    [
        {"display": "page"},
        {"display": "popup"},
        {"ui_locales": "se fr"},
        {"claims_locales": "se"},
        {"login_hint": "ada@example.org"},
        {"acr_values": "1 2"},
        {"extra": "foobar"},
        {"claims": '{"userinfo":{"name":{"essential":true}}}'},
    ],
    ids=lambda wish: "-".join(wish),
)
def test_wish_that_is_not_supported_is_passed_over(auth: Auth, wish: dict[str, str]) -> None:
    app = App(auth, trusted=True)
    token = app.redeem(app.authorize(signed_in(auth), **wish))
    assert decode(auth, token["id_token"]).claims["sub"]


def test_scopes_in_another_order_and_no_nonce_are_fine(auth: Auth) -> None:
    app = App(auth, trusted=True)
    token = app.redeem(app.authorize(signed_in(auth), scope="email profile openid"))
    assert "nonce" not in decode(auth, token["id_token"]).claims
    assert set(token["scope"].split()) == {"openid", "profile", "email"}


def test_authorization_request_may_come_by_post(auth: Auth) -> None:
    app, browser = App(auth, trusted=True), signed_in(auth)
    form = urlencode(parameters(app.url()))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = browser.http.post("/oauth2/authorize", content=form, headers=headers)
    assert app.redeem(browser.get(answer.headers["location"]).headers["location"])["id_token"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_userinfo_takes_the_token_in_the_header_alone(auth: Auth, method: str) -> None:
    app = App(auth, trusted=True)
    token = app.redeem(app.authorize(signed_in(auth)))["access_token"]
    url = f"{auth.url}/oauth2/userinfo"
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.request(method, url, headers=headers)
    assert answer.json()["name"] == "Ada B."
    in_the_body = httpx.post(url, data={"access_token": token})
    in_the_address = httpx.get(url, params={"access_token": token})
    assert in_the_body.status_code == in_the_address.status_code == 401


def test_missing_response_type_is_told_to_the_application(auth: Auth) -> None:
    app, browser = App(auth, trusted=True), signed_in(auth)
    url = app.url().replace("response_type=code", "x=y")
    answer = browser.http.get(url)
    assert parameters(answer.headers["location"])["error"] in (
        "invalid_request",
        "unsupported_response_type",
    )


def test_max_age_asks_for_the_password_again_once_it_has_passed(auth: Auth) -> None:
    app, user, browser = App(auth, trusted=True), auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    assert "code" in parameters(app.authorize(browser, max_age="10000"))
    auth.sql(
        "UPDATE sessions SET authenticated_at = now() - interval '5 seconds' WHERE user_id = $1",
        user.id,
    )
    page = browser.get(app.url(max_age="1"))
    assert "Sign in" in page.text
    location = browser.sign_in(user.email, page=page).headers["location"]
    claims = decode(auth, app.redeem(location)["id_token"]).claims
    assert claims["auth_time"] > time.time() - 5


def test_prompt_login_asks_though_somebody_is_signed_in(auth: Auth) -> None:
    app, user, browser = App(auth, trusted=True), auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    first = decode(auth, app.redeem(app.authorize(browser))["id_token"]).claims
    auth.sql(
        "UPDATE sessions SET authenticated_at = authenticated_at - interval '5 seconds' "
        "WHERE user_id = $1",
        user.id,
    )
    page = browser.get(app.url(prompt="login"))
    assert "Sign in" in page.text
    location = browser.sign_in(user.email, page=page).headers["location"]
    second = decode(auth, app.redeem(location)["id_token"]).claims
    assert second["sub"] == first["sub"] and second["auth_time"] > first["auth_time"] - 5


@pytest.mark.parametrize(
    "again", [{"prompt": "none"}, {"max_age": "10000"}, {"prompt": "none", "hint": "own"}]
)
def test_second_request_of_a_session_tells_the_same_sign_in(
    auth: Auth, again: dict[str, str]
) -> None:
    app, browser = App(auth, trusted=True), signed_in(auth)
    first = app.redeem(app.authorize(browser, max_age="15000"))["id_token"]
    wish = {name: value for name, value in again.items() if name != "hint"}
    if "hint" in again:
        wish["id_token_hint"] = first
    # Without a page: the browser is sent back at once.
    location = browser.http.get(app.url(**wish)).headers["location"]
    claims = [decode(auth, token).claims for token in (first, app.redeem(location)["id_token"])]
    assert claims[0]["sub"] == claims[1]["sub"]
    assert claims[0]["auth_time"] == claims[1]["auth_time"]


def test_scopes_that_are_not_offered_are_passed_over_beside_others(auth: Auth) -> None:
    app = App(auth, trusted=True)
    token = app.redeem(app.authorize(signed_in(auth), scope="openid address email phone profile"))
    assert set(token["scope"].split()) == {"openid", "email", "profile"}
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    claims = httpx.get(f"{auth.url}/oauth2/userinfo", headers=headers).json()
    assert claims["sub"] == decode(auth, token["id_token"]).claims["sub"]
    assert {"name", "email", "email_verified", "updated_at"} <= claims.keys()
    assert not {"address", "phone_number"} & claims.keys()


def test_id_token_hint_of_the_person_who_is_signed_in_gives_a_code(auth: Auth) -> None:
    app, browser = App(auth, trusted=True), signed_in(auth)
    hint = app.redeem(app.authorize(browser))["id_token"]
    location = app.authorize(browser, prompt="none", id_token_hint=hint)
    assert "code" in parameters(location)
