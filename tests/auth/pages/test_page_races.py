"""A form of a person whose sessions end while it is on its way: it changes nothing."""

from typing import Any

import httpx
import pytest

from apps.auth.oauth.revocations import revoke_subject
from tests.auth.browser import App, Browser
from tests.auth.conftest import PASSWORD, Auth
from tests.auth.oauth.test_races import while_revoking
from tests.auth.pages.browser_calls import call, passkeys_page, person_with_passkey, post
from tests.auth.soft_passkey import SoftPasskey

pytestmark = pytest.mark.integration


FORMS: dict[str, dict[str, str]] = {
    "/oauth2/sessions": {"session": "others"},
    "/oauth2/consents": {"client": "{client}"},
    "/oauth2/password": {"password": PASSWORD, "new_password": "a pelican in the quarry"},
    "/oauth2/email": {"password": PASSWORD, "email": "elsewhere@example.org"},
}
STATE = """
    SELECT password_hash, email, version,
        (SELECT count(*) FROM consents WHERE user_id = users.id),
        (SELECT count(*) FROM mails WHERE recipient = 'elsewhere@example.org'),
        (SELECT count(*) FROM audit WHERE actor_id = users.id::text AND event IN (
            'session_ended', 'consent_withdrawn', 'password_changed', 'passkey_added',
            'passkey_removed', 'recovery_codes_made'))
    FROM users WHERE id = $1"""


CODES = "SELECT * FROM recovery_codes WHERE user_id = $1 ORDER BY 1, 2"


@pytest.mark.parametrize("path", FORMS)
async def test_form_of_a_session_that_is_being_ended_changes_nothing(auth: Auth, path: str) -> None:
    app, user, browser = App(auth), auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    app.redeem(app.authorize(browser))
    fields = {name: value.format(client=app.client[0]) for name, value in FORMS[path].items()}
    before = auth.sql(STATE, user.id)
    answer = await while_revoking(
        auth,
        lambda revoking: revoke_subject(revoking, user.id),
        lambda: post(browser, path, fields),
    )
    assert answer.headers["location"] == "/oauth2/sign-in"
    assert auth.sql(STATE, user.id) == before


async def test_passkey_is_not_changed_by_a_session_that_is_being_ended(site: Auth) -> None:
    user, passkey = person_with_passkey(site)
    (stored,) = site.sql("SELECT id::text FROM passkeys WHERE user_id = $1", user.id)

    async def answer_to(ask: Any) -> httpx.Response:
        """Gives what is answered to `ask` in a browser that is signed out meanwhile."""
        browser = Browser(site)
        page = browser.get("/oauth2/sign-in")
        options = call(browser, page, "sign-in/options").json()
        call(browser, page, "sign-in", {"credential": passkey.get(options)})
        page = passkeys_page(browser)
        before = site.sql(STATE, user.id)
        options = call(browser, page, "register/options").json()
        answer: httpx.Response = await while_revoking(
            site,
            lambda revoking: revoke_subject(revoking, user.id),
            lambda: ask(browser, page, options),
        )
        assert site.sql(STATE, user.id) == before
        return answer

    def add(browser: Browser, page: httpx.Response, options: Any) -> httpx.Response:
        body = {"name": "More", "credential": SoftPasskey(site.url).create(options)}
        return call(browser, page, "register", body)

    def remove(browser: Browser, page: httpx.Response, options: Any) -> httpx.Response:
        return post(browser, "/oauth2/passkeys", {"passkey": stored["id"]})

    def make_codes(browser: Browser, page: httpx.Response, options: Any) -> httpx.Response:
        return post(browser, "/oauth2/recovery-codes", {})

    assert (await answer_to(add)).status_code == 401
    await answer_to(remove)
    assert (await answer_to(make_codes)).headers["location"] == "/oauth2/sign-in"
    assert [
        row["id"] for row in site.sql("SELECT id::text FROM passkeys WHERE user_id = $1", user.id)
    ] == [stored["id"]]


def test_passkey_is_not_changed_where_that_cannot_be_recorded(
    site: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, passkey = person_with_passkey(site)
    (stored,) = site.sql("SELECT id::text FROM passkeys WHERE user_id = $1", user.id)
    browser = Browser(site)
    page = browser.get("/oauth2/sign-in")
    options = call(browser, page, "sign-in/options").json()
    call(browser, page, "sign-in", {"credential": passkey.get(options)})
    page = passkeys_page(browser)
    options = call(browser, page, "register/options").json()
    body = {"name": "More", "credential": SoftPasskey(site.url).create(options)}
    before = [site.sql(STATE, user.id), site.sql(CODES, user.id)]

    async def fail(*_: object) -> None:
        raise RuntimeError("nothing can be recorded")

    monkeypatch.setattr("apps.auth.pages.steps.insert_audit", fail)
    assert call(browser, page, "register", body).status_code == 500
    for path, fields in (
        ("/oauth2/passkeys", {"passkey": stored["id"]}),
        ("/oauth2/recovery-codes", {}),
    ):
        assert post(browser, path, fields).status_code == 500
    assert [site.sql(STATE, user.id), site.sql(CODES, user.id)] == before
    left = site.sql("SELECT id::text FROM passkeys WHERE user_id = $1", user.id)
    assert [row["id"] for row in left] == [stored["id"]]
