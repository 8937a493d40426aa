"""How long things are good, told by moving what the database says of them: never a
moment longer.
"""

from typing import Any

import httpx
import pytest

from apps.auth.people import sessions
from apps.auth.people.lockout import FORGET_AFTER_SECONDS, FREE_FAILURES, Attempt
from apps.kit.claims import ACCESS_TOKEN_SECONDS, CLOCK_LEEWAY_SECONDS
from tests.auth.browser import App, Browser, parameters
from tests.auth.conftest import PASSWORD, Auth

pytestmark = pytest.mark.integration


def signed_in(auth: Auth) -> tuple[Browser, Any]:
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    return browser, user


def redeem(auth: Auth, app: App, location: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "code": parameters(location)["code"],
        "redirect_uri": app.callback,
        "code_verifier": app.verifier,
    }
    return httpx.post(f"{auth.url}/oauth2/token", auth=app.client, data=form)


def refresh(auth: Auth, app: App, token: str) -> dict[str, Any]:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    answer = httpx.post(f"{auth.url}/oauth2/token", auth=app.client, data=form)
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize(("age", "fine"), [(58, True), (61, False)])
def test_code_is_good_for_a_minute(auth: Auth, age: int, fine: bool) -> None:
    app = App(auth)
    location = app.authorize(signed_in(auth)[0])
    auth.sql(
        "UPDATE authorization_codes SET expires_at = expires_at - make_interval(secs => $2) "
        "WHERE client_id = $1",
        app.client[0],
        float(age),
    )
    answer = redeem(auth, app, location)
    assert (answer.status_code == 200) is fine
    if not fine:
        assert answer.json()["error"] == "invalid_grant"


def test_grace_of_a_refresh_token_does_not_slide_with_its_use(auth: Auth) -> None:
    app = App(auth)
    first = app.redeem(app.authorize(signed_in(auth)[0]))["refresh_token"]

    def age(seconds: int) -> None:
        auth.sql(
            "UPDATE refresh_tokens SET rotated_at = rotated_at - make_interval(secs => $2) "
            "WHERE client_id = $1",
            app.client[0],
            float(seconds),
        )

    refresh(auth, app, first)
    age(20)
    assert "access_token" in refresh(auth, app, first)
    age(20)
    assert refresh(auth, app, first)["error"] == "invalid_grant"


def test_refresh_tokens_of_a_sign_in_end_together_after_thirty_days(auth: Auth) -> None:
    app = App(auth)
    first = app.redeem(app.authorize(signed_in(auth)[0]))["refresh_token"]
    second = refresh(auth, app, first)["refresh_token"]
    rows = auth.sql(
        "SELECT expires_at, issued_at FROM refresh_tokens WHERE client_id = $1", app.client[0]
    )
    assert len({row["expires_at"] for row in rows}) == 1
    assert (rows[0]["expires_at"] - min(row["issued_at"] for row in rows)).days in (29, 30)
    auth.sql("UPDATE refresh_tokens SET expires_at = now() WHERE client_id = $1", app.client[0])
    assert refresh(auth, app, second)["error"] == "invalid_grant"


