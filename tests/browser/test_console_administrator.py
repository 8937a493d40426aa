"""An administrator's day: invite a person, change roles, register an application, look at audit
and operations.
"""

import re
import secrets

import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.console import signed_in
from tests.browser.test_sign_in import sign_in
from tests.browser.world import World
from tests.console.sessions import PASSWORD

pytestmark = pytest.mark.browser


def test_day_of_an_administrator(chromium: Browser, world: World) -> None:
    email = f"{secrets.token_hex(6)}@example.org"
    with signed_in(chromium, world, "admin") as admin:
        admin.follow("Administration")
        add = admin.page.locator("section", has_text="Add a person")
        add.get_by_label("Name", exact=True).fill("New Clinician")
        add.get_by_label("E-mail address").fill("no address")
        add.get_by_role("button", name="Add").click()
        expect(admin.page.get_by_role("alert")).to_be_visible()
        assert add.get_by_label("Name", exact=True).input_value() == "New Clinician"
        add.get_by_label("E-mail address").fill(email)
        add.get_by_label("Clinician").check()
        add.get_by_role("button", name="Add").click()
        admin.sees("The person was added.")
        link = admin.page.locator(".notice code").inner_text()

        with chromium.new_context() as other:
            page = other.new_page()
            page.goto(link)
            page.get_by_label("New password").fill(PASSWORD)
            page.get_by_role("button", name="Set password").click()
            sign_in(page, email)
            page.get_by_role("link", name="Set up a second factor").click()
            page.get_by_label("Password", exact=True).fill(PASSWORD)
            page.get_by_role("button", name="Continue").click()
            device = pyotp.TOTP(page.locator("#secret").inner_text())
            page.get_by_label("Code from your authenticator app").fill(device.now())
            page.get_by_role("button", name="Continue").click()
            expect(page.locator(".codes code")).to_have_count(10)

        admin.go(f"/administration?q={email}")
        admin.follow("New Clinician")
        admin.page.get_by_label("Front desk").check()
        admin.press("Save")
        admin.sees("The account was changed.")
        expect(admin.page.get_by_label("Front desk")).to_be_checked()
        admin.press("Disable")
        admin.sees("Disabled")
        admin.press("Enable")
        admin.press("Unlock")
        admin.sees("The account was changed.")
        admin.press("Second factor off")
        expect(admin.page.get_by_role("button", name="Second factor off")).to_have_count(0)
        admin.press("End all sessions")
        admin.press("New password link")
        admin.sees("Hand over this link")
        admin.press("Delete")
        admin.sees("The account was changed.")
        admin.go(f"/administration?q={email}")
        admin.heading("People")
        expect(admin.page.get_by_role("link", name="New Clinician")).to_have_count(0)

        admin.follow("Applications")
        name = f"Reports {secrets.token_hex(3)}"
        admin.fill("Name", name)
        admin.fill("Scopes", "system/Patient.rs")
        admin.press("Register")
        admin.sees("the secret is shown only once")
        client_id, secret = admin.page.locator(".notice code").all_inner_texts()
        form = {"grant_type": "client_credentials"}
        answer = httpx.post(f"{world.url}/oauth2/token", data=form, auth=(client_id, secret))
        assert answer.status_code == 200

        row = admin.page.get_by_role("row", name=name)
        row.get_by_role("button", name="New secret").click()
        admin.sees("the secret is shown only once")
        _, rotated = admin.page.locator(".notice code").all_inner_texts()
        assert rotated != secret
        answer = httpx.post(f"{world.url}/oauth2/token", data=form, auth=(client_id, rotated))
        assert answer.status_code == 200

        row.get_by_role("button", name="Disable").click()
        row.get_by_role("button", name="Delete").click()
        expect(admin.page.get_by_role("row", name=name)).to_have_count(0)
        answer = httpx.post(f"{world.url}/oauth2/token", data=form, auth=(client_id, rotated))
        assert answer.status_code == 401

        admin.follow("Audit")
        admin.fill("Event", "user_unlocked")
        admin.press("Show")
        expect(admin.page.locator("tbody tr").first).to_contain_text("user_unlocked")

        admin.follow("Price list")
        admin.fill("Prices as CSV", "nonsense")
        admin.press("Check")
        expect(
            admin.page.get_by_role("alert").or_(admin.page.locator(".notice.bad"))
        ).to_be_visible()
        assert admin.page.get_by_label("Prices as CSV").input_value() == "nonsense"
        admin.follow("Settings")
        admin.sees("CLINIC_TIME_ZONE")
        admin.follow("Operations")
        expect(admin.page.locator("main")).to_contain_text(re.compile("event waits|events wait"))
        admin.sees("scripts/operate local status")
