"""Ways to keep or gain access that somebody else's act should have ended."""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx
import pytest

from apps.auth import paths as paths_module
from tests.auth.browser import HIDDEN, App, Browser
from tests.auth.conftest import PASSWORD, Auth
from tests.auth.oauth.test_device_codes import begin, device_client, poll
from tests.auth.oauth.test_pushed_requests import push
from tests.auth.oauth.test_smart import console_token, launch
from tests.auth.pages.test_own_account import LINK, mails
from tests.auth.pages.test_pages import enrol

pytestmark = pytest.mark.integration
T = TypeVar("T")


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


# What is good once is good once, however many ask at the same time


def at_once(count: int, call: Callable[[int], T]) -> list[T]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


def test_recovery_code_sent_from_many_browsers_signs_in_once(auth: Auth) -> None:
    user, browser = signed_in(auth)
    _, codes = enrol(browser)
    browsers = [Browser(auth) for _ in range(6)]
    pages = [browser.sign_in(user.email) for browser in browsers]
    answers = at_once(6, lambda index: browsers[index].send(pages[index], code=codes[0]).text)
    assert sum("Your account" in text for text in answers) == 1


def test_device_code_polled_many_times_gives_tokens_once(auth: Auth) -> None:
    _, browser = signed_in(auth)
    client, code = approved_device(auth, browser)
    answers = at_once(6, lambda _: poll(auth, client, code))
    assert sum("access_token" in answer for answer in answers) == 1


def test_launch_redeemed_many_times_gives_one_code(auth: Auth) -> None:
    _, browser = signed_in(auth)
    app = App(auth, "openid", "launch", "patient/*.rs", trusted=True)
    value = launch(auth, console_token(auth, browser), patientId="p-1").json()["launch"]
    url = app.url(launch=value)
    answers = at_once(6, lambda _: browser.http.get(url))
    locations = [answer.headers.get("location", "") for answer in answers]
    assert sum("code=" in location for location in locations) == 1


def test_pushed_request_used_many_times_gives_one_code(auth: Auth) -> None:
    _, browser = signed_in(auth)
    app = App(auth, trusted=True)
    request_uri = push(auth, app).json()["request_uri"]
    query = {"client_id": app.client[0], "request_uri": request_uri}
    answers = at_once(6, lambda _: browser.http.get("/oauth2/authorize", params=query))
    locations = [answer.headers.get("location", "") for answer in answers]
    assert sum("code=" in location for location in locations) == 1


def test_links_are_used_once_by_many_at_once(auth: Auth) -> None:
    _, browser = signed_in(auth)
    link = ask_for_address(auth, browser)
    page = browser.get(link)
    answers = at_once(6, lambda _: browser.send(page).status_code)
    assert sorted(answers) == [200, *[404] * 5]


# Input that PostgreSQL or a parser would choke on


@pytest.mark.parametrize("text", ["%00", "%ED%A0%80", "%FF", "%F0%9F%92%A9"])
@pytest.mark.parametrize(
    "path",
    [
        "/oauth2/authorize?client_id={}&request_uri=urn:ietf:params:oauth:request_uri:{}",
        "/oauth2/sign-in?next=client_id%3D{}%26request_uri%3Durn:ietf:params:oauth:request_uri:x",
        "/oauth2/sign-in?next=client_id%3Da%26redirect_uri%3Dhttp://[{}",
        "/oauth2/sign-in?next=" + "a%3D{}%26" * 90,
        "/oauth2/email/confirm?token={}",
        "/oauth2/reset?token={}",
        "/oauth2/device?user_code={}",
        "/oauth2/logout?client_id={}&post_logout_redirect_uri=http://[{}",
        "/oauth2/account?done={}",
    ],
)
def test_odd_characters_in_an_address_are_no_fault_of_ours(
    auth: Auth, path: str, text: str
) -> None:
    browser = Browser(auth)
    answer = browser.get(path.replace("{}", text))
    assert answer.status_code < 500 and "text/html" in answer.headers["content-type"]


@pytest.mark.parametrize("text", ["\0", "😀", "\ud800", "a" * 7000])
@pytest.mark.parametrize("field", ["code", "user_code", "session", "client", "passkey", "email"])
def test_odd_characters_in_a_form_are_no_fault_of_ours(auth: Auth, field: str, text: str) -> None:
    _, browser = signed_in(auth)
    page = browser.get("/oauth2/account")
    csrf = dict(HIDDEN.findall(page.text))["csrf"]
    content = urlencode({"csrf": csrf, field: text}, errors="surrogatepass")
    for name in ("sessions", "consents", "passkeys", "device", "email", "enrol", "email/confirm"):
        answer = browser.http.post(
            f"/oauth2/{name}",
            content=content,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status_code < 500, (name, answer.text)


def test_no_page_is_json_for_a_browser(auth: Auth) -> None:
    """An error of any page, whatever the method and the body, is a page as well."""
    _, browser = signed_in(auth)
    paths = [value for value in vars(paths_module).values() if str(value).startswith("/oauth2/")]
    for path in paths:
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = browser.http.request(method, path, content=b"{")
            if not answer.is_redirect:
                kind = answer.headers["content-type"]
                assert answer.status_code < 500 and kind.startswith("text/html"), (method, path)
