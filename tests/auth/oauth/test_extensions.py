"""Pushed requests (RFC 9126), DPoP (RFC 9449), device codes (RFC 8628) and token
exchange (RFC 8693).
"""

import time
from typing import Any

import asyncpg
import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from apps.auth.keys import select_key_ring
from apps.auth.oauth.tokens import sign
from apps.kit.dpop import token_hash
from tests.auth.browser import App, Browser, parameters
from tests.auth.conftest import Auth, run
from tests.auth.oauth.test_tokens import decode

pytestmark = pytest.mark.integration

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def signed_in(auth: Auth, role: str = "clinician", **changes: Any) -> tuple[Browser, Any]:
    user, browser = auth.user(role, **changes), Browser(auth)
    browser.sign_in(user.email)
    return browser, user


# Pushed requests


def push(auth: Auth, app: App, **changes: str) -> httpx.Response:
    values = parameters(app.url()) | changes
    return httpx.post(f"{auth.url}/oauth2/par", auth=app.client, data=values)


def authorize_pushed(auth: Auth, app: App, browser: Browser, request_uri: str) -> httpx.Response:
    query = httpx.QueryParams({"client_id": app.client[0], "request_uri": request_uri})
    return browser.get(f"/oauth2/authorize?{query}")


def test_pushed_request_is_carried_through_sign_in_and_consent_and_used_once(auth: Auth) -> None:
    app, user, browser = App(auth), auth.user("clinician"), Browser(auth)
    pushed = push(auth, app, prompt="login")
    assert pushed.status_code == 201 and pushed.json()["expires_in"] == 600
    request_uri = pushed.json()["request_uri"]
    page = authorize_pushed(auth, app, browser, request_uri)
    assert "https://app.example" in page.headers["content-security-policy"]
    page = browser.sign_in(user.email, page=page)
    location = browser.send(page, decision="allow").headers["location"]
    assert app.redeem(location)["scope"]
    again = authorize_pushed(auth, app, browser, request_uri)
    assert again.status_code == 400 and "request_uri" in again.text


