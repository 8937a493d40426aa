"""The way in and out: what comes back from the auth service is checked, and a session ends with
the one there.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.console.sessions import HTML, Visitor, hidden_fields, make_users, sign_in

pytestmark = pytest.mark.integration
# The services read the list of revocations each 15 seconds.
REVOKED_SECONDS = 25


@pytest.fixture
def email(admin: httpx.Client) -> str:
    """The address of a registrar of this test alone."""
    (made,) = make_users(admin, [{"roles": ["registrar"]}])
    return made


@pytest.fixture
def registrar(email: str) -> Iterator[Visitor]:
    visitor = sign_in(email)
    with closing(visitor.http):
        yield visitor


def ends_within(visitor: Visitor, seconds: float) -> bool:
    """Tells whether the session ends."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if visitor.get("/patients").status_code == 303:
            return True
        time.sleep(0.25)
    return False


def test_sign_in_is_asked_for_in_the_persons_language() -> None:
    headers = {**HTML, "Accept-Language": "es-MX"}
    answer = httpx.get(f"{os.environ['PLATFORM_URL']}/sign-in", headers=headers)
    assert "ui_locales=es-MX" in answer.headers["Location"]


def test_sign_out_ends_the_session_here_and_at_auth(registrar: Visitor) -> None:
    answer = registrar.post("/sign-out", {"csrf": registrar.csrf})
    assert answer.status_code == 303
    assert "/oauth2/logout?" in answer.headers["Location"]
    page = registrar.http.get(answer.headers["Location"], headers=HTML, follow_redirects=True)
    assert page.url.path == "/signed-out"
    assert registrar.get("/patients").status_code == 303
    # Nobody is signed in at auth either: the way back asks for the password.
    again = registrar.http.get("/sign-in", headers=HTML, follow_redirects=True)
    assert again.url.path == "/oauth2/sign-in"


def test_session_ends_when_auth_ends_its_own(registrar: Visitor) -> None:
    page = registrar.http.get("/oauth2/logout", headers=HTML)
    answer = registrar.http.post("/oauth2/logout", data=hidden_fields(page.text), headers=HTML)
    assert answer.status_code in (200, 303)
    assert ends_within(registrar, 10), "by back-channel logout"


def test_session_of_a_disabled_account_ends(
    admin: httpx.Client, email: str, registrar: Visitor
) -> None:
    found = admin.get("/auth/v1/users", params={"q": email}).raise_for_status().json()
    (user,) = found["items"]
    admin.patch(f"/auth/v1/users/{user['id']}", json={"disabled": True}).raise_for_status()
    assert ends_within(registrar, REVOKED_SECONDS)


@pytest.mark.parametrize(
    "query", ["code=x", "code=x&state=y", "state=", "error=access_denied&state=y", ""]
)
def test_answer_that_nobody_asked_for_is_refused(admin: httpx.Client, query: str) -> None:
    url = str(admin.base_url)
    with httpx.Client(base_url=url, timeout=20.0) as http:
        answer = http.get(f"/sign-in/callback?{query}", headers=HTML)
        assert answer.status_code == 400
        started = http.get("/sign-in", headers=HTML)
        assert started.status_code == 303
        answer = http.get(f"/sign-in/callback?{query}", headers=HTML)
        assert answer.status_code == 400
        assert "console" not in dict(http.cookies)


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:1", "x"]
)
def test_way_back_stays_on_this_site(admin: httpx.Client, wanted: str) -> None:
    (email,) = make_users(admin, [{"roles": ["registrar"]}])
    with httpx.Client(base_url=str(admin.base_url), timeout=20.0) as http:
        page = http.get("/sign-in", params={"next": wanted}, headers=HTML, follow_redirects=True)
        form = hidden_fields(page.text) | {"email": email, "password": "correct horse battery"}
        home = http.post(str(page.url), data=form, headers=HTML, follow_redirects=True)
        assert home.url.host == admin.base_url.host and home.url.path == "/"


@pytest.mark.parametrize("token", ["", "x", "e30.e30.e30"])
def test_logout_token_of_nobody_is_refused(admin: httpx.Client, token: str) -> None:
    with httpx.Client(base_url=str(admin.base_url), timeout=20.0) as http:
        answer = http.post("/sign-out/back-channel", data={"logout_token": token})
        assert answer.status_code == 401


def test_cookie_is_for_no_script_and_no_other_site(registrar: Visitor) -> None:
    answer = registrar.http.get("/sign-in", headers=HTML)
    cookie = answer.headers["Set-Cookie"]
    assert re.search(r"HttpOnly", cookie) and re.search(r"SameSite=lax", cookie)
