"""Oversized and malformed input on each endpoint: always the caller's fault, never ours."""

from typing import Any

import httpx
import pytest

from tests.auth.browser import App, Browser
from tests.auth.conftest import Auth

pytestmark = pytest.mark.integration

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
BODIES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "nothing": (b"", FORM),
    "no media type": (b"a=b", {}),
    "JSON for a form": (b"{}", JSON),
    "form for JSON": (b"a=b", FORM),
    "not UTF-8": (b"client_id=\xff\xfe&grant_type=client_credentials", FORM),
    "escaped bytes": (b"client_id=%ff%fe&grant_type=client_credentials&email=%ff", FORM),
    "NUL": (b"client_id=%00&grant_type=client_credentials&token=%00&code=%00", FORM),
    "lone surrogate": (b'{"email": "\\ud800", "password": "\\ud800"}', JSON),
    "NUL in JSON": (b'{"email": "a\\u0000@b.c", "password": "\\u0000"}', JSON),
    "deep JSON": (b"[" * 50_000, JSON),
    "many parameters": (b"&".join(b"a%d=1" % n for n in range(1000)), FORM),
    "large": (b"a=" + b"x" * 1_100_000, FORM),
    "large JSON": (b'{"email": "' + b"x" * 1_100_000 + b'"}', JSON),
    "broken Basic": (b"grant_type=client_credentials", {**FORM, "Authorization": "Basic %%%"}),
    "Basic of bytes": (b"grant_type=client_credentials", {**FORM, "Authorization": "Basic //79"}),
    "Basic without a colon": (
        b"grant_type=client_credentials",
        {**FORM, "Authorization": "Basic YWJj"},
    ),
    "Bearer nonsense": (b"token=x", {**FORM, "Authorization": b"Bearer \x80\x81"}),
    "array of clients": (b"client_id[]=x&grant_type=client_credentials", FORM),
}
ENDPOINTS = (
    "/oauth2/token",
    "/oauth2/revoke",
    "/oauth2/introspect",
    "/oauth2/authorize",
    "/oauth2/authorize?client_id=x",
    "/oauth2/sign-in",
    "/oauth2/second-factor",
    "/oauth2/enrol",
    "/oauth2/password",
    "/oauth2/reset",
    "/oauth2/logout",
    "/auth/login",
    "/auth/v1/users",
    "/auth/v1/clients",
)


def test_form_of_other_bytes_is_malformed_however_good_the_rest_is(auth: Auth) -> None:
    answer = httpx.post(
        f"{auth.url}/oauth2/token",
        auth=auth.client("analytics.read"),
        content=b"grant_type=client_credentials&x=\xff",
        headers=FORM,
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_malformed_input_is_the_callers_fault_everywhere(auth: Auth, path: str) -> None:
    token = auth.login(auth.user("admin").email).json()["token"]
    client = auth.opened(httpx.Client(base_url=auth.url))
    for name, (body, headers) in BODIES.items():
        for bearer in ("", f"Bearer {token}"):
            sent: dict[str, Any] = {"Authorization": bearer, **headers}
            answer = client.post(path, content=body, headers=sent)
            assert answer.status_code < 500, (name, answer.status_code, answer.text)
            assert "Traceback" not in answer.text and "asyncpg" not in answer.text


@pytest.mark.parametrize(
    "path", ["/oauth2/authorize", "/oauth2/sign-in", "/oauth2/logout", "/oauth2/reset"]
)
def test_malformed_query_is_the_callers_fault(auth: Auth, path: str) -> None:
    for query in (
        "%00", "client_id=%00", "next=%00&token=%00", "client_id=%ff", "id_token_hint=a.b.c",
        "id_token_hint=%00",
        "&".join(f"a{n}=1" for n in range(1000)), "next=" + "x" * 20_000, "next=%ed%a0%80",
            "max_age=" + "9" * 5000,
        "token=" + "x" * 20_000, "next=" + "&".join(f"a{n}%3D1%26" for n in range(100)),
    ):  # fmt: skip
        answer = httpx.get(f"{auth.url}{path}?{query}", headers={"Accept": "text/html"})
        assert answer.status_code < 500, (query[:60], answer.status_code)


def test_malformed_max_age_is_the_applications_fault_once_somebody_is_signed_in(auth: Auth) -> None:
    browser, app = Browser(auth), App(auth, trusted=True)
    browser.sign_in(auth.user("clinician").email)
    for max_age in ("9" * 5000, "-1", "1e3", "x", "9" * 11):
        answer = browser.http.get(f"{app.url()}&max_age={max_age}")
        assert "error=invalid_request" in answer.headers["location"], max_age[:9]
    assert browser.http.get(f"{app.url()}&max_age=%C2%B2").status_code == 400
    assert "code=" in browser.http.get(f"{app.url()}&max_age=9999999999").headers["location"]


@pytest.mark.parametrize("path", ["/auth/v1/users", "/auth/v1/clients"])
def test_malformed_page_of_a_list_is_the_callers_fault(auth: Auth, path: str) -> None:
    token = auth.login(auth.user("admin").email).json()["token"]
    client = auth.opened(
        httpx.Client(base_url=auth.url, headers={"Authorization": f"Bearer {token}"})
    )
    limits = ("9" * 5000, "0" * 5000, "", "0", "101", "-1", "%D9%A3", "1e1", "%00")
    cursors = ("%00", "A", "%C3%A9", "w6k=", "AAAA", "-" * 5000)
    for query in (
        *(f"limit={limit}" for limit in limits),
        *(f"cursor={cursor}" for cursor in cursors),
    ):
        answer = client.get(f"{path}?{query}")
        assert answer.status_code == 400, (query[:20], answer.text)
    for name in ("%00", "x" * 5000, "%FF", "9" * 5000):
        assert client.get(f"{path}/{name}").status_code == 404, name


def test_two_authorization_headers_are_refused(auth: Auth) -> None:
    token = auth.login(auth.user("admin").email).json()["token"]
    good, other = ("Authorization", f"Bearer {token}"), ("Authorization", "Bearer other")
    for headers in ([good, other], [other, good], [good, good]):
        assert httpx.get(f"{auth.url}/auth/v1/users", headers=headers).status_code == 401
    assert httpx.get(f"{auth.url}/auth/v1/users", headers=[good]).status_code == 200