@pytest.mark.parametrize("what", ["subject", "client"])
def test_unused_code_ends_with_what_its_subject_or_client_holds(auth: Auth, what: str) -> None:
    app = App(auth)
    browser, user = signed_in(auth)
    location = app.authorize(browser)
    admin = App(auth, "admin", trusted=True)
    by = Browser(auth)
    token = admin.redeem(admin.authorize_as(by, auth.user("admin").email))["access_token"]
    path = f"users/{user.id}" if what == "subject" else f"clients/{app.client[0]}"
    for disabled in (True, False):
        answer = httpx.patch(
            f"{auth.url}/auth/v1/{path}",
            json={"disabled": disabled},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.status_code == 200, answer.text
    assert redeem(auth, app, location).json()["error"] == "invalid_grant"


def test_revocation_is_known_for_as_long_as_any_token_that_it_covers(auth: Auth) -> None:
    app = App(auth)
    token = app.redeem(app.authorize(signed_in(auth)[0]))
    app.oauth.revoke_token(f"{auth.url}/oauth2/revoke", token["refresh_token"])
    (row,) = auth.sql(
        "SELECT extract(epoch FROM revocations.expires_at - not_before)::int AS seconds "
        "FROM revocations JOIN refresh_tokens ON id = family_id::text WHERE client_id = $1",
        app.client[0],
    )
    # One replica's clock may be ahead when it signs, another's behind when it verifies.
    assert row["seconds"] >= ACCESS_TOKEN_SECONDS + CLOCK_LEEWAY_SECONDS


def test_failures_are_forgotten_after_an_hour(auth: Auth) -> None:
    user, address = auth.user("clinician"), "198.51.100.90"
    kind, key = Attempt(user.email, address).counters()[0]
    auth.sql(
        "INSERT INTO attempts (kind, key, failures, locked_until, expires_at) "
        "VALUES ($1, $2, $3, now(), now() - interval '1 second')",
        kind,
        key,
        FREE_FAILURES[kind] + 5,
    )
    assert auth.login(user.email, "wrong password 1", address).status_code == 401
    assert auth.login(user.email, PASSWORD, address).status_code == 200
    auth.login(user.email, "wrong password 1", address)
    (row,) = auth.sql(
        "SELECT failures, expires_at > now() + make_interval(secs => $2) - interval "
        "'1 minute' AS kept FROM attempts WHERE key = $1",
        key,
        float(FORGET_AFTER_SECONDS),
    )
    assert row["failures"] == 1 and row["kept"]


def test_refresh_token_of_a_disabled_user_is_not_active(auth: Auth) -> None:
    app = App(auth)
    browser, user = signed_in(auth)
    token = app.redeem(app.authorize(browser))["refresh_token"]
    url = f"{auth.url}/oauth2/introspect"
    assert app.oauth.introspect_token(url, token).json()["active"]
    auth.sql("UPDATE users SET disabled_at = now() WHERE id = $1", user.id)
    assert app.oauth.introspect_token(url, token).json() == {"active": False}


LIFE = (
    "SELECT extract(epoch FROM expires_at - authenticated_at)::int AS seconds, pending "
    "FROM sessions WHERE user_id = $1"
)


def test_session_ends_eight_hours_after_the_sign_in_however_it_is_used(auth: Auth) -> None:
    browser, user = signed_in(auth)
    (session,) = auth.sql(LIFE, user.id)
    assert (session["seconds"], session["pending"]) == (8 * 60 * 60, False)
    older = (
        "UPDATE sessions SET seen_at = seen_at - interval '2 minutes', "
        "expires_at = expires_at - make_interval(secs => $2) WHERE user_id = $1"
    )
    auth.sql(older, user.id, 8 * 60 * 60 - 60.0)
    assert "Your account" in browser.get("/oauth2/account").text
    # That it was used a moment ago does not lengthen it.
    auth.sql(older, user.id, 61.0)
    assert browser.get("/oauth2/account").url.path == "/oauth2/sign-in"


def test_second_factor_is_waited_for_ten_minutes(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    auth.sql("UPDATE users SET totp_enabled = true, totp_secret = 'x' WHERE id = $1", user.id)
    page = browser.sign_in(user.email)
    assert page.url.path == "/oauth2/second-factor"
    (session,) = auth.sql(LIFE, user.id)
    assert (session["seconds"], session["pending"]) == (sessions.PENDING_LIFE_SECONDS, True)
    assert sessions.PENDING_LIFE_SECONDS == 10 * 60
    auth.sql("UPDATE sessions SET expires_at = now() WHERE user_id = $1", user.id)
    assert browser.get("/oauth2/second-factor").url.path == "/oauth2/sign-in"
