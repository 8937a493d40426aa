"""What is refused stands in the audit, without what somebody typed."""

import asyncio
import secrets
import threading
from typing import Any

import httpx
import pytest

from apps.auth.cleanup import clean_up
from apps.auth.oauth import refusals
from apps.kit.database import DatabaseSettings, open_database
from tests.auth.browser import App, Browser
from tests.auth.conftest import Auth, run

pytestmark = pytest.mark.integration

WAIT_SECONDS = 5.0


class Visitor(Browser):
    """With an address by which the audit's rows are found."""

    def __init__(self, auth: Auth) -> None:
        super().__init__(auth)
        self.address = f"visitor-{secrets.token_hex(8)}"
        self.http.headers["x-forwarded-for"] = self.address


def refusal(auth: Auth, address: str) -> Any:
    """The one row; it may come just after the answer."""
    query = "SELECT * FROM audit WHERE address = $1 AND outcome = 'failure'"
    for _ in range(int(WAIT_SECONDS / 0.05)):
        rows = auth.sql(query, address)
        if rows:
            (row,) = rows
            return row
        threading.Event().wait(0.05)
    raise AssertionError("no refusal was recorded")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"client_id": "somebody@example.org"}, "invalid_client"),
    ],
)
def test_refused_authorization_is_recorded(
    auth: Auth, changes: dict[str, str], reason: str
) -> None:
    app, browser = App(auth, trusted=True), Visitor(auth)
    browser.sign_in(auth.user("registrar").email)
    browser.get(str(httpx.URL(app.url()).copy_merge_params(changes)))
    row = refusal(auth, browser.address)
    assert (row["event"], row["reason"]) == ("authorization", reason)
    assert row["client_id"] == ("" if "client_id" in changes else app.client[0])


def test_answer_does_not_wait_long_for_its_record(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(refusals, "insert_audit", never)
    monkeypatch.setattr(refusals, "RECORD_TIMEOUT_SECONDS", 0.01)
    assert Browser(auth).get("/oauth2/authorize?client_id=nobody").status_code == 400


def test_forged_form_is_recorded(auth: Auth) -> None:
    browser = Visitor(auth)
    browser.http.post("/oauth2/sign-in", data={"email": "a@example.org", "csrf": "0" * 64})
    row = refusal(auth, browser.address)
    assert (row["event"], row["reason"], row["subject"]) == (
        "request",
        "form_expired",
        "/oauth2/sign-in",
    )
    assert row["request_id"]


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/auth/v1/users/somebody", "/auth/v1/users/{id}"),
        ("/oauth2/revocations", "/oauth2/revocations"),
    ],
)
def test_token_that_may_not_do_this_is_recorded_with_its_owner(
    auth: Auth, path: str, route: str
) -> None:
    client, browser = auth.client("system/*.rs"), Visitor(auth)
    token = auth.token_for(client).json()["access_token"]
    assert browser.http.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 403
    row = refusal(auth, browser.address)
    assert (row["reason"], row["subject"], row["actor_id"]) == (
        "insufficient_scope",
        route,
        client[0],
    )


def test_bad_reset_link_is_recorded_without_it(auth: Auth) -> None:
    browser = Visitor(auth)
    assert browser.get("/oauth2/reset?token=guessed-by-somebody").status_code == 404
    row = refusal(auth, browser.address)
    assert (row["event"], row["reason"]) == ("password_reset", "invalid_link")
    assert "guessed" not in str(dict(row))


def test_wrong_code_at_enrolment_is_recorded(auth: Auth) -> None:
    user, browser = auth.user("registrar"), Visitor(auth)
    browser.sign_in(user.email)
    browser.send(browser.enrolment(), code="000000")
    row = refusal(auth, browser.address)
    assert (row["event"], row["reason"], row["subject"]) == (
        "second_factor_enrolled",
        "wrong_code",
        user.id,
    )


def test_unknown_client_is_recorded_by_a_hash_alone(auth: Auth) -> None:
    secret = f"my password {secrets.token_hex(6)}"
    form = {"grant_type": "refresh_token", "client_id": secret, "refresh_token": "x"}
    assert httpx.post(f"{auth.url}/oauth2/token", data=form).status_code == 400
    httpx.get(f"{auth.url}/oauth2/authorize", params={"client_id": secret})
    rows = auth.sql("SELECT * FROM audit ORDER BY occurred_at DESC LIMIT 5")
    assert any(row["client_id"].startswith("unknown:") for row in rows)
    assert secret not in str(rows)


def test_old_entries_of_the_audit_are_forgotten_by_age_and_kind(auth: Auth) -> None:
    mark = secrets.token_hex(6)
    for age, outcome, actor in (
        ("7 years", "success", "someone"),
        ("5 years", "success", "someone"),
        ("100 days", "failure", "someone"),
        ("100 days", "failure", ""),
        ("80 days", "failure", ""),
    ):
        auth.sql(
            "INSERT INTO audit (id, occurred_at, event, outcome, actor_id, request_id) "
            "VALUES (gen_random_uuid(), now() - $1::text::interval, $2, $3, $4, $1)",
            age,
            mark,
            outcome,
            actor,
        )

    async def clean() -> None:
        async with open_database(DatabaseSettings(auth.settings.database.url)) as database:
            await clean_up(database)

    run(clean())
    rows = auth.sql("SELECT request_id, actor_id FROM audit WHERE event = $1", mark)
    assert {(row["request_id"], row["actor_id"]) for row in rows} == {
        ("5 years", "someone"),
        ("100 days", "someone"),
        ("80 days", ""),
    }
