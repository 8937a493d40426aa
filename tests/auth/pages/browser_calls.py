"""What the pages of a browser send: forms, and the calls of the passkeys' scripts."""

from typing import Any

import httpx

from tests.auth.browser import HIDDEN, Browser
from tests.auth.conftest import PASSWORD, Auth
from tests.auth.soft_passkey import SoftPasskey


def csrf(page: httpx.Response) -> str:
    return str(dict(HIDDEN.findall(page.text))["csrf"])


def post(browser: Browser, path: str, fields: dict[str, str]) -> httpx.Response:
    """Sends a form with the token of the browser's session, without loading the form's page."""
    token = csrf(browser.get("/oauth2/account"))
    return browser.http.post(path, data={"csrf": token, **fields})


def call(browser: Browser, page: httpx.Response, path: str, body: Any = None) -> httpx.Response:
    return browser.http.post(
        f"/oauth2/passkeys/{path}",
        json=body or {},
        headers={"X-CSRF": csrf(page), "Accept": "application/json"},
    )


def passkeys_page(browser: Browser) -> httpx.Response:
    page = browser.get("/oauth2/passkeys")
    if "Confirm your password" in page.text:
        page = browser.send(page, password=PASSWORD)
    return page


def add_passkey(browser: Browser, passkey: SoftPasskey, name: str = "My phone") -> httpx.Response:
    page = passkeys_page(browser)
    options = call(browser, page, "register/options").json()
    return call(browser, page, "register", {"name": name, "credential": passkey.create(options)})


def sign_in(
    browser: Browser, passkey: SoftPasskey, path: str = "/oauth2/sign-in"
) -> httpx.Response:
    page = browser.get(path)
    options = call(browser, page, "sign-in/options").json()
    return call(browser, page, "sign-in", {"credential": passkey.get(options)})


def person_with_passkey(site: Auth, *roles: str) -> tuple[Any, SoftPasskey]:
    user = site.user(*(roles or ("clinician",)))
    passkey = SoftPasskey(site.url)
    browser = Browser(site)
    browser.sign_in(user.email)
    assert add_passkey(browser, passkey).json() == {"location": "/oauth2/passkeys?done=added"}
    return user, passkey
