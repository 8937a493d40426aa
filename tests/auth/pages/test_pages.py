"""Signing in by the pages: second factor, recovery, passwords, and what must not work."""

import re
import threading

import httpx
import pyotp
import pytest

from tests.auth.browser import App, Browser
from tests.auth.conftest import PASSWORD, Auth, make_settings, serve
from tests.ports import free_port

pytestmark = pytest.mark.integration

NEW_PASSWORD = "another good phrase"


def enrol(browser: Browser) -> tuple[str, list[str]]:
    """The device's secret and the recovery codes of a person who is signed in."""
    page = browser.enrolment()
    found = re.search(r'id="secret">([A-Z2-7]+)<', page.text)
    assert found and "data:image/svg+xml;base64," in page.text
    page = browser.send(page, code=pyotp.TOTP(found[1]).now())
    codes = re.findall(r"<li><code>([a-z2-7-]+)</code>", page.text)
    assert len(codes) == 10, page.text
    return found[1], codes


def next_code(auth: Auth, secret: str) -> str:
    """The present code, as if the one before it had not been used half a minute ago."""
    auth.sql("UPDATE users SET totp_last_step = 0")
    return pyotp.TOTP(secret).now()


def test_second_factor_is_asked_for_once_it_is_set_up(auth: Auth) -> None:
    user, app = auth.user("clinician"), App(auth, trusted=True)
    browser = Browser(auth)
    browser.sign_in(user.email)
    secret, _ = enrol(browser)
    fresh = Browser(auth)
    page = fresh.sign_in(user.email, page=fresh.get(app.url()))
    assert "Enter your code" in page.text
    assert "Sign in" in fresh.get("/oauth2/account").text, "the password alone signs nobody in"
    assert "Sign in" in fresh.get(App(auth, trusted=True).url()).text
    assert "not right" in fresh.send(page, code="000000").text
    location = fresh.send(page, code=next_code(auth, secret)).headers["location"]
    assert app.redeem(location)["access_token"]
    assert "Your account" in fresh.get("/oauth2/account").text


