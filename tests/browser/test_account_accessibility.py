"""axe finds nothing on any page of sign-in and account, in any state."""

import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, Page

from apps.auth.encryption import digest
from tests.auth.conftest import run
from tests.browser.accessibility import NARROW, check
from tests.browser.test_sign_in import set_password, sign_in
from tests.browser.world import Callback, World
from tests.console.sessions import PASSWORD

pytestmark = pytest.mark.browser
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"

Look = Callable[[str], None]


@pytest.fixture
def screen(chromium: Browser) -> Iterator[Page]:
    """A narrow page: what is in reach there is in reach on a wide one."""
    context = chromium.new_context(viewport=NARROW)
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def look(screen: Page) -> Look:
    """Checks the page that is open, which must have the heading."""

    def look(heading: str) -> None:
        screen.get_by_role("heading", level=1).wait_for()
        assert screen.get_by_role("heading", level=1).inner_text() == heading
        check(screen, f"{heading} {screen.url}")

    return look


def execute(statement: str, *values: Any) -> None:
    """Runs a statement in the auth database of the platform."""

    async def work() -> None:
        connection = await asyncpg.connect(os.environ["PLATFORM_AUTH_DATABASE_URL"])
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()

    run(work())


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).first.click()


def signed_in(world: World, page: Page, *roles: str) -> dict[str, Any]:
    person = world.person(*(roles or ("clinician",)))
    set_password(page, person["passwordLink"])
    sign_in(page, person["email"])
    page.get_by_role("heading", name="Your account").wait_for()
    return person


def test_signing_in(world: World, screen: Page, look: Look) -> None:
    person = world.person("clinician")
    screen.goto(person["passwordLink"])
    look("Set your password")
    screen.get_by_label("New password").fill("password1234")
    press(screen, "Set password")
    look("Set your password")
    screen.get_by_label("New password").fill(PASSWORD)
    press(screen, "Set password")
    look("Sign in")
    screen.get_by_label("E-mail address").fill(person["email"])
    screen.get_by_label("Password", exact=True).fill("not the right one")
    press(screen, "Sign in")
    look("Sign in")
    screen.goto(person["passwordLink"])
    look("This link is not valid")
    screen.goto(f"{world.url}/oauth2/forgotten")
    look("Forgotten password")
    screen.get_by_label("E-mail address").fill(person["email"])
    press(screen, "Send a link")
    look("Forgotten password")


def test_pages_of_errors(world: World, screen: Page, look: Look) -> None:
    screen.goto(f"{world.url}/oauth2/authorize?client_id=nobody&response_type=code")
    look("The application's request is not valid")
    # Without a provider in this platform's settings it is no page of ours.
    screen.goto(f"{world.url}/oauth2/external/callback?state=x&code=y")
    look("That did not work")
    screen.goto(f"{world.url}/oauth2/email/confirm?token=unknown")
    look("This link is not valid")
    screen.goto(f"{world.url}/oauth2/logout")
    look("You are signed out")


def test_second_factor(world: World, screen: Page, look: Look) -> None:
    person = signed_in(world, screen)
    screen.goto(f"{world.url}/oauth2/enrol")
    look("Confirm your password")
    screen.get_by_label("Password", exact=True).fill("not the right one")
    press(screen, "Continue")
    look("Confirm your password")
    screen.get_by_label("Password", exact=True).fill(PASSWORD)
    press(screen, "Continue")
    look("Set up your second factor")
    device = pyotp.TOTP(screen.locator("#secret").inner_text())
    screen.get_by_label("Code from your authenticator app").fill("000000")
    press(screen, "Continue")
    look("Set up your second factor")
    screen.get_by_label("Code from your authenticator app").fill(device.now())
    press(screen, "Continue")
    look("Keep your recovery codes")
    screen.goto(f"{world.url}/oauth2/account")
    look("Your account")
    press(screen, "Sign out")
    look("You are signed out")
    screen.goto(f"{world.url}/oauth2/sign-in")
    sign_in(screen, person["email"])
    look("Enter your code")
    screen.get_by_label("Code from your authenticator app").fill("000000")
    press(screen, "Continue")
    look("Enter your code")


