"""What the OpenID conformance suite sends in its plans of RP-initiated and back-channel logout, one
test a module.
"""

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from joserfc import jws
from joserfc.jwk import RSAKey

from tests.auth.browser import App, Browser, parameters
from tests.auth.conftest import Auth
from tests.auth.listening import Listener, listening
from tests.auth.oauth.test_tokens import decode

pytestmark = pytest.mark.integration

GOODBYE = "https://app.example/post_logout_redirect"


@pytest.fixture
def listener() -> Iterator[Listener]:
    yield from listening()


def signed_in(auth: Auth, **changes: Any) -> tuple[App, Browser, str]:
    """An application, the browser of a person who signed in there, and the id token."""
    app = App(auth, trusted=True, post_logout_redirect_uris=(GOODBYE,), **changes)
    browser = Browser(auth)
    token = app.redeem(app.authorize_as(browser, auth.user("clinician").email))
    return app, browser, token["id_token"]


def log_out(browser: Browser, **query: str) -> httpx.Response:
    return browser.get(f"/oauth2/logout?{httpx.QueryParams(query)}")


def error_of_prompt_none(app: App, browser: Browser) -> str | None:
    return parameters(browser.get(app.url(prompt="none")).headers["location"]).get("error")


def test_discovery_names_logout(auth: Auth) -> None:
    document = httpx.get(f"{auth.url}/.well-known/openid-configuration").json()
    assert document["end_session_endpoint"] == f"{auth.url}/oauth2/logout"
    assert document["backchannel_logout_supported"] is True
    assert document["backchannel_logout_session_supported"] is True
    assert "frontchannel_logout_supported" not in document
    assert "check_session_iframe" not in document


@pytest.mark.parametrize("state", [{"state": "s" * 128}, {}])
def test_after_a_logout_nobody_is_signed_in(auth: Auth, state: dict[str, str]) -> None:
    app, browser, hint = signed_in(auth)
    assert error_of_prompt_none(app, browser) is None
    gone = log_out(browser, id_token_hint=hint, post_logout_redirect_uri=GOODBYE, **state)
    location = gone.headers["location"]
    assert location.partition("?")[0] == GOODBYE and parameters(location) == state
    assert error_of_prompt_none(app, browser) == "login_required"


@pytest.mark.parametrize(
    "query", [{}, {"state": "x"}, {"id_token_hint": "own", "state": "x"}], ids=lambda q: "-".join(q)
)
def test_logout_without_an_address_ends_on_a_page_of_ours(
    auth: Auth, query: dict[str, str]
) -> None:
    app, browser, hint = signed_in(auth)
    page = log_out(browser, **{**query, **({"id_token_hint": hint} if len(query) == 2 else {})})
    if "id_token_hint" not in query:
        assert "Sign out?" in page.text
        page = browser.send(page)
    assert "You are signed out" in page.text and not page.is_redirect
    assert error_of_prompt_none(app, browser) == "login_required"


@pytest.mark.parametrize(
    "address",
    [GOODBYE + "?foo=bar", GOODBYE + "/x", "https://app.example/callback", "https://evil.example/"],
)
def test_logout_with_a_hint_goes_to_no_address_that_is_not_registered(
    auth: Auth, address: str
) -> None:
    app, browser, hint = signed_in(auth)
    page = log_out(browser, id_token_hint=hint, post_logout_redirect_uri=address, state="s")
    # The person is signed out, as the hint asks for, and stays here.
    assert not page.is_redirect and "You are signed out" in page.text
    assert error_of_prompt_none(app, browser) == "login_required"


def test_logout_without_a_hint_asks_before_it_goes_anywhere(auth: Auth) -> None:
    app, browser, _ = signed_in(auth)
    for client in ({}, {"client_id": app.client[0]}):
        page = log_out(browser, post_logout_redirect_uri=GOODBYE, **client)
        assert not page.is_redirect
        assert error_of_prompt_none(app, browser) is None


def unsigned(token: str) -> str:
    header = urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{header}.{token.split('.')[1]}."


def signed_by_another(token: str) -> str:
    """The same claims and key id, under a key of somebody else."""
    read = jws.extract_compact(token.encode())
    return jws.serialize_compact(read.headers(), read.payload, RSAKey.generate_key(2048))


def with_other_claims(token: str) -> str:
    header, _, signature = token.split(".")
    payload = urlsafe_b64encode(b'{"sub":"somebody"}').decode().rstrip("=")
    return f"{header}.{payload}.{signature}"


@pytest.mark.parametrize("change", [unsigned, signed_by_another, with_other_claims])
def test_hint_that_we_did_not_sign_ends_nothing(auth: Auth, change: Callable[[str], str]) -> None:
    app, browser, hint = signed_in(auth)
    page = log_out(browser, id_token_hint=change(hint), post_logout_redirect_uri=GOODBYE)
    assert page.status_code == 400 and not page.is_redirect
    assert error_of_prompt_none(app, browser) is None


def test_application_is_told_and_then_the_browser_returns_to_it(
    auth: Auth, listener: Listener
) -> None:
    app, browser, hint = signed_in(auth, backchannel_logout_uri=f"{listener.url}/logout")
    gone = log_out(browser, id_token_hint=hint, post_logout_redirect_uri=GOODBYE, state="s")
    assert gone.headers["location"] == f"{GOODBYE}?state=s"
    listener.wait_for(1)
    ((_, form),) = listener.requests
    token, told = decode(auth, form["logout_token"]), decode(auth, hint).claims
    assert (token.claims["sub"], token.claims["sid"]) == (told["sub"], told["sid"])
    assert token.claims["iat"] <= time.time() < token.claims["exp"]
    assert token.claims["jti"] and "nonce" not in token.claims
    assert error_of_prompt_none(app, browser) == "login_required"
