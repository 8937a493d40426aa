"""Administrators find, unlock and delete users, change and delete clients, replace secrets,
read the audit.
"""

from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.auth.browser import App, Browser
from tests.auth.conftest import PASSWORD, Auth
from tests.auth.pages.test_own_account import mails

pytestmark = pytest.mark.integration
CLIENT = {
    "name": "Laboratory",
    "grantTypes": ["client_credentials"],
    "scopes": ["system/Observation.crus"],
}


@pytest.fixture
def admin(auth: Auth) -> httpx.Client:
    return client_of(auth, "admin")


def client_of(auth: Auth, *roles: str, **changes: Any) -> httpx.Client:
    token = auth.login(auth.user(*roles, **changes).email).json()["token"]
    return auth.opened(
        httpx.Client(base_url=auth.url, headers={"Authorization": f"Bearer {token}"})
    )


def test_invited_person_gets_the_link_by_mail(auth: Auth, admin: httpx.Client) -> None:
    body = {"email": "invited@example.org", "roles": ["clinician"], "invite": True}
    made = admin.post("/auth/v1/users", json=body)
    assert made.status_code == 201 and "passwordLink" not in made.json()
    (mail,) = mails(auth, "invited@example.org")
    link = next(word for word in mail["body"].split() if word.startswith("http"))
    browser = Browser(auth)
    browser.send(browser.get(link), new_password=PASSWORD)
    assert "Your account" in browser.sign_in("invited@example.org").text


def test_users_are_found_by_address_and_name_page_by_page(auth: Auth, admin: httpx.Client) -> None:
    for number in range(3):
        auth.user("clinician", email=f"quine-{number}@example.org", name=f"Willard {number}")
    found = admin.get("/auth/v1/users", params={"q": "QUINE-", "limit": 2}).json()
    rest = admin.get(
        "/auth/v1/users", params={"q": "quine-", "limit": 2, "cursor": found["next"]}
    ).json()
    emails = [user["email"] for user in (*found["items"], *rest["items"])]
    assert emails == [f"quine-{number}@example.org" for number in range(3)] and "next" not in rest
    by_name = admin.get("/auth/v1/users", params={"q": "willard 1"}).json()["items"]
    assert [user["name"] for user in by_name] == ["Willard 1"]
    assert admin.get("/auth/v1/users", params={"q": "x" * 201}).status_code == 400


def test_locked_out_person_is_unlocked(auth: Auth, admin: httpx.Client) -> None:
    user = auth.user("clinician")
    address = "192.0.2.77"
    for _ in range(6):
        auth.login(user.email, "wrong", address)
    assert auth.login(user.email, PASSWORD, address).status_code == 429
    assert admin.post(f"/auth/v1/users/{user.id}/unlock").status_code == 204
    assert auth.login(user.email, PASSWORD, address).status_code == 200


def test_deleted_user_is_gone_and_the_audit_stays(auth: Auth, admin: httpx.Client) -> None:
    person = auth.user("clinician")
    auth.login(person.email)
    assert admin.delete(f"/auth/v1/users/{person.id}").status_code == 204
    assert admin.get(f"/auth/v1/users/{person.id}").status_code == 404
    assert auth.login(person.email).status_code == 401
    # Every verifier reads that within 15 seconds.
    assert auth.sql("SELECT 1 FROM revocations WHERE kind = 'subject' AND id = $1", person.id)
    events = admin.get("/auth/v1/audit", params={"subject": person.id}).json()["items"]
    assert {"user_deleted", "sign_in"} <= {event["event"] for event in events}
    assert admin.delete(f"/auth/v1/users/{person.id}").status_code == 404


def test_administrator_does_not_delete_the_own_account(auth: Auth) -> None:
    me = auth.user("admin")
    headers = {"Authorization": f"Bearer {auth.login(me.email).json()['token']}"}
    answer = httpx.delete(f"{auth.url}/auth/v1/users/{me.id}", headers=headers)
    assert answer.status_code == 422 and answer.json()["code"] == "own_account"


def test_all_sessions_of_a_user_are_listed_and_ended(auth: Auth, admin: httpx.Client) -> None:
    user = auth.user("clinician")
    browser = Browser(auth)
    browser.sign_in(user.email)
    listed = admin.get(f"/auth/v1/users/{user.id}/sessions").json()["items"]
    assert len(listed) == 1
    assert admin.delete(f"/auth/v1/users/{user.id}/sessions").status_code == 204
    assert "Sign in" in browser.get("/oauth2/account").text


