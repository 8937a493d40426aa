"""Users and clients: `/auth/v1/*`, for administrators."""

import base64
from typing import Any

import httpx
import pytest
from joserfc.jwk import OctKey, RSAKey

from tests.auth.browser import Browser
from tests.auth.conftest import PASSWORD, Auth

pytestmark = pytest.mark.integration


@pytest.fixture
def admin(auth: Auth) -> httpx.Client:
    token = auth.login(auth.user("admin").email).json()["token"]
    return auth.opened(
        httpx.Client(base_url=auth.url, headers={"Authorization": f"Bearer {token}"})
    )


def test_administrator_makes_a_user_who_sets_a_password_by_the_link(
    auth: Auth, admin: httpx.Client
) -> None:
    body = {"email": "grace@example.org", "name": "Grace", "roles": ["clinician"]}
    made = admin.post("/auth/v1/users", json=body)
    assert made.status_code == 201 and made.headers["etag"] == 'W/"1"'
    user = made.json()
    assert made.headers["location"] == f"/auth/v1/users/{user['id']}"
    browser = Browser(auth)
    browser.send(browser.get(user["passwordLink"]), new_password=PASSWORD)
    assert "Your account" in browser.sign_in("grace@example.org").text
    read = admin.get(made.headers["location"]).json()
    assert read == {name: value for name, value in user.items() if name != "passwordLink"}
    assert (
        admin.post("/auth/v1/users", json={**body, "email": "GRACE@example.org"}).status_code == 409
    )
    audited = auth.sql(
        "SELECT actor_id FROM audit WHERE event = 'user_created' AND subject = $1", user["id"]
    )
    assert audited and audited[0]["actor_id"] != user["id"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/email"),
        ({"email": "x", "roles": ["admin"]}, "/email"),
        ({"email": "a@b.c\0", "roles": ["admin"]}, "/email"),
        ({"email": "a@b.c", "roles": []}, "/roles"),
        ({"email": "a@b.c", "roles": ["root"]}, "/roles"),
        ({"email": "a@b.c", "roles": [["admin"]]}, "/roles"),
        ({"email": "a@b.c", "roles": "admin"}, "/roles"),
        ({"email": "a@b.c", "roles": ["patient"]}, "/patientId"),
        ({"email": "a@b.c", "roles": ["admin"], "patientId": "p-1"}, "/patientId"),
        ({"email": "a@b.c", "roles": ["patient"], "patientId": "../x"}, "/patientId"),
        ({"email": "a@b.c", "roles": ["admin"], "name": "x\n"}, "/name"),
        ({"email": "a@b.c", "roles": ["admin"], "password": "x"}, "/password"),
    ],
)
def test_bad_user_is_refused_by_field(
    admin: httpx.Client, body: dict[str, Any], pointer: str
) -> None:
    answer = admin.post("/auth/v1/users", json=body)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


def test_disabled_user_loses_everything_and_gets_it_back_enabled(
    auth: Auth, admin: httpx.Client
) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    url = f"/auth/v1/users/{user.id}"
    assert admin.patch(url, json={"disabled": True}).json()["disabled"]
    assert (
        "Sign in" in browser.get("/oauth2/account").text
        and auth.login(user.email).status_code == 401
    )
    assert auth.sql("SELECT 1 FROM revocations WHERE kind = 'subject' AND id = $1", user.id)
    admin.patch(url, json={"disabled": False})
    assert auth.login(user.email).status_code == 200


def test_stale_change_is_refused(auth: Auth, admin: httpx.Client) -> None:
    url = f"/auth/v1/users/{auth.user('clinician').id}"
    assert (
        admin.patch(url, json={"name": "A"}, headers={"If-Match": 'W/"1"'}).headers["etag"]
        == 'W/"2"'
    )
    assert admin.patch(url, json={"name": "B"}, headers={"If-Match": 'W/"1"'}).status_code == 412
    assert admin.delete(url, headers={"If-Match": 'W/"1"'}).status_code == 412
    assert admin.delete(url, headers={"If-Match": 'W/"2"'}).status_code == 204


