"""`Idempotency-Key` at the administrators' routes: done once, told once, and nothing kept that is
worth stealing.
"""

from typing import Any

import httpx
import pytest

from apps.auth.cleanup import clean_up
from apps.kit.database import DatabaseSettings, open_database
from tests.auth.conftest import Auth, run
from tests.idempotency import in_flight

pytestmark = pytest.mark.integration

WAIT_SECONDS = 10.0
USER = {"email": "once@example.org", "roles": ["analyst"]}
CLIENT = {"name": "Once", "grantTypes": ["client_credentials"], "scopes": ["analytics.read"]}


@pytest.fixture
def admin(auth: Auth) -> httpx.Client:
    token = auth.login(auth.user("admin").email).json()["token"]
    return auth.opened(
        httpx.Client(base_url=auth.url, headers={"Authorization": f"Bearer {token}"})
    )


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


@pytest.mark.parametrize(
    ("path", "body", "secret"),
    [("/auth/v1/users", USER, "passwordLink"), ("/auth/v1/clients", CLIENT, "secret")],
)
def test_same_key_and_body_makes_one_and_tells_its_secret_once(
    auth: Auth, admin: httpx.Client, path: str, body: dict[str, Any], secret: str
) -> None:
    first = admin.post(path, json=body, headers=key("make"))
    again = admin.post(path, json=body, headers=key("make"))
    assert (
        "idempotency-replayed" not in first.headers
        and again.headers["idempotency-replayed"] == "true"
    )
    assert (again.status_code, again.headers["location"], again.headers["etag"]) == (
        first.status_code,
        first.headers["location"],
        first.headers["etag"],
    )
    told = first.json()
    value = told.pop(secret).rpartition("token=")[2]
    assert again.json() == told
    assert (
        admin.post(path, json={**body, "name": "Another"}, headers=key("make")).status_code == 422
    )
    for table in ("idempotency_key", "audit", "clients", "users", "password_resets"):
        rows = auth.sql(f"SELECT to_json(t)::text AS row FROM {table} t")  # noqa: S608
        assert value not in str(rows)
    kept = auth.sql("SELECT to_json(k)::text AS row FROM idempotency_key k WHERE path = $1", path)
    assert "once" not in str(kept).lower()


def test_secret_is_rotated_once(auth: Auth, admin: httpx.Client) -> None:
    client_id, _ = auth.client("analytics.read")
    path = f"/auth/v1/clients/{client_id}/secret"
    secret = admin.post(path, headers={**key("rotate"), "If-Match": 'W/"1"'}).json()["secret"]
    again = admin.post(path, headers={**key("rotate"), "If-Match": 'W/"1"'})
    assert (again.status_code, again.json()["code"]) == (409, "secret_already_told")
    assert auth.token_for((client_id, secret)).status_code == 200
    other = admin.post(path, headers={**key("rotate"), "If-Match": 'W/"2"'})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert admin.post(path, headers=key("rotate-again")).json()["secret"] != secret


def test_link_is_issued_once(auth: Auth, admin: httpx.Client) -> None:
    path = f"/auth/v1/users/{auth.user('analyst').id}/password-link"
    link = admin.post(path, headers=key("link")).json()["passwordLink"]
    again = admin.post(path, headers=key("link"))
    assert (again.status_code, again.json()["code"]) == (409, "secret_already_told")
    assert admin.post(path, json={"other": "body"}, headers=key("link")).status_code == 422
    assert httpx.get(link).status_code == 200, "the first link is still good"
    assert "passwordLink" in admin.post(path, headers=key("another-link")).json()
    elsewhere = f"/auth/v1/users/{auth.user('analyst').id}/password-link"
    assert "passwordLink" in admin.post(elsewhere, headers=key("link")).json()


def test_key_of_a_refused_request_may_be_used_again(auth: Auth, admin: httpx.Client) -> None:
    taken = {"email": auth.user("analyst").email, "roles": ["analyst"]}
    assert (
        admin.post("/auth/v1/users", json=taken, headers=key("refused")).json()["code"]
        == "email_taken"
    )
    free = {**taken, "email": "free@example.org"}
    assert admin.post("/auth/v1/users", json=free, headers=key("refused")).status_code == 201


def test_second_request_while_the_first_is_served_is_told_so(
    auth: Auth, admin: httpx.Client
) -> None:
    user, client = auth.user("analyst"), auth.client("analytics.read")[0]
    admin.post("/auth/v1/clients", json=CLIENT, headers=key("who-am-i"))
    (row,) = auth.sql("SELECT client_id, subject FROM idempotency_key WHERE key = 'who-am-i'")
    requests: dict[str, Any] = {
        "/auth/v1/users": {"email": "flight@example.org", "roles": ["analyst"]},
        "/auth/v1/clients": CLIENT,
        f"/auth/v1/users/{user.id}/password-link": None,
        f"/auth/v1/clients/{client}/secret": None,
    }
    for path, body in requests.items():
        with in_flight(
            auth.settings.database.url, row["client_id"], row["subject"], "POST", path, "flight"
        ):
            answer = admin.post(path, json=body, headers=key("flight"))
            assert (answer.status_code, answer.json()["code"]) == (409, "request_in_flight"), path
        assert admin.post(path, json=body, headers=key("flight")).status_code == 201, path


@pytest.mark.parametrize(
    "path", ["/auth/v1/clients/%00/secret", "/auth/v1/users/%00/password-link"]
)
def test_id_that_cannot_be_is_not_found_with_a_key_too(admin: httpx.Client, path: str) -> None:
    assert admin.post(path, headers=key("nowhere")).status_code == 404


@pytest.mark.parametrize("name", ["", "k" * 256])
def test_key_that_cannot_be_is_refused(admin: httpx.Client, name: str) -> None:
    assert admin.post("/auth/v1/clients", json=CLIENT, headers=key(name)).status_code == 400


def test_key_of_yesterday_is_forgotten(auth: Auth, admin: httpx.Client) -> None:
    first = admin.post("/auth/v1/clients", json=CLIENT, headers=key("today")).json()["id"]
    for name in ("yesterday", "yesterday-cleaned"):
        auth.sql(
            "INSERT INTO idempotency_key SELECT client_id, subject, method, path, $1, body_sha256, "
            "reference, "
            "now() - interval '25 hours' FROM idempotency_key WHERE key = 'today'",
            name,
        )
    assert (
        admin.post("/auth/v1/clients", json=CLIENT, headers=key("yesterday")).json()["id"] != first
    )

    async def clean() -> None:
        async with open_database(DatabaseSettings(auth.settings.database.url)) as database:
            await clean_up(database)

    run(clean())
    kept = {row["key"] for row in auth.sql("SELECT key FROM idempotency_key")}
    assert {"today", "yesterday"} <= kept and "yesterday-cleaned" not in kept