def test_code_of_the_device_is_good_once(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    secret, _ = enrol(browser)
    code = next_code(auth, secret)
    for expected in ("Your account", "not right"):
        fresh = Browser(auth)
        page = fresh.send(fresh.sign_in(user.email), code=code)
        assert expected in page.text


def test_recovery_code_signs_in_once(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    _, codes = enrol(browser)
    for expected in ("Your account", "not right"):
        fresh = Browser(auth)
        assert expected in fresh.send(fresh.sign_in(user.email), code=codes[0].upper()).text


def test_enrolling_anew_is_no_way_around_the_second_factor(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    enrol(browser)
    thief = Browser(auth)
    thief.sign_in(user.email)
    page = thief.get("/oauth2/enrol")
    assert "Enter your code" in page.text and "Key:" not in page.text


def test_session_left_open_sets_up_no_second_factor_without_the_password(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    page = browser.get("/oauth2/enrol")
    assert "Confirm your password" in page.text and "Key:" not in page.text
    wrong = browser.send(page, password="wrong password 1", code="000000")
    assert wrong.status_code == 400 and "Key:" not in wrong.text
    assert auth.sql("SELECT totp_secret FROM users WHERE id = $1", user.id)[0][0] is None
    assert "Key:" in browser.send(page, password=PASSWORD).text
    auth.sql(
        "UPDATE sessions SET confirmed_at = now() - interval '6 minutes' WHERE user_id = $1",
        user.id,
    )
    assert "Confirm your password" in browser.get("/oauth2/enrol").text


def test_new_second_factor_ends_every_other_session_and_refresh_token(auth: Auth) -> None:
    user, here, there = auth.user("clinician"), Browser(auth), Browser(auth)
    app = App(auth, trusted=True)
    token = app.redeem(app.authorize_as(there, user.email))
    here.sign_in(user.email)
    enrol(here)
    assert "Your account" in here.get("/oauth2/account").text
    assert "Sign in" in there.get("/oauth2/account").text
    for name in ("access_token", "refresh_token"):
        answer = app.oauth.introspect_token(f"{auth.url}/oauth2/introspect", token[name])
        assert answer.json() == {"active": False}


@pytest.mark.parametrize("ended_by", ["changed password", "disabled user"])
def test_reset_link_is_void_after(auth: Auth, ended_by: str) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    link = auth.reset_link(user.id)
    page = browser.get(link)
    if ended_by == "changed password":
        other = Browser(auth)
        other.sign_in(user.email)
        other.send(other.get("/oauth2/password"), password=PASSWORD, new_password=NEW_PASSWORD)
    else:
        auth.sql("UPDATE users SET disabled_at = now() WHERE id = $1", user.id)
    assert browser.get(link).status_code == 404
    assert browser.send(page, new_password="yet another phrase of mine").status_code == 404
    kept = NEW_PASSWORD if ended_by == "changed password" else PASSWORD
    auth.sql("UPDATE users SET disabled_at = NULL WHERE id = $1", user.id)
    assert auth.login(user.email, kept).status_code == 200


@pytest.mark.parametrize(
    "weak",
    [
        "password1234",
        " " * 12,
        "qwertyuiop12",
        "aaaaaaaaaaaaaaaaaaaaaa",
        "patientpatient",
        "{email}",
        "{local}{local}",
        "MatildaSmith",
    ],
)
def test_password_that_is_easily_guessed_is_refused(auth: Auth, weak: str) -> None:
    user, browser = auth.user("clinician", name="Matilda Smith"), Browser(auth)
    weak = weak.format(email=user.email, local=user.email.partition("@")[0])
    page = browser.get(auth.reset_link(user.id))
    answer = browser.send(page, new_password=weak)
    assert answer.status_code == 422 and "not easily guessed" in answer.text
    browser.sign_in(user.email)
    page = browser.get("/oauth2/password")
    assert browser.send(page, password=PASSWORD, new_password=weak).status_code == 422


def test_guessing_codes_gets_slower_and_a_right_password_does_not_help(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    enrol(browser)
    thief = Browser(auth)
    statuses = []
    for _ in range(8):
        page = thief.sign_in(user.email)
        statuses.append(thief.send(page, code="123456").status_code)
    assert statuses[:4] == [400] * 4 and 429 in statuses


def test_short_login_refuses_whoever_has_a_second_factor(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    enrol(browser)
    answer = auth.login(user.email)
    assert (answer.status_code, answer.json()["code"]) == (403, "mfa_required")


def test_role_that_must_have_a_second_factor_sets_it_up_before_anything_else(
    auth_database: str,
) -> None:
    settings = make_settings(auth_database, free_port(), mfa_required_roles=frozenset({"admin"}))
    for auth in serve(settings):
        user, browser = auth.user("admin"), Browser(auth)
        page = browser.sign_in(user.email)
        assert (
            "Your role asks for" in page.text and "Sign in" in browser.get("/oauth2/account").text
        )
        enrol(browser)
        assert "Your account" in browser.get("/oauth2/account").text
        assert auth.login(auth.user("admin").email).json()["code"] == "mfa_required"
        assert auth.login(auth.user("analyst").email).status_code == 200
        browser.http.close()


def test_form_of_another_site_is_refused(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    for fields in ({}, {"csrf": "0" * 64}, {"csrf": "é"}):
        page = browser.http.post(
            "/oauth2/sign-in", data={"email": user.email, "password": PASSWORD, **fields}
        )
        assert page.status_code == 403 and "text/html" in page.headers["content-type"]
    foreign = Browser(auth).get("/oauth2/sign-in")
    browser.get("/oauth2/sign-in")
    assert browser.send(foreign, email=user.email, password=PASSWORD).status_code == 403


def test_consent_cannot_be_given_from_another_site(auth: Auth) -> None:
    app, user, browser = App(auth), auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    query = app.url().partition("?")[2]
    answer = browser.http.post(f"/oauth2/authorize?{query}", data={"decision": "allow"})
    assert answer.status_code == 403 and "location" not in answer.headers


def test_session_is_new_with_every_sign_in_and_forms_from_before_are_void(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    # A session that an attacker planted names nobody and stays nobody's.
    browser.http.cookies.set("session", "planted-by-an-attacker", domain="127.0.0.1")
    page = browser.get("/oauth2/sign-in")
    browser.sign_in(user.email, page=page)
    sessions = [cookie.value for cookie in browser.http.cookies.jar if cookie.name == "session"]
    assert "planted-by-an-attacker" not in sessions and len(sessions) == 1
    assert browser.send(page, email=user.email, password=PASSWORD).status_code == 403


def test_cookies_are_closed_to_scripts_and_other_sites(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    page = browser.get("/oauth2/sign-in")
    answer = browser.http.post(
        "/oauth2/sign-in",
        data={
            "email": user.email,
            "password": PASSWORD,
            "csrf": re.findall(r'csrf" value="(\w+)"', page.text)[0],
        },
    )
    for cookie in (page.headers["set-cookie"], answer.headers["set-cookie"]):
        assert (
            "HttpOnly" in cookie
            and "SameSite=lax" in cookie
            and "Path=/" in cookie
            and "Domain" not in cookie
        )


def test_cookies_are_secure_where_the_public_url_is(auth_database: str) -> None:
    port = free_port()
    for auth in serve(
        make_settings(auth_database, port, issuer="https://health.example"),
        f"http://127.0.0.1:{port}",
    ):
        cookie = httpx.get(f"{auth.url}/oauth2/sign-in").headers["set-cookie"]
        assert cookie.startswith("__Host-browser=") and "Secure" in cookie


def test_pages_forbid_scripts_and_frames(auth: Auth) -> None:
    app, browser = App(auth), Browser(auth)
    page = browser.get(app.url())
    policy = page.headers["content-security-policy"]
    assert (
        "default-src 'none'" in policy
        and "frame-ancestors 'none'" in policy
        and "unsafe" not in policy
    )
    assert "form-action 'self' https://app.example" in policy
    assert page.headers["cache-control"] == "no-store"
    # One script of our own, and none in the page itself.
    scripts = re.findall(r"<script[^>]*>", page.text)
    assert scripts == ['<script type="module" src="/oauth2/account.js">']


@pytest.mark.parametrize(
    "query",
    [
        "https://evil.example/",
        "//evil.example",
        "\\evil",
        "@evil.example",
        "client_id=x&redirect_uri=https://evil",
    ],
)
def test_sign_in_leads_nowhere_but_to_our_own_pages(auth: Auth, query: str) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    page = browser.get(str(httpx.URL("/oauth2/sign-in", params={"next": query})))
    assert "evil" not in page.headers["content-security-policy"]
    csrf = re.findall(r'csrf" value="(\w+)"', page.text)[0]
    form = {"email": user.email, "password": PASSWORD, "csrf": csrf, "next": query}
    location = browser.http.post("/oauth2/sign-in", data=form).headers["location"]
    assert location.startswith("/oauth2/authorize?")
    assert browser.http.get(location).status_code == 400


def test_what_people_type_is_shown_as_text(auth: Auth) -> None:
    browser = Browser(auth)
    page = browser.sign_in('"><script>alert(1)</script>@x.y', "wrong password 1")
    assert "<script>" not in page.text and "&lt;script&gt;" in page.text


def test_new_password_ends_every_other_session_and_token(auth: Auth) -> None:
    user, here, there = auth.user("clinician"), Browser(auth), Browser(auth)
    app = App(auth, trusted=True)
    token = app.redeem(app.authorize_as(there, user.email))
    here.sign_in(user.email)
    page = here.get("/oauth2/password")
    assert (
        "not right" in here.send(page, password="wrong password 1", new_password=NEW_PASSWORD).text
    )
    assert "must be" in here.send(page, password=PASSWORD, new_password="short").text
    assert "Your account" in here.send(page, password=PASSWORD, new_password=NEW_PASSWORD).text
    assert "Sign in" in there.get("/oauth2/account").text
    assert not app.oauth.introspect_token(
        f"{auth.url}/oauth2/introspect", token["access_token"]
    ).json()["active"]
    assert not app.oauth.introspect_token(
        f"{auth.url}/oauth2/introspect", token["refresh_token"]
    ).json()["active"]
    assert (
        auth.login(user.email).status_code == 401
        and auth.login(user.email, NEW_PASSWORD).status_code == 200
    )


def test_reset_link_sets_a_password_once(auth: Auth) -> None:
    user, browser = auth.user("clinician", password=None), Browser(auth)
    assert (
        auth.login(user.email, "").status_code == 400 and auth.login(user.email).status_code == 401
    )
    link = auth.reset_link(user.id)
    browser.get(link)
    page = browser.get(link)
    assert "must be" in browser.send(page, new_password="short").text
    assert "Sign in" in browser.send(page, new_password=NEW_PASSWORD).text
    assert "Your account" in browser.sign_in(user.email, NEW_PASSWORD).text
    assert browser.get(link).status_code == 404
    assert browser.get("/oauth2/reset?token=made-up").status_code == 404


def test_two_at_once_use_a_reset_link_once(auth: Auth) -> None:
    user = auth.user("clinician")
    link = auth.reset_link(user.id)
    pages = [(browser, browser.get(link)) for browser in (Browser(auth), Browser(auth))]
    answers: list[str] = []
    threads = [
        threading.Thread(
            target=lambda b=browser, p=page: answers.append(
                b.send(p, new_password=NEW_PASSWORD).text
            )
        )
        for browser, page in pages
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted("Sign in" in answer for answer in answers) == [False, True]


def test_session_ends_by_itself(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    auth.sql("UPDATE sessions SET expires_at = now() WHERE user_id = $1", user.id)
    assert "Sign in" in browser.get("/oauth2/account").text


def shown_secret(page: httpx.Response) -> str:
    found = re.search(r'id="secret">([A-Z2-7]+)<', page.text)
    assert found, page.text
    return found[1]


def test_secret_of_an_enrolment_is_of_one_session(auth: Auth) -> None:
    user, thief, browser = auth.user("clinician"), Browser(auth), Browser(auth)
    thief.sign_in(user.email)
    seen = thief.enrolment()
    assert shown_secret(seen) == shown_secret(thief.get("/oauth2/enrol")), (
        "the page may be reloaded"
    )
    browser.sign_in(user.email)
    page = browser.enrolment()
    assert shown_secret(page) != shown_secret(seen)
    assert browser.send(page, code=pyotp.TOTP(shown_secret(seen)).now()).status_code == 400
    assert "recovery" in browser.send(page, code=pyotp.TOTP(shown_secret(page)).now()).text.lower()


def test_secret_that_was_not_confirmed_goes_with_a_password_reset_or_change(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    browser.enrolment()
    browser.send(browser.get("/oauth2/password"), password=PASSWORD, new_password=NEW_PASSWORD)
    pending = "SELECT totp_secret FROM users WHERE id = $1"
    assert auth.sql(pending, user.id)[0]["totp_secret"] is None
    browser.enrolment(NEW_PASSWORD)
    assert auth.sql(pending, user.id)[0]["totp_secret"] is not None
    link = auth.reset_link(user.id)
    fresh = Browser(auth)
    fresh.send(fresh.get(link), new_password=PASSWORD)
    assert auth.sql(pending, user.id)[0]["totp_secret"] is None


def test_error_without_words_of_its_own_is_told_in_words(auth: Auth) -> None:
    text = Browser(auth).get("/oauth2/external").text
    assert "There is no such page." in text and "not_found" not in text