def test_pushed_request_is_of_its_client_and_time_alone(auth: Auth) -> None:
    app, other, browser = App(auth), App(auth), Browser(auth)
    request_uri = push(auth, app).json()["request_uri"]
    assert authorize_pushed(auth, other, browser, request_uri).status_code == 400
    auth.sql("UPDATE pushed_requests SET expires_at = now()")
    assert authorize_pushed(auth, app, browser, request_uri).status_code == 400
    assert authorize_pushed(auth, app, browser, "https://evil.example/request").status_code == 400


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uri": "https://evil.example/cb"}, "invalid_request"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"request_uri": "urn:x"}, "invalid_request"),
        ({"aud": "https://evil.example"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_wrong_request_is_told_to_the_client_that_pushes_it(
    auth: Auth, changes: dict[str, str], error: str
) -> None:
    answer = push(auth, App(auth), **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_only_a_known_client_pushes_and_one_that_must_push_does(auth: Auth) -> None:
    app = App(auth, pushed_requests_only=True)
    values = parameters(app.url())
    wrong = httpx.post(f"{auth.url}/oauth2/par", auth=(app.client[0], "wrong"), data=values)
    assert wrong.status_code == 401
    refused = Browser(auth).get(app.url())
    assert parameters(refused.headers["location"])["error"] == "invalid_request"
    request_uri = push(auth, app).json()["request_uri"]
    assert "Sign in" in authorize_pushed(auth, app, Browser(auth), request_uri).text


# DPoP


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


# Device codes


def device_client(auth: Auth) -> tuple[str, str]:
    return auth.client(
        "openid",
        "offline_access",
        "user/Patient.rs",
        auth_method="none",
        grant_types=(DEVICE_CODE, "refresh_token"),
    )


def begin(auth: Auth, client: tuple[str, str], **changes: str) -> dict[str, Any]:
    form = {"client_id": client[0], "scope": "openid offline_access user/Patient.rs", **changes}
    answer = httpx.post(f"{auth.url}/oauth2/device_authorization", data=form)
    body: dict[str, Any] = answer.json()
    return body


def poll(auth: Auth, client: tuple[str, str], device_code: str) -> dict[str, Any]:
    form = {"grant_type": DEVICE_CODE, "device_code": device_code, "client_id": client[0]}
    body: dict[str, Any] = httpx.post(f"{auth.url}/oauth2/token", data=form).json()
    return body


def test_person_connects_a_device_by_its_code(auth: Auth) -> None:
    client, user, browser = device_client(auth), auth.user("clinician"), Browser(auth)
    begun = begin(auth, client)
    assert begun["verification_uri"] == f"{auth.url}/oauth2/device"
    assert poll(auth, client, begun["device_code"])["error"] == "authorization_pending"
    assert poll(auth, client, begun["device_code"])["error"] == "slow_down"

    page = browser.get(begun["verification_uri_complete"])
    assert "Sign in" in page.text
    page = browser.sign_in(user.email, page=page)
    assert begun["user_code"] in page.text
    page = browser.send(page, user_code=begun["user_code"].lower().replace("-", " "))
    assert "Read and search all records of the kind Patient" in page.text
    assert "connected" in browser.send(page, decision="allow").text
    token = poll(auth, client, begun["device_code"])
    assert decode(auth, token["access_token"]).claims["sub"] == user.id
    assert decode(auth, token["id_token"]).claims["amr"] == ["pwd"]
    assert token["refresh_token"]
    assert poll(auth, client, begun["device_code"])["error"] == "invalid_grant"


def test_device_that_is_refused_or_too_late_gets_nothing(auth: Auth) -> None:
    client = device_client(auth)
    browser, _ = signed_in(auth)
    begun = begin(auth, client)
    page = browser.send(browser.get("/oauth2/device"), user_code=begun["user_code"])
    assert "refused" in browser.send(page, decision="deny").text
    assert poll(auth, client, begun["device_code"])["error"] == "access_denied"
    late = begin(auth, client)
    auth.sql("UPDATE device_codes SET expires_at = now()")
    assert poll(auth, client, late["device_code"])["error"] == "expired_token"
    page = browser.send(browser.get("/oauth2/device"), user_code=late["user_code"])
    assert page.status_code == 400 and "No device" in page.text
    other = device_client(auth)
    assert poll(auth, other, begin(auth, client)["device_code"])["error"] == "unauthorized_client"


def test_guessing_user_codes_gets_slower(auth: Auth) -> None:
    browser, _ = signed_in(auth)
    page = browser.get("/oauth2/device")
    statuses = [browser.send(page, user_code="BCDF-GHJK").status_code for _ in range(8)]
    assert statuses[:4] == [400] * 4 and 429 in statuses


def test_client_that_was_not_registered_for_devices_gets_no_code(auth: Auth) -> None:
    app = App(auth, secret=False)
    assert begin(auth, app.client)["error"] == "unauthorized_client"
    assert begin(auth, ("nobody", ""))["error"] == "invalid_client"


# Token exchange


def exchange(auth: Auth, client: tuple[str, str], token: str, **changes: str) -> httpx.Response:
    form = {
        "grant_type": EXCHANGE,
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN,
        **changes,
    }
    return httpx.post(f"{auth.url}/oauth2/token", auth=client, data=form)


def test_service_acts_for_a_person_with_less_and_no_longer(auth: Auth) -> None:
    service = auth.client("user/Patient.rs", "user/Observation.rs", grant_types=(EXCHANGE,))
    app = App(auth, "openid", "offline_access", "user/*.cruds", trusted=True)
    browser, user = signed_in(auth)
    token = app.redeem(app.authorize(browser))
    answer = exchange(auth, service, token["access_token"], scope="user/Patient.r admin")
    body = answer.json()
    assert body["issued_token_type"] == ACCESS_TOKEN and body["scope"] == "user/Patient.r"
    assert "refresh_token" not in body
    claims, shown = (
        decode(auth, each).claims for each in (body["access_token"], token["access_token"])
    )
    assert claims["sub"] == user.id and claims["client_id"] == service[0]
    assert claims["act"] == {"sub": service[0]}
    assert claims["exp"] <= shown["exp"] and claims["family"] == shown["family"]
    everything = exchange(auth, service, token["access_token"]).json()["scope"]
    assert set(everything.split()) == {"user/Patient.rs", "user/Observation.rs"}

    app.oauth.revoke_token(f"{auth.url}/oauth2/revoke", token["refresh_token"])
    answer = exchange(auth, service, token["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_only_persons_tokens_are_exchanged_and_only_by_registered_clients(auth: Auth) -> None:
    service = auth.client("user/Patient.rs", grant_types=(EXCHANGE,))
    app = App(auth, "user/*.cruds", trusted=True)
    token = app.redeem(app.authorize(signed_in(auth)[0]))["access_token"]
    other = auth.client("user/Patient.rs", "system/*.rs")
    assert exchange(auth, other, token).json()["error"] == "unauthorized_client"
    programs = auth.token_for(other).json()["access_token"]
    for wrong in (programs, "rubbish", "a.b.c", ""):
        assert exchange(auth, service, wrong).json()["error"] == "invalid_grant"
    changes: list[dict[str, str]] = [
        {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"actor_token": "x"},
    ]
    for change in changes:
        assert exchange(auth, service, token, **change).json()["error"] == "invalid_request"
    assert exchange(auth, service, token, scope="admin").json()["error"] == "invalid_scope"


def test_exchanged_token_ends_with_the_one_that_was_shown(auth: Auth) -> None:
    service = auth.client("user/Patient.rs", grant_types=(EXCHANGE,))
    app = App(auth, "user/*.cruds", trusted=True)
    token = app.redeem(app.authorize(signed_in(auth)[0]))["access_token"]
    ends_at = int(time.time()) + 60
    old = signed_by_us(auth, {**decode(auth, token).claims, "exp": ends_at})
    answer = exchange(auth, service, old).json()
    assert decode(auth, answer["access_token"]).claims["exp"] == ends_at
    assert 55 <= answer["expires_in"] <= 60


def signed_by_us(auth: Auth, claims: dict[str, Any]) -> str:
    """An access token with these claims, as if it were older."""

    async def make() -> str:
        connection = await asyncpg.connect(auth.settings.database.url)
        try:
            ring = await select_key_ring(connection, auth.settings.key_encryption_key)
            assert ring is not None
            return sign(ring.active, claims, "at+jwt")
        finally:
            await connection.close()

    return run(make())


def test_bound_token_is_exchanged_with_a_proof_of_its_key_alone(auth: Auth) -> None:
    service = auth.client("user/Patient.rs", grant_types=(EXCHANGE,))
    app = App(auth, "user/*.cruds", trusted=True)
    holder, thief = Holder(), Holder()
    url = f"{auth.url}/oauth2/token"
    browser, _ = signed_in(auth)
    answer = redeem(auth, app, app.authorize(browser), holder)
    token = answer.json()["access_token"]
    form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}

    wrong: list[dict[str, str]] = [{}, {"DPoP": thief.proof("POST", url)}]
    for headers in wrong:
        answer = httpx.post(url, auth=service, data=form, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")

    headers = {"DPoP": holder.proof("POST", url)}
    answer = httpx.post(url, auth=service, data=form, headers=headers)
    assert answer.json()["token_type"] == "DPoP"
    bound_to = decode(auth, answer.json()["access_token"]).claims["cnf"]
    assert bound_to == decode(auth, token).claims["cnf"]


def test_service_that_acts_for_a_person_does_not_stay_connected(auth: Auth) -> None:
    app = App(auth, trusted=True)
    browser, _ = signed_in(auth)
    token = app.redeem(app.authorize(browser))["access_token"]
    service = auth.client("user/Patient.rs", "offline_access", grant_types=(EXCHANGE,))
    body = exchange(auth, service, token).json()
    assert body["scope"] == "user/Patient.rs" and "refresh_token" not in body
