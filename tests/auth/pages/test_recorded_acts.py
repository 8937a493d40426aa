"""What a person does to the own account is recorded, and a change of its factors told by mail."""

import pytest

from tests.auth.browser import App, Browser
from tests.auth.conftest import Auth
from tests.auth.pages.browser_calls import (
    add_passkey,
    call,
    passkeys_page,
    person_with_passkey,
    post,
)
from tests.auth.soft_passkey import SoftPasskey

pytestmark = pytest.mark.integration


def acts(auth: Auth, user_id: str) -> list[str]:
    rows = auth.sql(
        "SELECT event FROM audit WHERE actor_id = $1 AND subject = $1 AND outcome = 'success' "
        "AND event NOT IN ('sign_in', 'password_accepted', 'password_confirmed') ORDER BY id",
        user_id,
    )
    return [row["event"] for row in rows]


def mails_to(auth: Auth, email: str) -> int:
    return int(auth.sql("SELECT count(*) AS n FROM mails WHERE recipient = $1", email)[0]["n"])


def test_changes_of_passkeys_and_codes_are_recorded_and_told(site: Auth) -> None:
    user, passkey = person_with_passkey(site)
    assert acts(site, user.id) == ["passkey_added"]
    browser = Browser(site)
    page = browser.get("/oauth2/sign-in")
    options = call(browser, page, "sign-in/options").json()
    call(browser, page, "sign-in", {"credential": passkey.get(options)})
    told = mails_to(site, user.email)
    passkeys_page(browser)
    assert add_passkey(browser, SoftPasskey(site.url)).status_code == 200
    (stored, _) = site.sql(
        "SELECT id::text FROM passkeys WHERE user_id = $1 ORDER BY created_at", user.id
    )
    post(browser, "/oauth2/recovery-codes", {})
    post(browser, "/oauth2/passkeys", {"passkey": stored["id"]})
    assert acts(site, user.id) == [
        "passkey_added",
        "passkey_added",
        "recovery_codes_made",
        "passkey_removed",
    ]
    assert mails_to(site, user.email) == told + 3


def test_passkey_that_is_not_there_is_not_removed(site: Auth) -> None:
    user, passkey = person_with_passkey(site)
    browser = Browser(site)
    page = browser.get("/oauth2/sign-in")
    options = call(browser, page, "sign-in/options").json()
    call(browser, page, "sign-in", {"credential": passkey.get(options)})
    passkeys_page(browser)
    told = mails_to(site, user.email)
    post(browser, "/oauth2/passkeys", {"passkey": user.id})
    assert acts(site, user.id) == ["passkey_added"]
    assert mails_to(site, user.email) == told


def test_end_of_sessions_and_of_a_consent_is_recorded(auth: Auth) -> None:
    app, user, browser = App(auth), auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    app.redeem(app.authorize(browser))
    Browser(auth).sign_in(user.email)
    post(browser, "/oauth2/sessions", {"session": "others"})
    post(browser, "/oauth2/consents", {"client": app.client[0]})
    assert {"session_ended", "consent_withdrawn"} <= set(acts(auth, user.id))
    assert len(auth.sql("SELECT 1 FROM sessions WHERE user_id = $1", user.id)) == 1
    assert not auth.sql("SELECT 1 FROM consents WHERE user_id = $1", user.id)