def test_administrator_does_not_lock_out_themselves(auth: Auth) -> None:
    user = auth.user("admin")
    token = auth.login(user.email).json()["token"]
    for body in ({"disabled": True}, {"roles": ["clinician"]}):
        answer = httpx.patch(
            f"{auth.url}/auth/v1/users/{user.id}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "own_account")


def test_lists_are_paged_to_the_end(auth: Auth, admin: httpx.Client) -> None:
    made = {auth.user("analyst").id for _ in range(3)}
    for path in ("/auth/v1/users", "/auth/v1/clients"):
        seen: list[str] = []
        cursor = ""
        while True:
            page = admin.get(path, params={"limit": 2, "cursor": cursor}).json()
            assert len(page["items"]) <= 2
            seen += [item["id"] for item in page["items"]]
            cursor = page.get("next", "")
            if not cursor:
                break
        assert len(seen) == len(set(seen))
        assert path.endswith("clients") or made <= set(seen)
        for bad in ({"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"cursor": "%%%"}):
            assert admin.get(path, params=bad).status_code == 400
    assert (
        admin.get(
            "/auth/v1/users", params={"cursor": base64.urlsafe_b64encode(b"x").decode()}
        ).status_code
        == 400
    )


@pytest.mark.parametrize(
    "path",
    ["/auth/v1/users/x", "/auth/v1/users/%00", "/auth/v1/clients/nobody", "/auth/v1/clients/%00"],
)
def test_unknown_id_is_not_found(admin: httpx.Client, path: str) -> None:
    assert admin.get(path).status_code == 404
    assert admin.patch(path, json={"disabled": True}).status_code == 404


def test_lost_device_is_taken_off_the_account(auth: Auth, admin: httpx.Client) -> None:
    user = auth.user("clinician")
    auth.sql("UPDATE users SET totp_enabled = true, totp_secret = 'x' WHERE id = $1", user.id)
    assert auth.login(user.email).status_code == 403
    assert admin.delete(f"/auth/v1/users/{user.id}/second-factor").status_code == 204
    assert auth.login(user.email).status_code == 200


def test_secret_of_a_new_client_is_told_once_and_can_be_rotated(
    auth: Auth, admin: httpx.Client
) -> None:
    body = {"name": "Reports", "grantTypes": ["client_credentials"], "scopes": ["analytics.read"]}
    made = admin.post("/auth/v1/clients", json=body).json()
    assert auth.token_for((made["id"], made["secret"])).json()["scope"] == "analytics.read"
    assert "secret" not in admin.get(f"/auth/v1/clients/{made['id']}").json()
    secret = admin.post(f"/auth/v1/clients/{made['id']}/secret").json()["secret"]
    assert auth.token_for((made["id"], made["secret"])).status_code == 401
    assert auth.token_for((made["id"], secret)).status_code == 200
    stored = auth.sql("SELECT * FROM clients WHERE id = $1", made["id"])
    assert secret not in str(stored)
    assert admin.patch(f"/auth/v1/clients/{made['id']}", json={"disabled": True}).json()["disabled"]
    assert auth.token_for((made["id"], secret)).status_code == 401


CLIENT = {
    "name": "App",
    "grantTypes": ["authorization_code"],
    "scopes": ["openid"],
    "redirectUris": ["https://a.example/cb"],
}
PRIVATE = RSAKey.generate_key(2048, {"kid": "k", "alg": "RS256"}).as_dict(private=True)
SECRET = OctKey.import_key("s" * 32, {"kid": "k", "alg": "HS256"}).as_dict(private=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"redirectUris": ["http://a.example/cb"]},
        {"redirectUris": ["https://a.example/cb#x"]},
        {"redirectUris": ["https://a.example/*"]},
        {"redirectUris": ["https://user@a.example/"]},
        {"redirectUris": ["javascript:alert(1)"]},
        {"redirectUris": ["data:text/html,x"]},
        {"redirectUris": ["//a.example"]},
        {"redirectUris": ["https://[bad"]},
        {"redirectUris": "https://a.example/cb"},
        {"redirectUris": []},
        {"scopes": ["billing.system"]},
        {"scopes": ["user/*.cuds x"]},
        {"scopes": ["user/Madeup.rs"]},
        {"scopes": [7]},
        {"grantTypes": ["implicit"]},
        {"grantTypes": ["password"]},
        {"authMethod": "none", "grantTypes": ["client_credentials"], "redirectUris": []},
        {"authMethod": "private_key_jwt"},
        {"authMethod": "private_key_jwt", "jwks": {"keys": [PRIVATE]}},
        {"authMethod": "private_key_jwt", "jwks": {"keys": [SECRET]}},
        {"authMethod": "private_key_jwt", "jwks": []},
        {"audiences": ["billing"]},
        {"name": ""},
    ],
)
def test_unsafe_client_is_refused(admin: httpx.Client, changes: dict[str, Any]) -> None:
    assert admin.post("/auth/v1/clients", json={**CLIENT, **changes}).status_code == 422


@pytest.mark.parametrize(
    "uri", ["https://a.example/cb", "http://127.0.0.1:7777/cb", "org.example.app:/cb"]
)
def test_safe_client_is_taken(admin: httpx.Client, uri: str) -> None:
    assert (
        admin.post(
            "/auth/v1/clients", json={**CLIENT, "authMethod": "none", "redirectUris": [uri]}
        ).status_code
        == 201
    )


def test_services_own_clients_are_not_administered_here(admin: httpx.Client) -> None:
    assert (
        admin.patch("/auth/v1/clients/service-billing", json={"disabled": True}).status_code == 409
    )
    assert admin.post("/auth/v1/clients/service-billing/secret").status_code == 409