def test_clients_are_found_by_id_and_name(admin: httpx.Client) -> None:
    body = {
        "name": "Growth Charts",
        "grantTypes": ["client_credentials"],
        "scopes": ["system/Patient.rs"],
    }
    made = admin.post("/auth/v1/clients", json=body)
    assert made.status_code == 201, made.text
    for text in ("growth ch", made.json()["id"].upper()):
        (found,) = admin.get("/auth/v1/clients", params={"q": text}).json()["items"]
        assert found["id"] == made.json()["id"]
    assert admin.get("/auth/v1/clients", params={"q": "nobody's"}).json()["items"] == []
    assert admin.get("/auth/v1/clients", params={"q": "x" * 201}).status_code == 400


def test_client_is_changed_and_narrowed_tokens_end(auth: Auth, admin: httpx.Client) -> None:
    made = admin.post("/auth/v1/clients", json=CLIENT).json()
    path = f"/auth/v1/clients/{made['id']}"

    changed = admin.patch(path, json={"name": "Lab", "scopes": ["system/Observation.rs"]})

    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["scopes"]) == ("Lab", ["system/Observation.rs"])
    assert auth.sql("SELECT 1 FROM revocations WHERE kind = 'client' AND id = $1", made["id"])
    assert admin.patch(path, json={"authMethod": "none"}).status_code == 422
    assert admin.patch(path, json={"scopes": ["banana"]}).status_code == 422
    assert admin.patch(path, json={"name": "x"}, headers={"If-Match": 'W/"1"'}).status_code == 412


def test_deleted_client_gets_no_token(auth: Auth, admin: httpx.Client) -> None:
    made = admin.post("/auth/v1/clients", json=CLIENT).json()
    assert admin.delete(f"/auth/v1/clients/{made['id']}").status_code == 204
    assert auth.token_for((made["id"], made["secret"])).status_code == 401
    assert admin.get(f"/auth/v1/clients/{made['id']}").status_code == 404
    assert admin.delete("/auth/v1/clients/service-patient").status_code == 409


def test_two_secrets_work_while_one_is_replaced(auth: Auth, admin: httpx.Client) -> None:
    made = admin.post("/auth/v1/clients", json=CLIENT).json()
    path = f"/auth/v1/clients/{made['id']}/secret"
    second = admin.post(path, json={"overlapSeconds": 3600}).json()["secret"]
    assert auth.token_for((made["id"], made["secret"])).status_code == 200
    assert auth.token_for((made["id"], second)).status_code == 200

    auth.sql(
        "UPDATE clients SET previous_secret_expires_at = now() - interval '1 second' WHERE id = $1",
        made["id"],
    )
    assert auth.token_for((made["id"], made["secret"])).status_code == 401

    third = admin.post(path).json()["secret"]
    assert auth.token_for((made["id"], second)).status_code == 401
    assert auth.token_for((made["id"], third)).status_code == 200
    assert admin.post(path, json={"overlapSeconds": 10**9}).status_code == 422


def test_audit_is_filtered_and_paged(auth: Auth, admin: httpx.Client) -> None:
    user = auth.user("clinician")
    for _ in range(3):
        auth.login(user.email)
    query: dict[str, Any] = {"subject": user.id, "event": "sign_in", "limit": 2}
    first = admin.get("/auth/v1/audit", params=query).json()
    second = admin.get("/auth/v1/audit", params={**query, "cursor": first["next"]}).json()
    times = [event["occurredAt"] for event in (*first["items"], *second["items"])]
    assert len(times) == 3 and times == sorted(times, reverse=True)
    assert admin.get("/auth/v1/audit", params={"until": "2000-01-01T00:00:00Z"}).json() == {
        "items": []
    }
    for bad in ({"since": "yesterday"}, {"color": "red"}, {"cursor": "AAAA"}, {"event": "\0"}):
        assert admin.get("/auth/v1/audit", params=bad).status_code == 400


