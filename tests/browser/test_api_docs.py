"""`/docs`: the API's document in a viewer that others maintain, under its strict policy."""

import os
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.world import World

pytestmark = pytest.mark.browser

# The viewer resolves an operation when it is opened: a moment on a busy machine.
VIEWER_TIMEOUT_MS = 40_000
LOOKS = [
    ((1280, 900), "light"),
    ((1280, 900), "dark"),
    ((360, 780), "light"),
    ((360, 780), "dark"),
]


@pytest.fixture
def viewer(chromium: Browser) -> Iterator[Page]:
    """A page whose every complaint, as of the Content-Security-Policy, fails the test."""
    context = chromium.new_context()
    context.set_default_timeout(VIEWER_TIMEOUT_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    yield page
    context.close()
    assert complaints == []


def open_operation(page: Page, id: str) -> None:
    operation = page.locator(f'[id$="-{id}"]')
    operation.locator(".opblock-summary-control").click()
    expect(operation.locator(".responses-wrapper")).to_be_visible(timeout=VIEWER_TIMEOUT_MS)


def test_person_tries_an_operation_with_a_token(viewer: Page, world: World) -> None:
    viewer.goto(f"{world.url}/docs?part=Administration")
    asked = world.admin.get("/auth/v1/users").raise_for_status().request
    token = asked.headers["Authorization"].removeprefix("Bearer ")
    viewer.get_by_role("button", name="Authorize").first.click()
    viewer.locator(".auth-container input[type=text]").first.fill(token)
    viewer.locator(".auth-container").first.get_by_role("button", name="Apply").click()
    viewer.locator(".btn-done").first.click()
    open_operation(viewer, "listUsers")
    viewer.locator('tr[data-param-name="q"] input').fill(os.environ["PLATFORM_USER"])
    viewer.get_by_role("button", name="Execute").click()
    answer = viewer.locator(".live-responses-table")
    expect(answer).to_contain_text("200", timeout=VIEWER_TIMEOUT_MS)
    expect(answer).to_contain_text(os.environ["PLATFORM_USER"])


def test_client_gets_a_token_by_its_secret(viewer: Page, world: World) -> None:
    viewer.goto(f"{world.url}/docs?part=Patients")
    viewer.get_by_role("button", name="Authorize").first.click()
    form = viewer.locator(".auth-container").nth(1)
    form.locator("#client_id_clientCredentials").fill(os.environ["PLATFORM_CLIENT_ID"])
    form.locator("#client_secret_clientCredentials").fill(os.environ["PLATFORM_CLIENT_SECRET"])
    # The box itself is hidden: its label is drawn as one.
    form.locator('label[for^="system/*.cruds"]').first.click()
    form.locator("button.authorize").click()
    viewer.locator(".btn-done").first.click()
    open_operation(viewer, "listPatients")
    viewer.get_by_role("button", name="Execute").click()
    expect(viewer.locator(".live-responses-table")).to_contain_text("200")


@pytest.mark.parametrize("part", ["Patient", "ExplanationOfBenefit", "FHIR R4", "Billing"])
def test_parts_show_fields_and_examples(viewer: Page, world: World, part: str) -> None:
    viewer.goto(f"{world.url}/docs")
    viewer.locator(f'nav a[data-part="{part}"]').click()
    expect(viewer.locator('nav a[aria-current="page"]')).to_have_text(part)
    ids = {"FHIR R4": "postBundle", "Billing": "createInvoice"}
    open_operation(viewer, ids.get(part, f"create{part}"))
    if part == "Patient":
        expect(viewer.locator(".opblock-body textarea")).to_have_value(re.compile("resourceType"))
    viewer.get_by_role("tab", name="Schema").first.click()
    expect(viewer.locator(".opblock-body").first).to_contain_text(
        "birthDate" if part == "Patient" else ""
    )


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_page_fits_and_follows_the_persons_colours(
    viewer: Page, world: World, size: tuple[int, int], scheme: str
) -> None:
    viewer.set_viewport_size({"width": size[0], "height": size[1]})
    viewer.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    viewer.goto(f"{world.url}/docs?part=Patients")
    expect(viewer.locator(".opblock").first).to_be_visible(timeout=VIEWER_TIMEOUT_MS)
    assert viewer.evaluate("document.documentElement.classList.contains('dark-mode')") == (
        scheme == "dark"
    )
    assert viewer.evaluate("document.documentElement.scrollWidth") <= size[0]
    if folder := os.environ.get("SCREENS"):
        viewer.screenshot(path=f"{folder}/docs-{size[0]}-{scheme}.png", full_page=True)