def test_own_account(world: World, screen: Page, look: Look) -> None:
    person = signed_in(world, screen)
    look("Your account")
    screen.goto(f"{world.url}/oauth2/account?done=password")
    look("Your account")

    screen.goto(f"{world.url}/oauth2/password")
    look("Change your password")
    screen.get_by_label("Present password").fill("not the right one")
    screen.get_by_label("New password").fill("another long sentence")
    press(screen, "Change")
    look("Change your password")

    screen.goto(f"{world.url}/oauth2/email")
    look("Your e-mail address")
    screen.get_by_label("E-mail address").fill(f"new-{person['email']}")
    screen.get_by_label("Password", exact=True).fill(PASSWORD)
    press(screen, "Send the link")
    look("Your account")
    token = secrets.token_urlsafe(32)
    execute(
        "UPDATE address_links SET token_hash = $1 WHERE user_id = $2", digest(token), person["id"]
    )
    screen.goto(f"{world.url}/oauth2/email/confirm?token={token}")
    look("Confirm your address")
    press(screen, "Confirm")
    look("Your account")

    execute(
        "INSERT INTO sessions (token_hash, user_id, methods, pending, device, address, "
        "idle_seconds, "
        "expires_at) VALUES ($1, $2, '{pwd}', false, 'Firefox, Windows', '192.0.2.1', 600, "
        "now() + interval '1 hour')",
        secrets.token_bytes(32),
        person["id"],
    )
    screen.goto(f"{world.url}/oauth2/sessions")
    look("Where you are signed in")
    press(screen, "Sign out all others")
    look("Where you are signed in")

    screen.goto(f"{world.url}/oauth2/passkeys")
    screen.get_by_label("Password", exact=True).fill(PASSWORD)
    press(screen, "Continue")
    look("Passkeys")
    execute(
        "INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count, name) "
        "VALUES (gen_random_uuid(), $1, $2, 'key', 0, 'My phone')",
        person["id"],
        secrets.token_bytes(16),
    )
    screen.reload()
    look("Passkeys")
    screen.get_by_role("button", name="Remove My phone").click()
    look("Passkeys")

    screen.goto(f"{world.url}/oauth2/recovery-codes")
    look("New recovery codes")
    press(screen, "Make new codes")
    look("Keep your recovery codes")
    screen.goto(f"{world.url}/oauth2/logout")
    look("Sign out?")


def test_applications(world: World, screen: Page, look: Look, callback: Callback) -> None:
    signed_in(world, screen)
    screen.goto(f"{world.url}/oauth2/consents")
    look("Applications")
    application = world.application(callback, "openid", "profile", "user/Patient.rs")
    screen.goto(application.start())
    look("Allow Ward rounds?")
    press(screen, "Allow")
    callback.wait()
    screen.goto(f"{world.url}/oauth2/consents")
    look("Applications")
    screen.get_by_role("button", name="Withdraw the consent for Ward rounds").click()
    look("Applications")


def test_patient_picker(world: World, screen: Page, look: Look, callback: Callback) -> None:
    signed_in(world, screen)
    family = f"Picker{secrets.token_hex(4)}"
    for given in ("Ada", "Bela"):
        patient = {
            "resourceType": "Patient",
            "name": [{"family": family, "given": [given]}],
            "birthDate": "1960-01-01",
            "gender": "female",
        }
        world.admin.post("/fhir/R4/Patient", json=patient).raise_for_status()
    application = world.application(callback, "openid", "launch/patient", "patient/*.rs")
    screen.goto(application.start())
    look("Choose a patient")
    screen.get_by_role("searchbox").or_(screen.get_by_role("textbox")).first.fill("Nobody at all")
    press(screen, "Search")
    # The pages before and after have one title.
    screen.get_by_text("Nobody was found.").wait_for()
    look("Choose a patient")
    screen.get_by_role("searchbox").or_(screen.get_by_role("textbox")).first.fill(family)
    press(screen, "Search")
    screen.get_by_role("button", name="Ada").first.wait_for()
    look("Choose a patient")
    screen.get_by_role("button", name="Ada").first.click()
    look("Allow Ward rounds?")


@pytest.mark.parametrize("decision", ["Allow", "Do not allow"])
def test_device(world: World, screen: Page, look: Look, decision: str) -> None:
    client = {
        "name": "Ward display",
        "authMethod": "none",
        "grantTypes": [DEVICE_CODE],
        "scopes": ["openid", "user/Patient.rs"],
    }
    made = world.admin.post("/auth/v1/clients", json=client).raise_for_status().json()
    code = httpx.post(
        f"{world.url}/oauth2/device_authorization",
        data={"client_id": made["id"], "scope": "openid user/Patient.rs"},
    ).json()
    signed_in(world, screen)
    screen.goto(f"{world.url}/oauth2/device")
    look("Connect a device")
    screen.get_by_role("textbox").fill("BCDF-GHJK")
    press(screen, "Continue")
    look("Connect a device")
    screen.goto(code["verification_uri_complete"])
    press(screen, "Continue")
    look("Allow Ward display?")
    press(screen, decision)
    look("The device is connected" if decision == "Allow" else "The device was refused")