def test_person_sees_and_ends_the_own_sessions_and_consents(auth: Auth) -> None:
    user = auth.user("clinician")
    browser = Browser(auth)
    own = App(auth, "openid", "account", trusted=True)
    token = own.redeem(own.authorize_as(browser, user.email))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    me = auth.opened(httpx.Client(base_url=auth.url, headers=headers))
    app = App(auth)
    app.authorize(browser)

    assert me.get("/auth/v1/me").json()["email"] == user.email
    (consent,) = me.get("/auth/v1/me/consents").json()["items"]
    assert consent["clientId"] == app.client[0]
    assert me.delete(f"/auth/v1/me/consents/{app.client[0]}").status_code == 204
    assert me.delete(f"/auth/v1/me/consents/{app.client[0]}").status_code == 404
    (session,) = me.get("/auth/v1/me/sessions").json()["items"]
    assert me.delete("/auth/v1/me/sessions/unknown").status_code == 404
    assert me.delete(f"/auth/v1/me/sessions/{session['id']}").status_code == 204
    assert "Sign in" in browser.get("/oauth2/account").text


def test_person_ends_all_the_own_sessions(auth: Auth) -> None:
    user = auth.user("clinician")
    app, one, other = App(auth, "account", trusted=True), Browser(auth), Browser(auth)
    other.sign_in(user.email)
    token = app.redeem(app.authorize_as(one, user.email))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.delete(f"{auth.url}/auth/v1/me/sessions", headers=headers).status_code == 204
    for browser in (one, other):
        assert "Sign in" in browser.get("/oauth2/account").text


def test_client_has_no_account_of_its_own(auth: Auth) -> None:
    client = auth.client("system/Patient.rs")
    token = auth.token_for(client).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.get(f"{auth.url}/auth/v1/me", headers=headers)
    assert answer.status_code == 403


ODD_IDS = (
    "urn:uuid:7d9f1c1e-1111-7000-8000-000000000000",
    "{7d9f1c1e-1111-7000-8000-000000000000}",
    "7d9f1c1e111170008000000000000000",
    "----7d9f1c1e111170008000000000000000",
    "7d9f1c1e-1111-7000-8000-00000000000g",
)


@pytest.mark.parametrize("text", ODD_IDS)
def test_id_in_another_form_is_nobodys(auth: Auth, admin: httpx.Client, text: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        body: Any = {} if method == "PATCH" else None
        answer = admin.request(method, f"/auth/v1/users/{quote(text)}", json=body)
        assert answer.status_code == 404
    assert admin.get("/auth/v1/names", params={"id": text}).json() == {"items": []}
    cursor = urlsafe_b64encode(text.encode()).decode()
    for path in ("/auth/v1/users", "/auth/v1/audit"):
        answer = admin.get(path, params={"cursor": cursor})
        assert answer.json()["code"] == "invalid_cursor"


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_time_beyond_the_calendar_is_refused(admin: httpx.Client, since: str) -> None:
    answer = admin.get("/auth/v1/audit", params={"since": since})
    assert answer.status_code == 400 and answer.json()["errors"][0]["code"] == "invalid_time"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/v1/users", {"email": "gone@example.org", "roles": ["clinician"]}),
        ("/auth/v1/clients", CLIENT),
    ],
)
def test_creation_is_not_repeated_for_what_was_deleted_since(
    admin: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    headers = {"Idempotency-Key": f"deleted {path}"}
    made = admin.post(path, json=body, headers=headers).json()["id"]
    assert admin.delete(f"{path}/{made}").status_code == 204
    answer = admin.post(path, json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "deleted_since")


def test_session_of_an_odd_name_is_not_found(auth: Auth) -> None:
    app, browser = App(auth, "account", trusted=True), Browser(auth)
    location = app.authorize_as(browser, auth.user("clinician").email)
    headers = {"Authorization": f"Bearer {app.redeem(location)['access_token']}"}
    for name in ("%00", "%ED%A0%80", "x"):
        for what in ("sessions", "consents"):
            answer = httpx.delete(f"{auth.url}/auth/v1/me/{what}/{name}", headers=headers)
            assert answer.status_code == 404


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"name": "Ada"}, False),
        ({"practitionerId": "p7"}, True),
        ({"roles": ["clinician", "analyst"]}, True),
        ({"disabled": True}, True),
    ],
    ids=str,
)
def test_change_of_who_somebody_is_ends_what_they_hold(
    auth: Auth, admin: httpx.Client, change: dict[str, Any], ends: bool
) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    assert admin.patch(f"/auth/v1/users/{user.id}", json=change).status_code == 200
    assert ("Sign in" in browser.get("/oauth2/account").text) is ends
