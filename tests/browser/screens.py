"""`scripts/screens`: a picture of each screen of the console, at two widths, light and dark."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from apps.console.web.texts import DEFAULT, LANGUAGES
from tests.browser.conftest import ARGUMENTS
from tests.browser.console import Worker, sign_in, signed_in
from tests.browser.world import World

ROOT = Path(__file__).parents[2]
LOOKS = {
    "wide-light": ((1280, 900), "light"),
    "wide-dark": ((1280, 900), "dark"),
    "narrow-light": ((320, 780), "light"),
    "narrow-dark": ((320, 780), "dark"),
}
# Kept in the repository; the others are for whoever looks at all of them.
KEPT = ("wide-light", "narrow-dark")
MAX_HEIGHT = 1800


def find(world: World, path: str) -> list[dict[str, Any]]:
    """Gives the resources of a search."""
    bundle = world.admin.get(f"/fhir/R4/{path}").raise_for_status().json()
    return [entry["resource"] for entry in bundle.get("entry", [])]


def photograph(page: Page, world: World, folder: Path, name: str, path: str) -> None:
    """Takes a picture of a page, from its top, not endlessly long."""
    if path:
        page.goto(world.url + path)
    page.evaluate("document.activeElement && document.activeElement.blur()")
    height = min(int(page.evaluate("document.documentElement.scrollHeight")), MAX_HEIGHT)
    width = page.viewport_size["width"] if page.viewport_size else 1280
    clip = {"x": 0, "y": 0, "width": width, "height": height}
    page.screenshot(path=folder / f"{name}.png", full_page=True, clip=clip)  # type: ignore[arg-type]


def take(chromium: Browser, world: World, folder: Path, look: str, language: str) -> None:
    """Takes all pictures of one look."""
    (width, height), scheme = LOOKS[look]
    context = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
    known = "identifier=urn:patient-management:demo|"
    patient = find(world, f"Patient?{known}8")[0]["id"]
    paying = find(world, f"Patient?{known}4")[0]["id"]
    observation = find(world, f"Observation?patient={patient}&code=4548-4&_count=1")[0]["id"]
    condition = find(world, f"Condition?patient={patient}&_count=1")[0]["id"]
    chart = f"/patients/{patient}"
    screens = {
        "home": "/",
        "patients": "/patients",
        "register": "/patients/new",
        "chart": chart,
        "timeline": f"{chart}/timeline",
        "results": f"{chart}/results",
        "result": f"{chart}/results/{observation}",
        "entry": f"{chart}/entries/Condition/{condition}",
        "summary": f"{chart}/summary",
        "edit": f"{chart}/edit",
        "write": f"{chart}/write/condition",
        "vitals": f"{chart}/write/vitals",
        "encounter": f"{chart}/encounters/new",
        "money": f"/patients/{paying}/money",
        "statement": f"/patients/{paying}/money/statement",
        "cash-desk": "/cash-desk",
        "figures": "/figures",
        "people": "/administration",
        "applications": "/administration/applications",
        "audit": "/administration/audit",
        "settings": "/administration/settings",
        "prices": "/administration/prices",
        "operations": "/operations",
        "error": "/nothing-here",
    }
    with owner(chromium, world, **context) as admin:
        speak(admin.page, world, language)
        # Charts that were opened last.
        for each in (paying, patient):
            admin.go(f"/patients/{each}")
        for name, path in screens.items():
            photograph(admin.page, world, folder, f"{name}-{look}", path)
        admin.go("/patients/new")
        for field, typed in (("family", "Raman"), ("given", "Priya"), ("birth_date", "11/04/1966")):
            admin.page.locator(f"[name={field}]").fill(typed)
        admin.page.locator("[name=gender]").first.focus()
        admin.page.locator("#similar li").first.wait_for()
        photograph(admin.page, world, folder, f"duplicate-{look}", "")
    with signed_in(chromium, world, "patient", patient_id=paying, **context) as own:
        speak(own.page, world, language)
        for name, path in (
            ("my-record", "/my"),
            ("my-bills", "/my/bills"),
            ("my-results", "/my/results"),
            ("my-accesses", "/my/accesses"),
            ("my-account", "/my/account"),
        ):
            photograph(own.page, world, folder, f"{name}-{look}", path)
        own.page.locator("form[action='/sign-out'] button").click()
        photograph(own.page, world, folder, f"welcome-{look}", "/")
        photograph(own.page, world, folder, f"sign-in-{look}", "/sign-in")


def speak(page: Page, world: World, language: str) -> None:
    """Chooses a language, as the buttons at the foot of each page do."""
    page.context.add_cookies([{"name": "console-language", "value": language, "url": world.url}])


@contextmanager
def owner(chromium: Browser, world: World, **context: Any) -> Iterator[Worker]:
    """Signs in the administrator that the platform started with."""
    browser_context = chromium.new_context(locale="en-GB", **context)
    try:
        email = os.environ["PLATFORM_USER"]
        worker = Worker(browser_context.new_page(), world, email)
        sign_in(worker, password=os.environ["PLATFORM_PASSWORD"])
        yield worker
    finally:
        browser_context.close()


def main(arguments: list[str]) -> int:
    """Takes the pictures of the looks that are named, else those that the repository keeps."""
    parser = argparse.ArgumentParser(prog="scripts/screens")
    parser.add_argument("--look", action="append", choices=list(LOOKS), dest="looks")
    parser.add_argument("--language", choices=LANGUAGES, default=DEFAULT)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "screens")
    options = parser.parse_args(arguments)
    if "PLATFORM_URL" not in os.environ:
        scripts = ROOT / "scripts"
        up = [str(scripts / "up"), "--run", str(scripts / "screens"), *arguments]
        return subprocess.run(up, check=False).returncode
    subprocess.run([str(ROOT / "scripts" / "demo")], check=True, stdout=subprocess.DEVNULL)
    options.folder.mkdir(parents=True, exist_ok=True)
    url = os.environ["PLATFORM_URL"]
    login = {"email": os.environ["PLATFORM_USER"], "password": os.environ["PLATFORM_PASSWORD"]}
    with httpx.Client(base_url=url, timeout=30.0) as http, sync_playwright() as playwright:
        token = http.post("/auth/login", json=login).raise_for_status().json()["token"]
        http.headers["Authorization"] = f"Bearer {token}"
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(ARGUMENTS)
        )
        for look in options.looks or KEPT:
            take(browser, World(url, http), options.folder, look, options.language)
        browser.close()
    print(f"{len(list(options.folder.glob('*.png')))} pictures in {options.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
