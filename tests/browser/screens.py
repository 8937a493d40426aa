"""`scripts/screens`: a picture of each screen of the console, at two widths, light and dark."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from apps.kit.texts import DEFAULT, LANGUAGES
from tests.browser.conftest import ARGUMENTS
from tests.browser.console import Worker, edit_too_late, sign_in, signed_in
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
HIDE_FOLDER = """folder => document.querySelectorAll("dd").forEach(each => {
    if (each.textContent.includes(folder)) each.textContent = each.textContent.replace(folder, "")
})"""


def find(world: World, path: str) -> list[dict[str, Any]]:
    """Gives the resources of a search."""
    bundle = world.admin.get(f"/fhir/R4/{path}").raise_for_status().json()
    return [entry["resource"] for entry in bundle.get("entry", [])]


def find_invoice(world: World, patient_id: str) -> str:
    """Gives the id of the patient's newest invoice."""
    path = f"{find_account(world, patient_id)}/invoices"
    return str(world.admin.get(path).raise_for_status().json()["invoices"][0]["invoiceId"])


def find_account(world: World, patient_id: str) -> str:
    """Gives the path of the patient's account."""
    found = world.admin.get("/billing/v1/accounts", params={"patient": patient_id})
    return f"/billing/v1/accounts/{found.raise_for_status().json()['accountId']}"


def make_bills(world: World, paying: str, owing: str) -> None:
    """Gives one patient a coverage, and asks for the write-off of what another one owes."""
    payer = {"payerId": "sun", "payerName": "Sun Insurance", "share": "COVERAGE_SHARE_PERCENT"}
    coverage = payer | {"percentBasisPoints": 8000, "validFrom": "2026-01-01"}
    path = f"{find_account(world, paying)}/coverages"
    world.admin.put(path, json={"coverages": [coverage]}).raise_for_status()
    path = f"{find_account(world, owing)}/invoices"
    invoice = world.admin.get(path).raise_for_status().json()["invoices"][0]
    waiting = world.admin.get("/billing/v1/write-offs?status=pending").raise_for_status().json()
    if not waiting["writeOffs"]:
        body = {"amount": invoice["open"], "reason": "Cannot be reached"}
        path = f"/billing/v1/invoices/{invoice['invoiceId']}/write-off"
        world.admin.post(path, json=body).raise_for_status()


def photograph(page: Page, world: World, folder: Path, name: str, path: str) -> None:
    """Takes a picture of a page, from its top, not endlessly long."""
    if path:
        page.goto(world.url + path)
    page.evaluate("document.activeElement && document.activeElement.blur()")
    # Where this machine keeps what it works on is nobody's business.
    page.evaluate(HIDE_FOLDER, str(ROOT))
    height = min(int(page.evaluate("document.documentElement.scrollHeight")), MAX_HEIGHT)
    width = page.viewport_size["width"] if page.viewport_size else 1280
    clip = {"x": 0, "y": 0, "width": width, "height": height}
    page.screenshot(path=folder / f"{name}.png", full_page=True, clip=clip)  # type: ignore[arg-type]


def take(
    chromium: Browser,
    world: World,
    folder: Path,
    look: str,
    language: str,
    chosen: Collection[str],
) -> None:
    """Takes the pictures of one look: the chosen ones, all where none is chosen."""

    def is_wanted(name: str) -> bool:
        return not chosen or name in chosen

    def shoot(page: Page, name: str, path: str = "") -> None:
        if is_wanted(name):
            photograph(page, world, folder, f"{name}-{look}", path)

    (width, height), scheme = LOOKS[look]
    context = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
    known = "identifier=urn:patient-management:demo|"
    # As apps/client/clinic.py makes them: what of each is invoiced and paid.
    patient, paying, billable, owing = (
        find(world, f"Patient?{known}{number}")[0]["id"] for number in (8, 4, 0, 3)
    )
    make_bills(world, paying, owing)
    invoice = find_invoice(world, paying)
    people = world.admin.get("/auth/v1/users").raise_for_status().json()["items"]
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
        "invoice": f"/patients/{paying}/money/invoices/{invoice}",
        "allocation": f"/patients/{paying}/money/allocate",
        "credit": f"/patients/{paying}/money/invoices/{invoice}/credit",
        "write-off": f"/patients/{paying}/money/invoices/{invoice}/write-off",
        "coverages": f"/patients/{paying}/money/coverages",
        "write-offs": "/write-offs",
        "reminders": "/reminders",
        "statement": f"/patients/{paying}/money/statement",
        "cash-desk": "/cash-desk",
        "figures": "/figures",
        "people": "/administration",
        "person": f"/administration/people/{people[0]['id']}",
        "applications": "/administration/applications",
        "audit": "/administration/audit",
        "settings": "/administration/settings",
        "prices": "/administration/prices",
        "operations": "/operations",
        "lag": "/operations/lag",
        "error": "/nothing-here",
    }
    with owner(chromium, world, **context) as admin:
        speak(admin.page, world, language)
        # Charts that were opened last.
        for each in (paying, patient):
            admin.go(f"/patients/{each}")
        for name, path in screens.items():
            shoot(admin.page, name, path)
        admin.go("/patients/new")
        for field, typed in (("family", "Raman"), ("given", "Priya"), ("birth_date", "11/04/1966")):
            admin.page.locator(f"[name={field}]").fill(typed)
        admin.page.locator("[name=gender]").first.focus()
        admin.page.locator("#similar li").first.wait_for()
        shoot(admin.page, "duplicate")
        admin.go(f"/patients/{billable}/money")
        admin.page.locator("button[value=preview]").click()
        admin.page.locator("tfoot").wait_for()
        shoot(admin.page, "preview")
        if is_wanted("conflict"):
            edit_too_late(admin, billable)
            shoot(admin.page, "conflict")
    with signed_in(chromium, world, "patient", patient_id=paying, **context) as own:
        speak(own.page, world, language)
        for name, path in (
            ("my-record", "/my"),
            ("my-bills", "/my/bills"),
            ("my-invoice", f"/my/bills/{invoice}"),
            ("my-results", "/my/results"),
            ("my-accesses", "/my/accesses"),
            ("my-account", "/my/account"),
        ):
            shoot(own.page, name, path)
        own.page.locator("form[action='/sign-out'] button").click()
        own.page.wait_for_load_state()
        shoot(own.page, "signed-out", "/signed-out")
        shoot(own.page, "welcome", "/")
        shoot(own.page, "sign-in", "/sign-in")


def speak(page: Page, world: World, language: str) -> None:
    """Chooses a language, as the buttons at the foot of each page do."""
    page.context.add_cookies([{"name": "language", "value": language, "url": world.url}])


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
    parser.add_argument("--screen", action="append", default=[], dest="screens")
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
            world = World(url, http)
            take(browser, world, options.folder, look, options.language, options.screens)
        browser.close()
    print(f"{len(list(options.folder.glob('*.png')))} pictures in {options.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
