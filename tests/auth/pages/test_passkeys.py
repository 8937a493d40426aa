"""Passkeys: registered after the password, good alone and as the second factor, bound to
browser and origin.
"""

import pytest

from tests.auth.browser import HIDDEN, App, Browser
from tests.auth.conftest import Auth
from tests.auth.pages.browser_calls import (
    add_passkey,
    call,
    csrf,
    passkeys_page,
    person_with_passkey,
    sign_in,
)
from tests.auth.soft_passkey import SoftPasskey

pytestmark = pytest.mark.integration


def test_passkey_signs_in_alone(site: Auth) -> None:
    user, passkey = person_with_passkey(site)
    browser = Browser(site)
    assert sign_in(browser, passkey).json() == {"location": "/oauth2/account"}
    assert user.email in browser.get("/oauth2/account").text
    methods = site.sql("SELECT methods FROM sessions WHERE user_id = $1", user.id)
    assert ["hwk", "user", "mfa"] in [row["methods"] for row in methods]


def test_passkey_goes_on_with_the_authorization_request(site: Auth) -> None:
    _, passkey = person_with_passkey(site)
    app = App(site, trusted=True)
    browser = Browser(site)
    page = browser.get(app.url())
    options = call(browser, page, "sign-in/options").json()
    query = dict(HIDDEN.findall(page.text))["next"].replace("&amp;", "&")
    answer = call(browser, page, "sign-in", {"credential": passkey.get(options), "next": query})
    location = browser.get(answer.json()["location"]).headers["location"]
    assert "access_token" in app.redeem(location)


def test_passkey_goes_on_to_the_device_that_waits(site: Auth) -> None:
    _, passkey = person_with_passkey(site)
    browser = Browser(site)
    page = browser.get("/oauth2/device?user_code=BCDF-GHJK")
    options = call(browser, page, "sign-in/options").json()
    query = dict(HIDDEN.findall(page.text))["next"]
    answer = call(browser, page, "sign-in", {"credential": passkey.get(options), "next": query})
    assert answer.json() == {"location": "/oauth2/device?user_code=BCDF-GHJK"}


def test_password_alone_is_not_enough_beside_a_passkey(site: Auth) -> None:
    user, passkey = person_with_passkey(site)
    browser = Browser(site)
    page = browser.sign_in(user.email)
    assert "Enter your code" in page.text
    assert "Sign in" in browser.get("/oauth2/account").text
    assert site.login(user.email).json()["code"] == "mfa_required"

    assert sign_in(browser, passkey, "/oauth2/second-factor").status_code == 200
    assert "Your account" in browser.get("/oauth2/account").text


def test_passkey_of_another_person_is_no_second_factor(site: Auth) -> None:
    victim, _ = person_with_passkey(site)
    _, foreign = person_with_passkey(site)
    browser = Browser(site)
    browser.sign_in(victim.email)
    assert sign_in(browser, foreign, "/oauth2/second-factor").status_code == 400
    assert "Sign in" in browser.get("/oauth2/account").text


def test_role_that_needs_a_second_factor_is_satisfied_by_a_passkey(site: Auth) -> None:
    user = site.user("clinician")
    passkey = SoftPasskey(site.url)
    browser = Browser(site)
    browser.sign_in(user.email)
    add_passkey(browser, passkey)
    site.sql("UPDATE users SET roles = '{admin}' WHERE id = $1", user.id)
    other = Browser(site)
    assert sign_in(other, passkey).status_code == 200
    assert "Your account" in other.get("/oauth2/account").text


def test_passkey_is_added_only_after_the_password(site: Auth) -> None:
    user = site.user("clinician")
    browser = Browser(site)
    browser.sign_in(user.email)
    page = browser.get("/oauth2/account")
    assert call(browser, page, "register/options").status_code == 401
    assert "Confirm your password" in browser.get("/oauth2/passkeys").text


@pytest.mark.parametrize("fault", ["origin", "unverified", "challenge", "copied", "signature"])
def test_answer_that_is_not_the_devices_own_is_refused(site: Auth, fault: str) -> None:
    user, passkey = person_with_passkey(site)
    browser = Browser(site)
    page = browser.get("/oauth2/sign-in")
    options = call(browser, page, "sign-in/options").json()
    if fault == "origin":
        passkey.origin = "https://evil.example"
    elif fault == "unverified":
        passkey.verifies = False
    elif fault == "challenge":
        options["challenge"] = "AAAA"
    elif fault == "copied":
        site.sql("UPDATE passkeys SET sign_count = 1000 WHERE user_id = $1", user.id)
    credential = passkey.get(options)
    if fault == "signature":
        credential["response"]["signature"] = SoftPasskey(site.url).get(options)["response"][
            "signature"
        ]
    assert call(browser, page, "sign-in", {"credential": credential}).status_code == 400
    assert "Sign in" in browser.get("/oauth2/account").text


