"""What people do with their own account: mail, address, sessions, consents."""

import re
from typing import Any

import httpx
import pytest

from apps.auth.people.mail import Mail, QueuedMail, unsealed
from apps.auth.people.passwords import Hashing
from apps.kit.errors import Unavailable
from tests.auth.browser import App, Browser
from tests.auth.conftest import PASSWORD, Auth

pytestmark = pytest.mark.integration
LINK = re.compile(r"https?://\S+")


def mails(auth: Auth, recipient: str) -> list[dict[str, Any]]:
    found = []
    for row in auth.sql("SELECT * FROM mails WHERE recipient = $1 ORDER BY id", recipient):
        mail = Mail(recipient=recipient, subject=row["subject"], body=row["body"])
        queued = QueuedMail(id=str(row["id"]), mail=mail, sealed_body=row["sealed_body"])
        body = unsealed(queued, auth.settings.key_encryption_key).mail.body
        found.append({"subject": mail.subject, "body": body})
    return found


def wait_for_mail(auth: Auth, recipient: str, count: int = 1) -> list[dict[str, Any]]:
    for _ in range(100):
        found = mails(auth, recipient)
        if len(found) >= count:
            return found
        httpx.get(f"{auth.url}/livez")
    raise AssertionError("no mail")


def test_forgotten_password_is_set_by_the_mailed_link(auth: Auth) -> None:
    user = auth.user("clinician")
    browser = Browser(auth)

    page = browser.send(browser.get("/oauth2/forgotten"), email=user.email)
    (mail,) = wait_for_mail(auth, user.email)
    link = LINK.search(mail["body"])
    assert "a mail with a link is on its way" in page.text
    assert link
    page = browser.send(browser.get(link[0]), new_password="another long sentence")

    assert "Your password was set" in page.text
    assert "Your account" in browser.sign_in(user.email, "another long sentence").text
    assert [each["subject"] for each in mails(auth, user.email)][-1] == "Your password was changed"


def test_unknown_address_gets_the_same_page_and_no_mail(auth: Auth) -> None:
    known = auth.user("clinician")
    browser = Browser(auth)
    form = browser.get("/oauth2/forgotten")

    pages = {
        browser.send(form, email=email).text for email in (known.email, "nobody@example.org", "")
    }

    assert len(pages) == 1
    wait_for_mail(auth, known.email)
    assert mails(auth, "nobody@example.org") == []


def test_person_is_sent_one_link_a_minute(auth: Auth) -> None:
    user = auth.user("clinician")
    browser = Browser(auth)
    form = browser.get("/oauth2/forgotten")
    for _ in range(5):
        browser.send(form, email=user.email)
    wait_for_mail(auth, user.email)
    # Each request's work runs before the connection takes the next one.
    browser.get("/oauth2/forgotten")
    assert len(mails(auth, user.email)) == 1


def test_person_is_sent_five_links_an_hour(auth: Auth) -> None:
    user = auth.user("clinician")
    browser = Browser(auth)
    form = browser.get("/oauth2/forgotten")

    def ask() -> None:
        browser.send(form, email=user.email)
        browser.get("/oauth2/forgotten")

    for number in range(1, 8):
        ask()
        wait_for_mail(auth, user.email, min(number, 5))
        # As if the pause between two mails were over.
        auth.sql("UPDATE mail_counts SET expires_at = now() WHERE expires_at < now() + '2 minutes'")
    assert len(mails(auth, user.email)) == 5
    auth.sql("UPDATE mail_counts SET expires_at = now()")
    ask()
    assert len(wait_for_mail(auth, user.email, 6)) == 6


def ask_for_address(browser: Browser, email: str) -> httpx.Response:
    form = browser.get("/oauth2/email")
    return browser.send(form, email=email, password=PASSWORD)


def test_user_is_sent_five_address_mails_an_hour_wherever_they_go(auth: Auth) -> None:
    browser = Browser(auth)
    browser.sign_in(auth.user("clinician").email)
    wanted = [f"new{number}@example.org" for number in range(6)]
    pages = [ask_for_address(browser, email) for email in wanted]
    assert ["on its way" in page.text for page in pages] == [True] * 5 + [False]
    assert pages[-1].status_code == 429 and "wait an hour" in pages[-1].text
    assert [len(mails(auth, email)) for email in wanted] == [1] * 5 + [0]
    auth.sql("UPDATE mail_counts SET expires_at = now()")
    assert "on its way" in ask_for_address(browser, wanted[-1]).text


