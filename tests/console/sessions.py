"""People signed in at the console by HTTP alone, for tests that need no browser."""

import html
import os
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

PASSWORD = "correct horse battery"
HTML = {"Accept": "text/html"}


def hidden(name: str, text: str) -> str:
    """Finds the value of a form's hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found, f"no field {name}"
    return found[1]


def hidden_fields(text: str) -> dict[str, str]:
    """Gives all hidden fields of a page's forms."""
    return {
        name: html.unescape(value)
        for name, value in re.findall(r'name="([a-z_]+)" value="([^"]*)"', text)
    }


def admin_client() -> httpx.Client:
    """Opens a client of the public interface with an administrator's token."""
    url = os.environ["PLATFORM_URL"]
    login = {"email": os.environ["PLATFORM_USER"], "password": os.environ["PLATFORM_PASSWORD"]}
    http = httpx.Client(base_url=url, timeout=20.0)
    try:
        token = http.post("/auth/login", json=login).raise_for_status().json()["token"]
    except BaseException:
        http.close()
        raise
    http.headers["Authorization"] = f"Bearer {token}"
    return http


@dataclass(frozen=True)
class Visitor:
    """A browser's cookies, and the token of its forms."""

    http: httpx.Client

    @property
    def csrf(self) -> str:
        return hidden("csrf", self.http.get("/", headers=HTML, follow_redirects=True).text)

    def get(self, path: str) -> httpx.Response:
        return self.http.get(path, headers=HTML)

    def post(self, path: str, form: dict[str, Any]) -> httpx.Response:
        origin = os.environ["PLATFORM_URL"]
        return self.http.post(path, data=form, headers={**HTML, "Origin": origin})


def make_users(admin: httpx.Client, wanted: Iterable[dict[str, Any]]) -> list[str]:
    """Makes people who can sign in, and gives their addresses."""
    emails = []
    for each in wanted:
        body = {"email": f"{secrets.token_hex(6)}@example.org", "name": "Test Person", **each}
        person = admin.post("/auth/v1/users", json=body).raise_for_status().json()
        with httpx.Client(timeout=20.0) as http:
            page = http.get(person["passwordLink"], follow_redirects=True)
            form = hidden_fields(page.text)
            fields = re.findall(r'<input[^>]*type="password"[^>]*name="([a-z_]+)"', page.text)
            fields += re.findall(r'<input[^>]*name="([a-z_]+)"[^>]*type="password"', page.text)
            form |= dict.fromkeys(fields, PASSWORD)
            answer = http.post(str(page.url), data=form, follow_redirects=True)
            assert answer.status_code == 200, answer.text
        emails.append(str(person["email"]))
    # A new password revokes the tokens of its second and, as clocks differ, of the next.
    time.sleep(2.1)
    return emails


def sign_in(email: str) -> Visitor:
    """Signs in as a browser does: from the console to the auth service and back."""
    url = os.environ["PLATFORM_URL"]
    http = httpx.Client(base_url=url, timeout=20.0)
    try:
        page = http.get("/sign-in", headers=HTML, follow_redirects=True)
        form = hidden_fields(page.text) | {"email": email, "password": PASSWORD}
        home = http.post(str(page.url), data=form, headers=HTML, follow_redirects=True)
        assert home.status_code == 200 and 'action="/sign-out"' in home.text, home.text
    except BaseException:
        http.close()
        raise
    return Visitor(http)
