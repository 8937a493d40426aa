"""What a person does on a page is done in full and recorded, or not at all."""

import asyncio
import re
import threading
from collections.abc import Callable

import asyncpg
import pyotp
import pytest

from apps.auth.pages import email_routes, forgotten_routes
from tests.auth.browser import App, Browser, signed_in
from tests.auth.conftest import PASSWORD, Auth
from tests.auth.oauth.test_device_codes import begin, device_client
from tests.auth.pages.browser_calls import call, person_with_passkey
from tests.auth.pages.external import person_of, way_back
from tests.auth.pages.test_pages import enrol, next_code

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("closed_clients")]

WAIT_SECONDS = 10.0


async def fail(*_: object) -> None:
    raise RuntimeError("nothing can be kept")


def test_sign_out_that_cannot_be_recorded_ends_no_session(
    auth: Auth, unrecorded: Callable[[], None]
) -> None:
    browser, user = signed_in(auth)
    page = browser.get("/oauth2/account")
    unrecorded()
    assert browser.send(page).status_code == 500
    assert auth.sql("SELECT 1 FROM sessions WHERE user_id = $1", user.id)


def test_second_factor_that_cannot_be_recorded_is_not_set_up_and_signs_nobody_in(
    auth: Auth, unrecorded: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = (
        "SELECT totp_last_step, (SELECT count(*) FROM sessions WHERE user_id = $1 AND NOT pending) "
        "FROM users WHERE id = $1"
    )
    browser, user = signed_in(auth)
    page = browser.enrolment()
    secret = re.findall(r'id="secret">([A-Z2-7]+)<', page.text)[0]
    with monkeypatch.context() as failing:
        failing.setattr("apps.auth.pages.steps.insert_audit", fail)
        assert browser.send(page, code=pyotp.TOTP(secret).now()).status_code == 500
    assert auth.sql("SELECT * FROM users WHERE id = $1", user.id)[0]["totp_enabled"] is False
    assert not auth.sql("SELECT 1 FROM recovery_codes WHERE user_id = $1", user.id)

    secret, _ = enrol(browser)
    fresh = Browser(auth)
    page = fresh.sign_in(user.email)
    code = next_code(auth, secret)
    before = auth.sql(state, user.id)
    unrecorded()
    assert fresh.send(page, code=code).status_code == 500
    assert auth.sql(state, user.id) == before


def test_passkey_that_signs_in_is_recorded_or_not_used(
    site: Auth, unrecorded: Callable[[], None]
) -> None:
    user, passkey = person_with_passkey(site)
    browser = Browser(site)
    page = browser.get("/oauth2/sign-in")
    options = call(browser, page, "sign-in/options").json()
    state = (
        "SELECT sign_count, used_at, (SELECT count(*) FROM sessions WHERE user_id = $1) "
        "FROM passkeys WHERE user_id = $1"
    )
    before = site.sql(state, user.id)
    unrecorded()
    answer = call(browser, page, "sign-in", {"credential": passkey.get(options)})
    assert answer.status_code == 500
    assert site.sql(state, user.id) == before


def test_device_is_not_connected_where_that_cannot_be_recorded(
    auth: Auth, unrecorded: Callable[[], None]
) -> None:
    client, (browser, _) = device_client(auth), signed_in(auth)
    begun = begin(auth, client)
    page = browser.get(begun["verification_uri_complete"])
    page = browser.send(page, user_code=begun["user_code"])
    unrecorded()
    assert browser.send(page, decision="allow").status_code == 500
    (code,) = auth.sql("SELECT state FROM device_codes WHERE client_id = $1", client[0])
    assert code["state"] == "pending"


def test_consent_without_a_code_is_not_kept(auth: Auth, unrecorded: Callable[[], None]) -> None:
    app, (browser, user) = App(auth), signed_in(auth)
    page = browser.get(app.url())
    unrecorded()
    assert browser.send(page, decision="allow").status_code == 500
    for table in ("consents", "authorization_codes"):
        assert not auth.sql(f"SELECT 1 FROM {table} WHERE user_id = $1", user.id)  # noqa: S608


def test_link_to_an_address_that_cannot_be_mailed_is_not_made(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, user = signed_in(auth)
    page = browser.get("/oauth2/email")
    monkeypatch.setattr(email_routes, "insert_mail_with_link", fail)
    answer = browser.send(page, password=PASSWORD, email="elsewhere@example.org")
    assert answer.status_code == 500
    assert not auth.sql("SELECT 1 FROM address_links WHERE user_id = $1", user.id)


def test_external_sign_in_that_cannot_be_recorded_makes_nobody(
    organization: Auth, provider: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = person_of(provider, "Doctors")
    browser, path = way_back(organization, provider, person.email)
    monkeypatch.setattr("apps.auth.pages.steps.insert_audit", fail)
    assert browser.get(path).status_code == 500
    assert not organization.sql("SELECT 1 FROM users WHERE email = $1", person.email)


@pytest.mark.parametrize("answers", [True, False])
async def test_forgotten_password_is_mailed_with_its_record_or_not_at_all(
    auth: Auth, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    asked = threading.Event()

    async def recording(*_: object) -> None:
        asked.set()
        if answers:
            raise asyncpg.PostgresError
        await asyncio.Event().wait()

    monkeypatch.setattr(forgotten_routes, "insert_audit", recording)
    monkeypatch.setattr(forgotten_routes, "TIMEOUT_SECONDS", 1.0)
    user, browser = auth.user("clinician"), Browser(auth)
    browser.send(browser.get("/oauth2/forgotten"), email=user.email)
    assert await asyncio.to_thread(asked.wait, WAIT_SECONDS)
    connection = await asyncpg.connect(auth.settings.database.url)
    try:
        await connection.execute(f"SET lock_timeout = '{WAIT_SECONDS}s'")
        # Until the end of the transaction, which holds its user.
        await connection.execute("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", user.id)
        for query in (
            "SELECT 1 FROM mails WHERE recipient = $1",
            "SELECT 1 FROM password_resets JOIN users ON users.id = user_id WHERE email = $1",
        ):
            assert not await connection.fetch(query, user.email)
    finally:
        await connection.close()
