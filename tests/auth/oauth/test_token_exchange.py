"""Token exchange (RFC 8693)."""

import time
from typing import Any

import asyncpg
import httpx
import pytest

from apps.auth.keys import select_key_ring
from apps.auth.oauth.tokens import sign
from tests.auth.browser import App, signed_in
from tests.auth.conftest import Auth, run
from tests.auth.oauth.test_bound_tokens import Holder, redeem
from tests.auth.oauth.test_tokens import decode

pytestmark = pytest.mark.integration

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


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
