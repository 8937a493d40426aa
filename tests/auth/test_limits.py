"""The longest text and the most items that are taken, and the first that are not."""

import json
import time
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from apps.auth.admin.audit_routes import MAX_FILTER_CHARS
from apps.auth.admin.name_routes import MAX_ID_CHARS, MAX_IDS
from apps.auth.admin.requests import MAX_PAGE_SIZE, MAX_SEARCH_CHARS
from apps.auth.oauth.client_changes import MAX_OVERLAP_SECONDS
from apps.auth.oauth.jwt_parameters import MAX_BRACKETS, MAX_JWT_CHARS, is_acceptable_jwt
from apps.auth.oauth.pushed_requests import MAX_CHARS
from apps.auth.oauth.registration import MAX_ITEMS, MAX_URI_CHARS, is_redirect_uri
from apps.auth.people.roles import TooManyScopesError, split_scopes
from apps.auth.people.user_fields import MAX_NAME_CHARS
from apps.kit.scopes import MAX_SCOPES, MAX_SCOPES_CHARS
from tests.auth.admin.test_accounts import client_of
from tests.auth.browser import App, parameters
from tests.auth.conftest import Auth
from tests.auth.oauth.test_pushed_requests import push

integration = pytest.mark.integration


@pytest.fixture
def admin(auth: Auth) -> httpx.Client:
    return client_of(auth, "admin")


@integration
@pytest.mark.parametrize(
    ("path", "name", "most"),
    [
        ("/auth/v1/audit", "subject", MAX_FILTER_CHARS),
        ("/auth/v1/users", "q", MAX_SEARCH_CHARS),
        ("/auth/v1/clients", "q", MAX_SEARCH_CHARS),
        ("/auth/v1/names", "id", MAX_ID_CHARS),
    ],
)
def test_text_of_a_query_is_bounded(admin: httpx.Client, path: str, name: str, most: int) -> None:
    assert admin.get(path, params={name: "x" * most}).status_code == 200
    assert admin.get(path, params={name: "x" * (most + 1)}).status_code == 400


@integration
def test_times_of_the_audit_have_their_offset(admin: httpx.Client) -> None:
    for name in ("since", "until"):
        for time_, status in (("2026-01-01T00:00:00Z", 200), ("2026-01-01T00:00:00", 400)):
            assert admin.get("/auth/v1/audit", params={name: time_}).status_code == status


@integration
def test_token_without_any_of_the_scopes_that_were_asked_for_is_not_given(auth: Auth) -> None:
    client = auth.client("analytics.read")
    both = auth.token_for(client, scope="analytics.read billing.write")
    assert both.json()["scope"] == "analytics.read"
    refused = auth.token_for(client, scope="billing.write")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")


@integration
def test_page_has_from_one_item_to_a_hundred(auth: Auth, admin: httpx.Client) -> None:
    for limit, status in ((0, 400), (1, 200), (MAX_PAGE_SIZE, 200), (MAX_PAGE_SIZE + 1, 400)):
        assert admin.get("/auth/v1/users", params={"limit": limit}).status_code == status
    name = "Of a page of their own"
    made = sorted(auth.user("analyst", name=name).id for _ in range(3))
    seen: list[list[str]] = []
    query = {"limit": "1", "q": name}
    while True:
        page = admin.get("/auth/v1/users", params=query).json()
        seen.append([item["id"] for item in page["items"]])
        if "next" not in page:
            break
        query["cursor"] = page["next"]
    assert seen == [[id] for id in made]


@integration
def test_names_of_a_hundred_are_asked_for_at_once(admin: httpx.Client) -> None:
    for count, status in ((0, 400), (MAX_IDS, 200), (MAX_IDS + 1, 400)):
        ids = [f"id-{number}" for number in range(count)]
        assert admin.get("/auth/v1/names", params={"id": ids}).status_code == status


@integration
def test_secrets_overlap_for_a_week_at_most(admin: httpx.Client) -> None:
    body = {"name": "Reports", "grantTypes": ["client_credentials"], "scopes": ["analytics.read"]}
    made = admin.post("/auth/v1/clients", json=body).json()
    for seconds, status in (
        (-1, 422),
        (0, 201),
        (MAX_OVERLAP_SECONDS, 201),
        (MAX_OVERLAP_SECONDS + 1, 422),
        (True, 422),
        (1.5, 422),
    ):
        answer = admin.post(
            f"/auth/v1/clients/{made['id']}/secret", json={"overlapSeconds": seconds}
        )
        assert answer.status_code == status, seconds


@integration
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"name": "n" * 200}, 201),
        ({"name": "n" * 201}, 422),
        ({"redirectUris": [f"https://a.example/{n}" for n in range(MAX_ITEMS)]}, 201),
        ({"redirectUris": [f"https://a.example/{n}" for n in range(MAX_ITEMS + 1)]}, 422),
    ],
    ids=["longest name", "longer", "most addresses", "more"],
)
def test_registration_is_bounded(admin: httpx.Client, changes: dict[str, Any], status: int) -> None:
    body = {
        "name": "App",
        "grantTypes": ["authorization_code"],
        "scopes": ["openid"],
        "redirectUris": ["https://a.example/cb"],
    }
    assert admin.post("/auth/v1/clients", json=body | changes).status_code == status


def test_address_of_an_application_has_up_to_500_characters() -> None:
    longest = "https://a.example/".ljust(MAX_URI_CHARS, "x")
    assert is_redirect_uri(longest)
    assert not is_redirect_uri(longest + "x")


@integration
@pytest.mark.parametrize(("more", "status"), [(0, 201), (1, 422)])
def test_name_of_a_person_is_bounded(admin: httpx.Client, more: int, status: int) -> None:
    name = "n" * (MAX_NAME_CHARS + more)
    body = {"email": f"{time.monotonic_ns()}@example.org", "roles": ["analyst"], "name": name}
    assert admin.post("/auth/v1/users", json=body).status_code == status


@integration
def test_pushed_request_is_bounded(auth: Auth) -> None:
    app = App(auth)
    length = len(urlencode(parameters(app.url()) | {"state": ""}))
    assert push(auth, app, state="x" * (MAX_CHARS - length)).status_code == 201
    refused = push(auth, app, state="x" * (MAX_CHARS - length + 1))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


def test_scopes_are_bounded_in_number_and_length() -> None:
    most = [f"s{number}" for number in range(MAX_SCOPES)]
    # One that comes twice counts once.
    assert split_scopes(" ".join([*most, most[0]])) == tuple(most)
    assert split_scopes("x" * MAX_SCOPES_CHARS) == ("x" * MAX_SCOPES_CHARS,)
    for text in (" ".join([*most, "more"]), "x" * (MAX_SCOPES_CHARS + 1)):
        with pytest.raises(TooManyScopesError):
            split_scopes(text)


def segment(content: dict[str, Any]) -> str:
    text = json.dumps(content, separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(("more", "taken"), [(0, True), (1, False)])
def test_token_of_a_request_is_bounded(more: int, taken: bool) -> None:
    token = f"{segment({'alg': 'ES256'})}.{segment({'sub': 'a'})}."
    assert is_acceptable_jwt(token + "A" * (MAX_JWT_CHARS - len(token) + more)) is taken
    nested: dict[str, Any] = {"sub": [[]] * (MAX_BRACKETS - 2 + more)}
    assert is_acceptable_jwt(f"{segment({'alg': 'ES256'})}.{segment(nested)}.AA") is taken
