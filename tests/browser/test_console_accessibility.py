"""axe finds nothing on any page of the console: light and dark, at two widths; and nothing runs over the edge."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.console import make_clinic, signed_in
from tests.browser.world import World

pytestmark = pytest.mark.browser
AXE = (Path(__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
RULES_THAT_APPLY = 10
LOOKS = [(width, scheme) for width in ((1280, 900), (320, 780)) for scheme in ("light", "dark")]


def violations(page: Page) -> list[str]:
    """Lists what axe finds: rule, and the elements."""
    page.evaluate(AXE)
    options = {"runOnly": {"type": "tag", "values": list(RULES)}}
    result = page.evaluate("options => axe.run(document, options)", options)
    assert len(result["passes"]) > RULES_THAT_APPLY, "axe looked at the page"
    found: list[dict[str, Any]] = result["violations"]
    return [
        f"{each['id']}: {' '.join(str(node['target']) for node in each['nodes'])[:300]}"
        for each in found
    ]


def check(page: Page, where: str) -> None:
    assert violations(page) == [], where
    over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert over <= 0, f"{where} is {over} pixels too wide"


def form_to(path: str, url: str, fields: dict[str, str]) -> str:
    """Makes a form on the same page that sends what an old page would."""
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    return f'<form method="post" action="{url}{path}">{inputs}<button>Send</button></form>'


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_pages_of_staff(
    chromium: Browser, world: World, size: tuple[int, int], scheme: Any
) -> None:
    clinic = make_clinic(world)
    chart = f"/patients/{clinic.patient_id}"
    paths = [
        "/",
        "/patients",
        "/patients/new",
        chart,
        f"{chart}/edit",
        f"{chart}/timeline",
        f"{chart}/results?category=",
        f"{chart}/results/{clinic.observation_id}",
        f"{chart}/summary",
        f"{chart}/entries/Condition/{clinic.condition_id}",
        f"{chart}/entries/Condition/{clinic.condition_id}/amend",
        f"{chart}/write/condition",
        f"{chart}/write/note",
        f"{chart}/write/vitals",
        f"{chart}/encounters/new",
        f"{chart}/money",
        f"{chart}/money/statement",
        f"{chart}/applications",
        "/cash-desk",
        "/figures",
        "/administration",
        "/administration/applications",
        "/administration/audit",
        "/administration/prices",
        "/administration/settings",
        "/operations",
        "/nothing-here",
    ]
    look = {"viewport": {"width": size[0], "height": size[1]}, "color_scheme": scheme}
    with signed_in(chromium, world, "admin", **look) as admin:
        for path in paths:
            admin.go(path)
            check(admin.page, path)
        # States: found, not found, faults by field.
        admin.go("/patients")
        admin.fill("Find a patient", clinic.family)
        admin.page.locator("#results table").wait_for()
        check(admin.page, "patients found")
        admin.go("/patients/new")
        admin.fill("E-mail address", "no address")
        admin.press("Register")
        check(admin.page, "faults of a form")
        admin.go("/patients/new")
        admin.fill("Family name", clinic.family)
        admin.fill("Given names", "Ana")
        admin.fill("Birth date", "31/12/1984")
        admin.press("Register")
        check(admin.page, "a possible duplicate")
        admin.go(f"{chart}/write/vitals")
        admin.press("Save")
        check(admin.page, "faults of vital signs")
        admin.go(f"{chart}/timeline")
        admin.page.get_by_text("As API").click()
        check(admin.page, "calls shown")
        admin.page.evaluate("document.getElementById('idle').showModal()")
        check(admin.page, "warning before the idle time is over")
        admin.go("/administration/audit?from=soon")
        check(admin.page, "faults of a filter")
        conflict = {"csrf": "old", "family": "Typed"}
        admin.page.set_content(form_to("/patients/new", world.url, conflict))
        admin.page.locator("button").click()
        admin.heading("Please confirm")
        check(admin.page, "a form of before the sign-in")


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_pages_of_a_patient_and_of_nobody(
    chromium: Browser, world: World, size: tuple[int, int], scheme: Any
) -> None:
    clinic = make_clinic(world)
    look = {"viewport": {"width": size[0], "height": size[1]}, "color_scheme": scheme}
    with signed_in(chromium, world, "patient", patient_id=clinic.patient_id, **look) as patient:
        for path in ("/my", "/my/results", "/my/bills", "/my/accesses", "/my/account"):
            patient.go(path)
            check(patient.page, path)
        patient.press("Sign out")
        patient.go("/")
        check(patient.page, "welcome")
        patient.go("/signed-out")
        check(patient.page, "signed out")