def test_challenge_is_good_once_and_in_its_own_browser(site: Auth) -> None:
    _, passkey = person_with_passkey(site)
    browser = Browser(site)
    other = Browser(site)
    page = browser.get("/oauth2/sign-in")
    options = call(browser, page, "sign-in/options").json()
    answer = {"credential": passkey.get(options)}
    assert call(other, other.get("/oauth2/sign-in"), "sign-in", answer).status_code == 400
    assert call(browser, page, "sign-in", answer).status_code == 200
    assert call(browser, browser.get("/oauth2/forgotten"), "sign-in", answer).status_code == 400


def test_challenge_is_good_for_five_minutes(site: Auth) -> None:
    _, passkey = person_with_passkey(site)
    browser = Browser(site)
    page = browser.get("/oauth2/sign-in")
    for seconds, status in ((290, 200), (301, 400)):
        options = call(browser, page, "sign-in/options").json()
        site.sql(
            "UPDATE passkey_challenges SET expires_at = expires_at - make_interval(secs => $1)",
            float(seconds),
        )
        answer = call(browser, page, "sign-in", {"credential": passkey.get(options)})
        assert answer.status_code == status
        # A sign-in voids the forms before it.
        page = browser.get("/oauth2/forgotten")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"credential": 7}', b"[" * 9000])
def test_malformed_answer_is_a_400(site: Auth, body: bytes) -> None:
    browser = Browser(site)
    page = browser.get("/oauth2/sign-in")
    headers = {"X-CSRF": csrf(page), "Accept": "application/json"}
    answer = browser.http.post("/oauth2/passkeys/sign-in", content=body, headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize("key", [[1], {}, {1: "x"}, {1: 2}, 7], ids=str)
def test_public_key_of_another_form_is_a_400(site: Auth, key: object) -> None:
    browser, passkey = Browser(site), SoftPasskey(site.url)
    browser.sign_in(site.user("clinician").email)
    page = passkeys_page(browser)
    options = call(browser, page, "register/options").json()
    credential = passkey.create(options, key)
    answer = call(browser, page, "register", {"name": "Mine", "credential": credential})
    assert answer.status_code == 400


def test_script_of_another_site_is_refused(site: Auth) -> None:
    browser = Browser(site)
    browser.get("/oauth2/sign-in")
    for headers in ({}, {"X-CSRF": "0" * 64}):
        answer = browser.http.post("/oauth2/passkeys/sign-in/options", headers=headers)
        assert answer.status_code == 403


def test_removed_passkey_signs_nobody_in(site: Auth) -> None:
    user, passkey = person_with_passkey(site)
    browser = Browser(site)
    sign_in(browser, passkey)
    page = passkeys_page(browser)
    assert "My phone" in page.text
    page = browser.send(page)
    assert "The passkey was removed" in page.text and "My phone" not in page.text
    assert sign_in(Browser(site), passkey).status_code == 400
    # Without it the password is enough again.
    assert "Your account" in Browser(site).sign_in(user.email).text


def test_password_alone_enrols_no_other_factor_beside_a_passkey(site: Auth) -> None:
    user, _ = person_with_passkey(site)
    browser = Browser(site)
    browser.sign_in(user.email)
    page = browser.get("/oauth2/enrol")
    assert "Enter your code" in page.text
    form = {"csrf": csrf(page), "code": "000000"}
    assert browser.http.post("/oauth2/enrol", data=form).headers["location"] == (
        "/oauth2/second-factor"
    )
    row = site.sql("SELECT totp_secret FROM users WHERE id = $1", user.id)[0]
    assert row["totp_secret"] is None


def test_first_passkey_ends_what_others_hold(site: Auth) -> None:
    user = site.user("clinician")
    left_open, own = Browser(site), Browser(site)
    left_open.sign_in(user.email)
    own.sign_in(user.email)
    add_passkey(own, SoftPasskey(site.url))
    assert "Sign in" in left_open.get("/oauth2/account").text
    assert "My phone" in own.get("/oauth2/passkeys").text
    assert len(site.sql("SELECT 1 FROM known_devices WHERE user_id = $1", user.id)) == 1
    # With the second one nobody is signed out: everybody has proven a second factor.
    other = Browser(site)
    sign_in(other, add_second_passkey(own))
    assert "My phone" in own.get("/oauth2/passkeys").text


def add_second_passkey(browser: Browser) -> SoftPasskey:
    passkey = SoftPasskey(str(browser.http.base_url).rstrip("/"))
    assert add_passkey(browser, passkey, "My key").status_code == 200
    return passkey
