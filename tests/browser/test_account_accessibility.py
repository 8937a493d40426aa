"""axe finds nothing on any page of sign-in and account, in any state.

In Spanish, whose words are longer; English is what every other test reads.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, Locator, Page

from apps.auth.encryption import digest
from apps.auth.texts import Texts
from tests.auth.conftest import run
from tests.browser.accessibility import NARROW, check
from tests.browser.world import Callback, World
from tests.console.sessions import PASSWORD

pytestmark = pytest.mark.browser
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"

Look = Callable[..., None]
LOCALE = "es-ES"


@pytest.fixture
def screen(chromium: Browser) -> Iterator[Page]:
    """A narrow page: what is in reach there is in reach on a wide one."""
    context = chromium.new_context(viewport=NARROW, locale=LOCALE)
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def look(screen: Page) -> Look:
    """Checks the page that is open, which must have the heading, in the browser's language."""

    def look(heading: str, /, **values: str) -> None:
        screen.get_by_role("heading", level=1).wait_for()
        assert screen.locator("html").get_attribute("lang") == LOCALE.partition("-")[0]
        assert screen.get_by_role("heading", level=1).inner_text() == say(heading, **values)
        check(screen, f"{heading} {screen.url}")

    return look


def say(text: str, /, **values: str) -> str:
    """Gives a text of the catalogue as the pages have it."""
    return Texts.choose((LOCALE,), "").gettext(text, **values)


def field(page: Page, label: str) -> Locator:
    return page.get_by_label(say(label), exact=True)


def execute(statement: str, *values: Any) -> None:
    """Runs a statement in the auth database of the platform."""

    async def work() -> None:
        connection = await asyncpg.connect(os.environ["PLATFORM_AUTH_DATABASE_URL"])
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()

    run(work())


def press(page: Page, name: str, /, **values: str) -> None:
    page.get_by_role("button", name=say(name, **values), exact=True).first.click()


def sign_in(page: Page, email: str, password: str = PASSWORD) -> None:
    field(page, "E-mail address").fill(email)
    field(page, "Password").fill(password)
    press(page, "Sign in")


def signed_in(world: World, page: Page, *roles: str) -> dict[str, Any]:
    person = world.person(*(roles or ("clinician",)))
    page.goto(person["passwordLink"])
    field(page, "New password").fill(PASSWORD)
    press(page, "Set password")
    sign_in(page, person["email"])
    page.get_by_role("heading", name=say("Your account")).wait_for()
    return person


def test_signing_in(world: World, screen: Page, look: Look) -> None:
    person = world.person("clinician")
    screen.goto(person["passwordLink"])
    look("Set your password")
    field(screen, "New password").fill("password1234")
    press(screen, "Set password")
    look("Set your password")
    field(screen, "New password").fill(PASSWORD)
    press(screen, "Set password")
    look("Sign in")
    sign_in(screen, person["email"], "not the right one")
    look("Sign in")
    screen.goto(person["passwordLink"])
    look("This link is not valid")
    screen.goto(f"{world.url}/oauth2/forgotten")
    look("Forgotten password")
    field(screen, "E-mail address").fill(person["email"])
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
    field(screen, "Password").fill("not the right one")
    press(screen, "Continue")
    look("Confirm your password")
    field(screen, "Password").fill(PASSWORD)
    press(screen, "Continue")
    look("Set up your second factor")
    device = pyotp.TOTP(screen.locator("#secret").inner_text())
    field(screen, "Code from your authenticator app").fill("000000")
    press(screen, "Continue")
    look("Set up your second factor")
    field(screen, "Code from your authenticator app").fill(device.now())
    press(screen, "Continue")
    look("Keep your recovery codes")
    screen.goto(f"{world.url}/oauth2/account")
    look("Your account")
    press(screen, "Sign out")
    look("You are signed out")
    screen.goto(f"{world.url}/oauth2/sign-in")
    sign_in(screen, person["email"])
    look("Enter your code")
    field(screen, "Code from your authenticator app").fill("000000")
    press(screen, "Continue")
    look("Enter your code")


def test_own_account(world: World, screen: Page, look: Look) -> None:
    person = signed_in(world, screen)
    look("Your account")
    screen.goto(f"{world.url}/oauth2/account?done=password")
    look("Your account")

    screen.goto(f"{world.url}/oauth2/password")
    look("Change your password")
    field(screen, "Present password").fill("not the right one")
    field(screen, "New password").fill("another long sentence")
    press(screen, "Change")
    look("Change your password")

    screen.goto(f"{world.url}/oauth2/email")
    look("Your e-mail address")
    field(screen, "E-mail address").fill(f"new-{person['email']}")
    field(screen, "Password").fill(PASSWORD)
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
    field(screen, "Password").fill(PASSWORD)
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
    press(screen, "Remove {name}", name="My phone")
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
    look("Allow {name}?", name="Ward rounds")
    press(screen, "Allow")
    callback.wait()
    screen.goto(f"{world.url}/oauth2/consents")
    look("Applications")
    press(screen, "Withdraw the consent for {name}", name="Ward rounds")
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
    screen.get_by_text(say("Nobody was found.")).wait_for()
    look("Choose a patient")
    screen.get_by_role("searchbox").or_(screen.get_by_role("textbox")).first.fill(family)
    press(screen, "Search")
    screen.get_by_role("button", name="Ada").first.wait_for()
    look("Choose a patient")
    screen.get_by_role("button", name="Ada").first.click()
    look("Allow {name}?", name="Ward rounds")


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
    look("Allow {name}?", name="Ward display")
    press(screen, decision)
    look("The device is connected" if decision == "Allow" else "The device was refused")