def test_address_is_sent_five_mails_an_hour_whoever_asks(auth: Auth) -> None:
    browsers = [Browser(auth) for _ in range(3)]
    for browser in browsers:
        browser.sign_in(auth.user("clinician").email)
    # One mailbox, however it is typed.
    spellings = ["Flooded@example.org", "flooded@example.org"]
    for browser in browsers:
        for email in spellings:
            page = ask_for_address(browser, email)
    assert page.status_code == 429
    assert sum(len(mails(auth, email)) for email in spellings) == 5


def test_disabled_user_is_sent_no_link(auth: Auth) -> None:
    user = auth.user("clinician")
    auth.sql("UPDATE users SET disabled_at = now() WHERE id = $1", user.id)
    browser = Browser(auth)
    browser.send(browser.get("/oauth2/forgotten"), email=user.email)
    browser.get("/oauth2/forgotten")
    assert mails(auth, user.email) == []


def test_address_changes_once_the_new_one_is_confirmed(auth: Auth) -> None:
    user = auth.user("clinician")
    new = f"new-{user.email}"
    browser = Browser(auth)
    browser.sign_in(user.email)

    page = browser.send(browser.get("/oauth2/email"), email=new, password=PASSWORD)
    assert "on its way to your new address" in page.text
    assert auth.sql("SELECT email FROM users WHERE id = $1", user.id)[0]["email"] == user.email
    link = LINK.search(mails(auth, new)[0]["body"])
    assert link
    page = browser.send(browser.get(link[0]))

    assert "Your e-mail address is confirmed" in page.text
    row = auth.sql("SELECT email, email_verified_at FROM users WHERE id = $1", user.id)[0]
    assert row["email"] == new and row["email_verified_at"] is not None
    assert mails(auth, user.email)[-1]["subject"] == "Your e-mail address was changed"
    assert browser.get(link[0]).status_code == 404


@pytest.mark.parametrize("fine", [True, False])
@pytest.mark.parametrize(
    ("table", "life"), [("address_links", 24), ("password_resets", 1), ("password_resets", 24)]
)
def test_link_is_good_for_a_day_or_for_an_hour(
    auth: Auth, table: str, life: int, fine: bool
) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    if table == "password_resets" and life == 24:
        # An invitation that was not followed yet.
        auth.sql("UPDATE users SET password_hash = NULL WHERE id = $1", user.id)
    hours = life - 0.1 if fine else life + 0.1
    if table == "address_links":
        browser.sign_in(user.email)
        ask_for_address(browser, f"day-{user.email}")
        (mail,) = mails(auth, f"day-{user.email}")
    else:
        browser.send(browser.get("/oauth2/forgotten"), email=user.email)
        (mail,) = wait_for_mail(auth, user.email)
    assert f"within {'1 hour' if life == 1 else '24 hours'}:" in mail["body"]
    link = LINK.search(mail["body"])
    assert link
    form = browser.get(link[0])
    # The table is one of two.
    auth.sql(
        f"UPDATE {table} SET expires_at = expires_at - make_interval(secs => $2) "  # noqa: S608
        "WHERE user_id = $1",
        user.id,
        hours * 3600,
    )
    assert (browser.get(link[0]).status_code == 200) is fine
    # Nor is a form that was opened before.
    page = browser.send(form, new_password="another long sentence")
    assert (page.status_code == 200) is fine


def test_address_of_another_user_is_not_told_and_not_taken(auth: Auth) -> None:
    user = auth.user("clinician")
    other = auth.user("clinician")
    browser = Browser(auth)
    browser.sign_in(user.email)
    page = browser.send(browser.get("/oauth2/email"), email=other.email, password=PASSWORD)
    assert "on its way" in page.text
    link = LINK.search(mails(auth, other.email)[-1]["body"])
    assert link

    assert browser.send(browser.get(link[0])).status_code == 404

    assert auth.sql("SELECT email FROM users WHERE id = $1", user.id)[0]["email"] == user.email


def test_address_is_not_changed_without_the_password(auth: Auth) -> None:
    user = auth.user("clinician")
    browser = Browser(auth)
    browser.sign_in(user.email)
    page = browser.send(browser.get("/oauth2/email"), email="new@example.org", password="wrong one")
    assert page.status_code == 400 and "not right" in page.text
    assert mails(auth, "new@example.org") == []


def test_sessions_are_listed_and_ended_with_their_tokens(auth: Auth) -> None:
    user = auth.user("clinician")
    app = App(auth, trusted=True)
    one = Browser(auth)
    other = Browser(auth)
    other.http.headers["User-Agent"] = "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0"
    one.sign_in(user.email)
    token = app.redeem(app.authorize_as(other, user.email))

    page = one.get("/oauth2/sessions")
    assert "Firefox, Windows" in page.text and "(this one)" in page.text
    ended = auth.sql("SELECT public_id FROM sessions WHERE user_id = $1 AND device <> ''", user.id)[
        0
    ]["public_id"]
    page = one.send(page, session=ended)

    assert "The session was ended" in page.text and "Firefox" not in page.text
    assert "Sign in" in other.get("/oauth2/account").text
    assert "Your account" in one.get("/oauth2/account").text
    refresh = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    answer = httpx.post(f"{auth.url}/oauth2/token", data=refresh, auth=app.client)
    assert answer.json()["error"] == "invalid_grant"


