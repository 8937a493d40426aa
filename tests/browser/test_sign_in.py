"""People sign in: password, second factor, consent, in a real browser with and without scripts."""

import time

import httpx
import pyotp
import pytest
from playwright.sync_api import Page, expect

from tests.browser.world import Callback, World
from tests.console.sessions import PASSWORD

pytestmark = pytest.mark.browser


def set_password(page: Page, link: str) -> None:
    page.goto(link)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_role("button", name="Set password").click()


def sign_in(page: Page, email: str) -> None:
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_person_signs_in_with_second_factor_and_consent(
    world: World, page: Page, callback: Callback
) -> None:
    person = world.person("clinician")
    set_password(page, person["passwordLink"])
    # A new password revokes the tokens of its second and, as clocks differ, of the next.
    good_from = int(time.time()) + 2
    sign_in(page, person["email"])
    page.get_by_role("link", name="Set up a second factor").click()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    picture = page.get_by_role("img", name="QR code")
    expect(picture).to_be_visible()
    box = picture.bounding_box()
    assert box and box["width"] > 100, "the policy lets the picture be drawn"
    device = pyotp.TOTP(page.locator("#secret").inner_text())
    page.get_by_label("Code from your authenticator app").fill(device.now())
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".codes code")).to_have_count(10)
    wide = page.viewport_size
    assert wide
    page.set_viewport_size({"width": 320, "height": 720})
    boxes = [code.bounding_box() for code in page.locator(".codes code").all()]
    assert len({round(box["x"]) for box in boxes if box}) == 1, "one below the other"
    assert all(box and box["height"] < 30 for box in boxes), "each on one line"
    page.set_viewport_size(wide)
    page.get_by_role("link", name="I have kept them").click()
    # So does a new second factor.
    good_from = int(time.time()) + 2
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()

    application = world.application(
        callback, "openid", "profile", "offline_access", "user/Patient.rs"
    )
    time.sleep(max(0.0, good_from - time.time()))
    page.goto(application.start())
    sign_in(page, person["email"])
    field = page.get_by_label("Code from your authenticator app")
    expect(field).to_be_focused()
    field.fill("000000")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("not right")
    # The code of the step after: this one's is used up.
    page.get_by_label("Code from your authenticator app").fill(device.at(int(time.time()) + 30))
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Allow Ward rounds?")).to_be_visible()
    expect(page.get_by_text("Read and search all records of the kind Patient")).to_be_visible()
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.get_by_role("heading", name="Back in the application")).to_be_visible()

    time.sleep(max(0.0, good_from - time.time()))
    token = application.finish()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    claims = httpx.get(f"{world.url}/oauth2/userinfo", headers=headers).json()
    assert claims["sub"] == person["id"] and token["refresh_token"] and token["id_token"]
    assert httpx.get(f"{world.url}/fhir/R4/Patient", headers=headers).status_code == 200
    assert httpx.get(f"{world.url}/analytics/v1/registrations", headers=headers).status_code == 403


def test_whoever_does_not_allow_goes_back_without_a_code(
    world: World, page: Page, callback: Callback
) -> None:
    person = world.person("clinician")
    set_password(page, person["passwordLink"])
    page.goto(world.application(callback, "openid").start())
    sign_in(page, person["email"])
    page.get_by_role("button", name="Do not allow").click()
    assert callback.wait()["error"] == "access_denied"


def test_pages_work_by_keyboard_alone(world: World, page: Page, callback: Callback) -> None:
    person = world.person("clinician")
    set_password(page, person["passwordLink"])
    page.goto(world.application(callback, "openid").start())
    expect(page.get_by_label("E-mail address")).to_be_focused()
    page.keyboard.type(person["email"])
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Allow Ward rounds?")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Allow", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    assert callback.wait()["code"]


def test_language_is_chosen_on_one_page_for_all(world: World, page: Page) -> None:
    page.goto(world.url)
    page.get_by_role("link", name="Sign in").first.click()
    page.get_by_role("button", name="Español").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Iniciar sesión")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    expect(page.get_by_role("button", name="Español")).to_have_attribute("aria-pressed", "true")
    # The sign-in still belongs to the console, which asked for English.
    person = world.person("clinician")
    page.get_by_label("Dirección de correo").fill(person["email"])
    page.get_by_label("Contraseña").fill("not the right one")
    page.get_by_role("button", name="Iniciar sesión", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("no es correcta")
    page.goto(world.url)
    expect(page.locator("html")).to_have_attribute("lang", "es")
    page.goto(f"{world.url}/analytics/v1/nothing")
    expect(page.locator("html")).to_have_attribute("lang", "es")


def test_wrong_password_is_told_and_read_out(world: World, page: Page) -> None:
    page.goto(f"{world.url}/oauth2/sign-in")
    sign_in(page, world.person("clinician")["email"])
    expect(page.get_by_role("alert")).to_contain_text("is not right")
    expect(page.get_by_label("Password", exact=True)).to_be_focused()


# The relative luminance and contrast of WCAG 2.2, of every text against what is behind it.
CONTRASTS = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const rgb = parse(getComputedStyle(e).backgroundColor);
      if (rgb.length === 3 || rgb[3] > 0) return rgb;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('main *')].filter((e) => e.innerText).map((e) => {
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) =>
        y - x);
    return [e.tagName, (a + 0.05) / (b + 0.05)];
  });
}"""


def test_text_is_readable_and_every_field_has_a_label(world: World, page: Page) -> None:
    person = world.person("clinician")
    paths = (
        person["passwordLink"],
        "/oauth2/sign-in",
        "/oauth2/account",
        "/oauth2/password",
        "/oauth2/enrol",
    )
    for path in paths:
        page.goto(path if path.startswith("http") else world.url + path)
        for field in page.locator("input:not([type=hidden])").all():
            identifier = field.get_attribute("id")
            assert page.locator(f"label[for={identifier}]").count() == 1
        for tag, contrast in page.evaluate(CONTRASTS):
            assert contrast >= 4.5, (path, tag, contrast)
        if path == "/oauth2/sign-in":
            set_password(page, person["passwordLink"])
            sign_in(page, person["email"])
