"""Ways to keep or gain access that somebody else's act should have ended."""

import secrets
from typing import Any

import httpx
import pytest

from tests.auth.browser import App, Browser
from tests.auth.conftest import PASSWORD, Auth
from tests.auth.oauth.test_extensions import begin, device_client, poll
from tests.auth.pages.test_own_account import LINK, mails

pytestmark = pytest.mark.integration


def signed_in(auth: Auth, *roles: str) -> tuple[Any, Browser]:
    user, browser = auth.user(*(roles or ("clinician",))), Browser(auth)
    browser.sign_in(user.email)
    return user, browser


def admin_of(auth: Auth) -> httpx.Client:
    user = auth.user("admin")
    token = auth.login(user.email).json()["token"]
    return auth.opened(
        httpx.Client(base_url=auth.url, headers={"Authorization": f"Bearer {token}"})
    )


def mailed_link(auth: Auth, address: str) -> str:
    found = LINK.search(mails(auth, address)[-1]["body"])
    assert found
    return found[0]


def ask_for_address(auth: Auth, browser: Browser) -> str:
    """Asks for another address; returns the mailed link."""
    new = f"{secrets.token_hex(6)}@evil.example"
    browser.send(browser.get("/oauth2/email"), email=new, password=PASSWORD)
    return mailed_link(auth, new)


# An address that an intruder asked for


def test_change_of_the_password_voids_a_change_of_the_address(auth: Auth) -> None:
    _, browser = signed_in(auth)
    link = ask_for_address(auth, browser)
    browser.send(
        browser.get("/oauth2/password"), password=PASSWORD, new_password="another long sentence"
    )
    assert Browser(auth).get(link).status_code == 404


def test_reset_of_the_password_voids_a_change_of_the_address(auth: Auth) -> None:
    user, browser = signed_in(auth)
    link = ask_for_address(auth, browser)
    page = browser.get(auth.reset_link(user.id))
    browser.send(page, new_password="another long sentence")
    assert Browser(auth).get(link).status_code == 404


def test_disabled_and_enabled_user_keeps_no_link(auth: Auth) -> None:
    user, browser = signed_in(auth)
    link = ask_for_address(auth, browser)
    admin = admin_of(auth)
    for disabled in (True, False):
        assert admin.patch(f"/auth/v1/users/{user.id}", json={"disabled": disabled}).is_success
    assert Browser(auth).get(link).status_code == 404


def test_change_of_the_address_voids_links_mailed_to_the_one_before(auth: Auth) -> None:
    user, browser = signed_in(auth)
    reset = auth.reset_link(user.id)
    browser.send(browser.get(ask_for_address(auth, browser)))
    assert Browser(auth).get(reset).status_code == 404


# A device that was connected before everything was ended


def approved_device(auth: Auth, browser: Browser) -> tuple[tuple[str, str], str]:
    client = device_client(auth)
    code = begin(auth, client)
    page = browser.send(browser.get("/oauth2/device"), user_code=code["user_code"])
    browser.send(page, decision="allow")
    return client, code["device_code"]


def test_device_gets_nothing_after_the_password_was_changed(auth: Auth) -> None:
    _, browser = signed_in(auth)
    client, code = approved_device(auth, browser)
    browser.send(
        browser.get("/oauth2/password"), password=PASSWORD, new_password="another long sentence"
    )
    assert poll(auth, client, code)["error"] == "invalid_grant"


def test_device_gets_nothing_after_its_session_was_ended(auth: Auth) -> None:
    user, browser = signed_in(auth)
    client, code = approved_device(auth, browser)
    other = Browser(auth)
    other.sign_in(user.email)
    other.send(other.get("/oauth2/sessions"), session="others")
    assert poll(auth, client, code)["error"] == "invalid_grant"


def test_device_gets_nothing_after_its_consent_was_withdrawn(auth: Auth) -> None:
    user, browser = signed_in(auth)
    client, code = approved_device(auth, browser)
    auth.sql(
        "INSERT INTO consents (user_id, client_id, scopes) VALUES ($1, $2, '{openid}')",
        user.id,
        client[0],
    )
    browser.send(browser.get("/oauth2/consents"))
    assert poll(auth, client, code)["error"] == "invalid_grant"


# Access tokens without a refresh token


def online_token(auth: Auth, browser: Browser) -> tuple[App, str]:
    app = App(auth, "openid", "profile", "user/Patient.rs")
    token = app.redeem(app.authorize(browser))
    assert "refresh_token" not in token
    return app, token["access_token"]


def is_active(auth: Auth, app: App, token: str) -> bool:
    answer = httpx.post(f"{auth.url}/oauth2/introspect", data={"token": token}, auth=app.client)
    return bool(answer.json()["active"])


def test_withdrawn_consent_ends_an_access_token_at_once(auth: Auth) -> None:
    _, browser = signed_in(auth)
    app, token = online_token(auth, browser)
    assert is_active(auth, app, token)
    browser.send(browser.get("/oauth2/consents"))
    assert not is_active(auth, app, token)


def test_ended_session_ends_its_access_tokens_at_once(auth: Auth) -> None:
    user, browser = signed_in(auth)
    app, token = online_token(auth, browser)
    other = Browser(auth)
    other.sign_in(user.email)
    other.send(other.get("/oauth2/sessions"), session="others")
    assert not is_active(auth, app, token)


# What an application may not do with a person's token


def test_application_reads_and_changes_no_account_without_the_scope(auth: Auth) -> None:
    _, browser = signed_in(auth)
    _, token = online_token(auth, browser)
    mine = auth.opened(
        httpx.Client(base_url=auth.url, headers={"Authorization": f"Bearer {token}"})
    )
    for method, path in (
        ("GET", ""),
        ("GET", "/sessions"),
        ("DELETE", "/sessions"),
        ("DELETE", "/sessions/x"),
        ("GET", "/consents"),
        ("DELETE", "/consents/x"),
    ):
        assert mine.request(method, f"/auth/v1/me{path}").status_code == 403
    assert "Your account" in browser.get("/oauth2/account").text


# Clients


def test_changed_client_is_held_to_what_it_was_changed_to(auth: Auth) -> None:
    admin = admin_of(auth)
    client_id, secret = auth.client("system/Patient.rs")
    path = f"/auth/v1/clients/{client_id}"
    made = admin.patch(path, json={"dpopBound": True}).json()
    assert made["dpopBound"] is True
    assert auth.token_for((client_id, secret)).json()["error"] == "invalid_dpop_proof"

    app = App(auth)
    path = f"/auth/v1/clients/{app.client[0]}"
    changes = {
        "pushedRequestsOnly": True,
        "backchannelLogoutUri": "https://app.example/logout",
    }
    changed = admin.patch(path, json=changes).json()
    assert {name: changed[name] for name in changes} == changes
    assert "pushes its requests" in Browser(auth).get(app.url()).headers.get("location", "") or (
        "error=invalid_request" in Browser(auth).get(app.url()).headers["location"]
    )