def test_session_of_another_user_is_not_ended(auth: Auth) -> None:
    victim = Browser(auth)
    victim.sign_in(auth.user("clinician").email)
    ids = auth.sql("SELECT public_id FROM sessions ORDER BY authenticated_at DESC LIMIT 1")
    attacker = Browser(auth)
    user = auth.user("clinician")
    attacker.sign_in(user.email)
    second = Browser(auth)
    second.sign_in(user.email)
    attacker.send(attacker.get("/oauth2/sessions"), session=ids[0]["public_id"])
    assert "Your account" in victim.get("/oauth2/account").text


def test_idle_session_ends(auth: Auth) -> None:
    user = auth.user("clinician")
    browser = Browser(auth)
    browser.sign_in(user.email)
    auth.sql(
        "UPDATE sessions SET seen_at = now() - make_interval(secs => idle_seconds - 30)"
        " WHERE user_id = $1",
        user.id,
    )
    assert "Your account" in browser.get("/oauth2/account").text
    seen = (
        "SELECT now() - seen_at < interval '10 seconds' AS fresh FROM sessions WHERE user_id = $1"
    )
    assert auth.sql(seen, user.id)[0]["fresh"]

    auth.sql(
        "UPDATE sessions SET seen_at = now() - make_interval(secs => idle_seconds + 1)"
        " WHERE user_id = $1",
        user.id,
    )
    assert "Sign in" in browser.get("/oauth2/account").text


def test_consent_is_withdrawn_with_what_it_gave(auth: Auth) -> None:
    user = auth.user("clinician")
    app = App(auth)
    browser = Browser(auth)
    browser.sign_in(user.email)
    token = app.redeem(app.authorize(browser))

    page = browser.get("/oauth2/consents")
    assert "Test client" in page.text
    page = browser.send(page)

    assert "You let no application act for you" in page.text
    refresh = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    answer = httpx.post(f"{auth.url}/oauth2/token", data=refresh, auth=app.client)
    assert answer.json()["error"] == "invalid_grant"
    assert "decision" in browser.get(app.url()).text


def test_consent_page_names_where_the_browser_goes_back_to(auth: Auth) -> None:
    app = App(auth)
    browser = Browser(auth)
    user = auth.user("clinician")
    page = browser.sign_in(user.email, page=browser.get(app.url()))
    assert "<strong>app.example</strong>" in page.text


def test_sign_in_in_a_second_browser_is_told_by_mail(auth: Auth) -> None:
    user = auth.user("clinician")
    Browser(auth).sign_in(user.email)
    assert mails(auth, user.email) == []
    second = Browser(auth)
    second.sign_in(user.email)
    assert [each["subject"] for each in mails(auth, user.email)] == ["New sign-in to your account"]
    second.sign_in(user.email)
    assert len(mails(auth, user.email)) == 1


def test_recovery_codes_are_made_anew(auth: Auth) -> None:
    user = auth.user("clinician")
    browser = Browser(auth)
    browser.sign_in(user.email)
    assert "Confirm your password" in browser.get("/oauth2/recovery-codes").text
    page = browser.send(browser.get("/oauth2/recovery-codes"), password=PASSWORD)
    first = re.findall(r"<code>([a-z2-7-]{19})</code>", browser.send(page).text)
    second = re.findall(
        r"<code>([a-z2-7-]{19})</code>", browser.send(browser.get("/oauth2/recovery-codes")).text
    )
    assert len(first) == len(second) == 10 and not set(first) & set(second)
    stored = auth.sql("SELECT count(*) FROM recovery_codes WHERE user_id = $1", user.id)
    assert stored[0][0] == 10


def test_new_passwords_are_judged_by_the_bounded_workers_alone(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(self: Hashing, password: str, about: object) -> str:
        raise Unavailable("too_busy", "too many sign-ins at once")

    monkeypatch.setattr(Hashing, "check_new", busy)
    user, browser = auth.user("clinician"), Browser(auth)
    browser.sign_in(user.email)
    page = browser.get("/oauth2/password")
    form = {"password": PASSWORD, "new_password": "pelican quarry dulcimer"}
    assert browser.send(page, **form).status_code == 503
    page = browser.get(auth.reset_link(user.id))
    assert browser.send(page, new_password="pelican quarry dulcimer").status_code == 503
