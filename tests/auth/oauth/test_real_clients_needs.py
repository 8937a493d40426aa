"""What applications of others send: refreshes at once, hints, loopback ports, keys by URL, logouts,
other secrets.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey

from tests.auth.browser import App, Browser, parameters
from tests.auth.conftest import SERVICE_SECRET, Auth
from tests.auth.listening import Listener, listening
from tests.auth.oauth.test_assertions import assertion, send_assertion
from tests.auth.oauth.test_tokens import decode

pytestmark = pytest.mark.integration


def signed_in(auth: Auth, role: str = "clinician", **changes: Any) -> tuple[Browser, Any]:
    user, browser = auth.user(role, **changes), Browser(auth)
    browser.sign_in(user.email)
    return browser, user


def refresh(auth: Auth, app: App, token: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return httpx.post(f"{auth.url}/oauth2/token", auth=app.client, data=form, timeout=30)


# Refresh tokens


def test_token_that_is_sent_eight_times_at_once_has_one_successor(auth: Auth) -> None:
    app = App(auth)
    first = app.redeem(app.authorize(signed_in(auth)[0]))["refresh_token"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: refresh(auth, app, first).json(), range(8)))
    assert len({answer["refresh_token"] for answer in answers}) == 1
    rows = auth.sql("SELECT 1 FROM refresh_tokens WHERE client_id = $1", app.client[0])
    assert len(rows) == 2


def test_use_of_the_old_token_after_its_successor_ends_the_family(auth: Auth) -> None:
    app = App(auth)
    first = app.redeem(app.authorize(signed_in(auth)[0]))["refresh_token"]
    second = refresh(auth, app, first).json()["refresh_token"]
    third = refresh(auth, app, second).json()
    assert refresh(auth, app, first).json()["error"] == "invalid_grant"
    assert refresh(auth, app, third["refresh_token"]).json()["error"] == "invalid_grant"
    answer = app.oauth.introspect_token(f"{auth.url}/oauth2/introspect", third["access_token"])
    assert answer.json() == {"active": False}


def test_public_client_renews_without_saying_who_it_is_and_no_other_does(auth: Auth) -> None:
    browser, _ = signed_in(auth)
    for secret, status in ((False, 200), (True, 400)):
        app = App(auth, secret=secret)
        token = app.redeem(app.authorize(browser))["refresh_token"]
        form = {"grant_type": "refresh_token", "refresh_token": token}
        answer = httpx.post(f"{auth.url}/oauth2/token", data=form)
        assert (answer.status_code == 200) is (status == 200), answer.text
    unknown = {"grant_type": "refresh_token", "refresh_token": "made-up"}
    assert httpx.post(f"{auth.url}/oauth2/token", data=unknown).status_code in (400, 401)


# Authorization requests


@pytest.mark.parametrize("prompt", ["none", ""])
def test_hint_of_somebody_else_or_rubbish_gives_no_code(auth: Auth, prompt: str) -> None:
    app = App(auth, "openid", trusted=True)
    browser, _ = signed_in(auth)
    other, _ = signed_in(auth)
    others = app.redeem(app.authorize(other))
    own = app.redeem(app.authorize(browser))
    for hint in (others["id_token"], own["access_token"], "rubbish", "a.b.c"):
        answer = browser.get(app.url(prompt=prompt, id_token_hint=hint))
        assert parameters(answer.headers["location"])["error"] == "login_required"
    location = browser.get(app.url(prompt=prompt, id_token_hint=own["id_token"])).headers[
        "location"
    ]
    assert "code" in parameters(location)


@pytest.mark.parametrize(
    ("registered", "asked", "fine"),
    [
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", True),
        ("http://127.0.0.1:8000/cb", "http://127.0.0.1:9/cb", True),
        ("http://[::1]/cb", "http://[::1]:50000/cb", True),
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/other", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb?x=1", False),
        ("http://127.0.0.1/cb", "https://127.0.0.1:49152/cb", False),
        ("http://127.0.0.1/cb", "http://[::1]:49152/cb", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152@evil.example/cb", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb", False),
        ("http://localhost:8000/cb", "http://localhost:9000/cb", False),
        ("https://app.example/cb", "https://app.example:8443/cb", False),
    ],
)
def test_port_of_a_loopback_address_is_free_and_nothing_else(
    auth: Auth, registered: str, asked: str, fine: bool
) -> None:
    client = auth.client("openid", grant_types=("authorization_code",), redirect_uris=(registered,))
    values = {
        "response_type": "code",
        "client_id": client[0],
        "redirect_uri": asked,
        "scope": "openid",
        "code_challenge": "a" * 43,
        "code_challenge_method": "S256",
    }
    answer = httpx.get(f"{auth.url}/oauth2/authorize", params=values)
    assert (answer.status_code == 303) is fine


# Client authentication


def test_secret_in_the_form_is_for_clients_that_were_registered_so(auth: Auth) -> None:
    form = {"grant_type": "client_credentials"}
    for method, by_form, by_header in (
        ("client_secret_post", 200, 401),
        ("client_secret_basic", 401, 200),
    ):
        client = auth.client("system/*.rs", auth_method=method)
        sent = {**form, "client_id": client[0], "client_secret": client[1]}
        assert httpx.post(f"{auth.url}/oauth2/token", data=sent).status_code == by_form
        answer = httpx.post(f"{auth.url}/oauth2/token", data=form, auth=client)
        assert answer.status_code == by_header
        assert httpx.post(f"{auth.url}/oauth2/token", data=sent, auth=client).status_code == 400


@pytest.fixture
def listener() -> Any:
    yield from listening()


KEYS: dict[str, Any] = {
    "ES384": ECKey.generate_key("P-384", {"kid": "c-1", "use": "sig"}),
    "RS384": RSAKey.generate_key(2048, {"kid": "c-1", "use": "sig"}),
}


@pytest.mark.parametrize("alg", KEYS)
def test_keys_are_fetched_from_the_clients_address_once(
    auth: Auth, listener: Listener, alg: str
) -> None:
    listener.answer = {"keys": [KEYS[alg].as_dict(private=False)]}
    client_id, _ = auth.client(
        "system/*.rs", auth_method="private_key_jwt", jwks_uri=f"{listener.url}/jwks"
    )
    for _ in range(3):
        answer = send_assertion(auth, assertion(auth, client_id, KEYS[alg], alg))
        assert answer.status_code == 200, answer.text
    assert [path for path, _ in listener.requests] == ["/jwks"]
    forged = RSAKey.generate_key(2048) if alg == "RS384" else ECKey.generate_key("P-384")
    assert send_assertion(auth, assertion(auth, client_id, forged, alg)).status_code >= 400


def test_keys_of_an_address_that_does_not_answer_are_asked_for_at_a_bounded_rate(
    auth: Auth, listener: Listener
) -> None:
    listener.status = 500
    client_id, _ = auth.client(
        "system/*.rs", auth_method="private_key_jwt", jwks_uri=f"{listener.url}/jwks"
    )
    made = [assertion(auth, client_id, KEYS["ES384"], "ES384") for _ in range(5)]
    assert {send_assertion(auth, one).json()["error"] for one in made} == {"invalid_client"}
    assert len(listener.requests) == 1


# Revocation and introspection


def test_unknown_hint_is_ignored(auth: Auth) -> None:
    app = App(auth)
    token = app.redeem(app.authorize(signed_in(auth)[0]))["access_token"]
    form = {"token": token, "token_type_hint": "foo"}
    url = f"{auth.url}/oauth2"
    assert httpx.post(f"{url}/introspect", auth=app.client, data=form).json()["active"]
    assert httpx.post(f"{url}/revoke", auth=app.client, data=form).status_code == 200
    assert not httpx.post(f"{url}/introspect", auth=app.client, data=form).json()["active"]


# Logout

GOODBYE = "https://app.example/goodbye"


def logout_query(app: App, **changes: str) -> dict[str, str]:
    values = {
        "client_id": app.client[0],
        "post_logout_redirect_uri": GOODBYE,
        "state": "my csrf state",
    }
    return {**values, **changes}


def test_logout_without_a_hint_asks_and_then_goes_to_the_registered_address(auth: Auth) -> None:
    app = App(auth, post_logout_redirect_uris=(GOODBYE,))
    browser, _ = signed_in(auth)
    page = browser.get(f"/oauth2/logout?{httpx.QueryParams(logout_query(app))}")
    assert "Sign out?" in page.text and "Your account" in browser.get("/oauth2/account").text
    gone = browser.send(page)
    location = gone.headers["location"]
    assert location.startswith(GOODBYE) and parameters(location)["state"] == "my csrf state"
    assert "Sign in" in browser.get("/oauth2/account").text
    again = browser.get(f"/oauth2/logout?{httpx.QueryParams(logout_query(app))}")
    assert again.headers["location"].startswith(GOODBYE), "nobody is signed in: nothing to ask"


def test_logout_by_post_works_as_by_get(auth: Auth) -> None:
    app = App(auth, "openid", trusted=True, post_logout_redirect_uris=(GOODBYE,))
    browser, _ = signed_in(auth)
    hint = app.redeem(app.authorize(browser))["id_token"]
    answer = browser.http.post("/oauth2/logout", data=logout_query(app, id_token_hint=hint))
    assert answer.status_code == 303
    gone = browser.get(answer.headers["location"])
    assert gone.headers["location"].startswith(GOODBYE)
    assert "Sign in" in browser.get("/oauth2/account").text


@pytest.mark.parametrize(
    "changes",
    [
        {"post_logout_redirect_uri": "https://evil.example/"},
        {"client_id": "nobody"},
        {"post_logout_redirect_uri": GOODBYE + "/x"},
    ],
)
def test_logout_goes_to_no_address_that_is_not_registered(
    auth: Auth, changes: dict[str, str]
) -> None:
    app = App(auth, post_logout_redirect_uris=(GOODBYE,))
    answer = Browser(auth).get(f"/oauth2/logout?{httpx.QueryParams(logout_query(app, **changes))}")
    assert not answer.is_redirect


@pytest.mark.parametrize("ended_by", ["logout", "changed password"])
def test_applications_are_told_that_the_session_ended(
    auth: Auth, listener: Listener, ended_by: str
) -> None:
    app = App(auth, "openid", trusted=True, backchannel_logout_uri=f"{listener.url}/logout")
    browser, user = signed_in(auth)
    id_token = decode(auth, app.redeem(app.authorize(browser))["id_token"]).claims
    if ended_by == "logout":
        browser.send(browser.get("/oauth2/account"))
    else:
        page = browser.get("/oauth2/password")
        browser.send(page, password="correct horse battery", new_password="a quite new phrase 9")
    deadline = time.monotonic() + 20
    while not listener.requests and time.monotonic() < deadline:
        threading.Event().wait(0.2)
    ((path, form),) = listener.requests
    token = decode(auth, form["logout_token"])
    assert path == "/logout" and token.header["typ"] == "logout+jwt"
    claims = token.claims
    assert (claims["sub"], claims["sid"], claims["aud"]) == (
        user.id,
        id_token["sid"],
        app.client[0],
    )
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert "nonce" not in claims and claims["exp"] - claims["iat"] == 120
    headers = {"Authorization": f"Bearer {form['logout_token']}"}
    assert httpx.get(f"{auth.url}/oauth2/userinfo", headers=headers).status_code == 401
    assert not auth.sql("SELECT 1 FROM logout_notices WHERE client_id = $1", app.client[0])


def test_notice_that_was_not_taken_is_repeated(auth: Auth, listener: Listener) -> None:
    listener.status = 503
    app = App(auth, "openid", trusted=True, backchannel_logout_uri=f"{listener.url}/logout")
    browser, _ = signed_in(auth)
    app.redeem(app.authorize(browser))
    browser.send(browser.get("/oauth2/account"))
    listener.wait_for(1)
    (row,) = auth.sql(
        "SELECT due_at > now() + interval '10 seconds' AS put_off FROM logout_notices "
        "WHERE client_id = $1",
        app.client[0],
    )
    assert row["put_off"], "no other replica sends it at the same time"
    listener.status = 200
    auth.sql("UPDATE logout_notices SET due_at = now() WHERE client_id = $1", app.client[0])
    listener.wait_for(2)
    first, second = (form["logout_token"] for _, form in listener.requests)
    assert first != second


# What the gateway asks


def test_origins_of_registered_addresses_are_for_services_alone(auth: Auth) -> None:
    auth.client(
        "openid",
        grant_types=("authorization_code",),
        redirect_uris=("https://Spa.example:8443/cb", "com.example.app:/cb", "http://127.0.0.1/x"),
    )
    url = f"{auth.url}/oauth2/origins"
    assert httpx.get(url).status_code == 401
    service = ("service-gateway", SERVICE_SECRET)
    token = auth.token_for(service, audience="auth").json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.get(url, headers=headers)
    found = answer.json()["origins"]
    assert {"https://spa.example:8443", "http://127.0.0.1"} <= set(found)
    assert all(origin.startswith(("https://", "http://")) for origin in found)
    headers["If-None-Match"] = answer.headers["etag"]
    assert httpx.get(url, headers=headers).status_code == 304
    auth.sql(
        "UPDATE clients SET disabled_at = now() WHERE 'https://Spa.example:8443/cb' = "
        "ANY(redirect_uris)"
    )
    found = httpx.get(url, headers=headers).json()["origins"]
    assert "https://spa.example:8443" not in found


def test_id_token_says_which_session_it_is_of(auth: Auth) -> None:
    app = App(auth, "openid", trusted=True)
    browser, _ = signed_in(auth)
    sids = {
        decode(auth, app.redeem(app.authorize(browser))["id_token"]).claims["sid"] for _ in "ab"
    }
    assert len(sids) == 1
