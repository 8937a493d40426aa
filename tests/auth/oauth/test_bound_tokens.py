"""Tokens that are bound to a key: DPoP (RFC 9449)."""

import time
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from apps.kit.dpop import token_hash
from tests.auth.browser import App, parameters, signed_in
from tests.auth.conftest import Auth
from tests.auth.oauth.test_tokens import decode

pytestmark = pytest.mark.integration


class Holder:
    """A key and the proofs that it signs."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256")
        self.count = 0

    def proof(self, method: str, url: str, token: str | None = None, **changes: Any) -> str:
        self.count += 1
        claims = {"jti": f"j{self.count}", "htm": method, "htu": url, "iat": time.time(), **changes}
        if token:
            claims["ath"] = token_hash(token)
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.as_dict(private=False)}
        return jwt.encode(header, claims, self.key, ["ES256"])


def send_token(auth: Auth, app: App, holder: Holder | None, **form: str) -> httpx.Response:
    url = f"{auth.url}/oauth2/token"
    headers = {"DPoP": holder.proof("POST", url)} if holder else {}
    return httpx.post(url, auth=app.client, data=form, headers=headers)


def redeem(auth: Auth, app: App, location: str, holder: Holder | None) -> httpx.Response:
    return send_token(
        auth,
        app,
        holder,
        grant_type="authorization_code",
        code=parameters(location)["code"],
        redirect_uri=app.callback,
        code_verifier=app.verifier,
    )


def test_bound_token_is_of_use_to_the_holder_of_the_key_alone(auth: Auth) -> None:
    app = App(auth, "openid", "offline_access", trusted=True, dpop_bound=True)
    holder, thief = Holder(), Holder()
    token = redeem(auth, app, app.authorize(signed_in(auth)[0]), holder).json()
    assert token["token_type"] == "DPoP"
    access = token["access_token"]
    claims = decode(auth, access).claims
    assert claims["cnf"] == {"jkt": holder.key.thumbprint()}
    url = f"{auth.url}/oauth2/userinfo"
    good = {"Authorization": f"DPoP {access}", "DPoP": holder.proof("GET", url, access)}
    assert httpx.get(url, headers=good).status_code == 200
    assert httpx.get(url, headers=good).status_code == 401, "a proof is good once"
    for headers in (
        {"Authorization": f"Bearer {access}"},
        {"Authorization": f"Bearer {access}", "DPoP": holder.proof("GET", url, access)},
        {"Authorization": f"DPoP {access}"},
        {"Authorization": f"DPoP {access}", "DPoP": thief.proof("GET", url, access)},
        {"Authorization": f"DPoP {access}", "DPoP": holder.proof("POST", url, access)},
        {"Authorization": f"DPoP {access}", "DPoP": holder.proof("GET", url + "x", access)},
        {"Authorization": f"DPoP {access}", "DPoP": holder.proof("GET", url, "other")},
    ):
        assert httpx.get(url, headers=headers).status_code == 401
    told = app.oauth.introspect_token(f"{auth.url}/oauth2/introspect", access).json()
    assert told["token_type"] == "DPoP" and told["cnf"] == claims["cnf"]

    renew = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    for wrong in (None, thief):
        answer = send_token(auth, app, wrong, **renew)
        assert answer.json()["error"] == "invalid_dpop_proof"
    assert send_token(auth, app, holder, **renew).json()["token_type"] == "DPoP"


def test_client_that_is_registered_for_dpop_gets_no_token_without(auth: Auth) -> None:
    app = App(auth, "openid", trusted=True, dpop_bound=True)
    browser, _ = signed_in(auth)
    answer = redeem(auth, app, app.authorize(browser), None)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")
    unbound = App(auth, "openid", trusted=True)
    assert redeem(auth, unbound, unbound.authorize(browser), None).json()["token_type"] == "Bearer"
    bearer = auth.token_for(auth.client("system/*.rs")).json()["access_token"]
    url = f"{auth.url}/auth/validate"
    proof = Holder().proof("GET", url, bearer)
    headers = {"Authorization": f"DPoP {bearer}", "DPoP": proof}
    assert httpx.get(url, headers=headers).status_code == 401


def test_code_that_names_a_key_is_redeemed_with_that_key_alone(auth: Auth) -> None:
    app, holder = App(auth, "openid", trusted=True), Holder()
    browser, _ = signed_in(auth)
    jkt = holder.key.thumbprint()
    for other in (Holder(), None):
        location = app.authorize(browser, dpop_jkt=jkt)
        assert redeem(auth, app, location, other).json()["error"] == "invalid_dpop_proof"
    assert redeem(auth, app, app.authorize(browser, dpop_jkt=jkt), holder).status_code == 200
    wrong = browser.get(app.url(dpop_jkt="x"))
    assert parameters(wrong.headers["location"])["error"] == "invalid_request"


def test_two_proofs_are_none(auth: Auth) -> None:
    """Each is good by itself: there may not be more than one (RFC 9449, 4.3)."""
    app = App(auth, "openid", trusted=True)
    pushed = {**parameters(app.url()), "redirect_uri": app.callback}
    for path, client, form in (
        ("/oauth2/token", auth.client("system/*.rs"), {"grant_type": "client_credentials"}),
        ("/oauth2/par", app.client, pushed),
    ):
        url = auth.url + path
        proofs = [("DPoP", Holder().proof("POST", url)) for _ in range(2)]
        answer = httpx.post(url, data=form, auth=client, headers=proofs)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")
        answer = httpx.post(url, data=form, auth=client, headers=proofs[:1])
        assert answer.is_success, answer.text


def test_proof_is_used_once_at_the_token_endpoint_too(auth: Auth) -> None:
    client, holder = auth.client("system/*.rs"), Holder()
    url = f"{auth.url}/oauth2/token"
    headers = {"DPoP": holder.proof("POST", url)}
    form = {"grant_type": "client_credentials"}
    answers = [httpx.post(url, auth=client, data=form, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 400]
