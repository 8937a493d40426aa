"""axe finds nothing on any page of the console.

The first paint needs one stylesheet and one script.
"""

from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Request

from tests.browser.accessibility import NARROW, check
from tests.browser.console import (
    Clinic,
    Worker,
    charge,
    draft,
    edit_too_late,
    issue,
    make_clinic,
    signed_in,
)
from tests.browser.test_console_failures import stopped
from tests.browser.world import World

pytestmark = pytest.mark.browser
# As long as the gateway waits for a service, and more.
NO_ANSWER_MS = 60_000


@dataclass(frozen=True)
class Data:
    """A patient with a chart and with money in every state, and a person who signs in."""

    clinic: Clinic
    draft_id: str
    issued_id: str
    person_id: str


@pytest.fixture(scope="module")
def data(world: World) -> Data:
    clinic = make_clinic(world)
    issued = draft(world, clinic.patient_id)
    issue(world, issued)
    paid = {"amount": {"minorUnits": "2500"}, "method": "PAYMENT_METHOD_CARD"}
    world.admin.post(f"/billing/v1/invoices/{issued}/payments", json=paid).raise_for_status()
    payer = {"payerId": "insurer-1", "payerName": "Sun Insurance"}
    share = {"share": "COVERAGE_SHARE_FIXED", "amount": {"minorUnits": "100", "currency": "USD"}}
    base = charge(world, clinic.patient_id, "Bandage")
    world.admin.put(f"{base}/coverages", json={"coverages": [payer | share]}).raise_for_status()
    late = draft(world, clinic.patient_id)
    answer = world.admin.post(f"/billing/v1/invoices/{late}/issue", json={"issuedOn": "2020-01-02"})
    answer.raise_for_status()
    lost = {"amount": {"minorUnits": "10500"}, "reason": "Insolvent"}
    path = f"/billing/v1/invoices/{late}/write-off"
    world.admin.post(path, json=lost).raise_for_status()
    drafted = draft(world, clinic.patient_id)
    # For the preview.
    charge(world, clinic.patient_id, "Bandage")
    return Data(clinic, drafted, issued, world.person("clinician")["id"])


def form_to(path: str, url: str, fields: dict[str, str]) -> str:
    """Makes a form on the same page that sends what an old page would."""
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    return f'<form method="post" action="{url}{path}">{inputs}<button>Send</button></form>'


def test_pages_of_staff(chromium: Browser, world: World, data: Data) -> None:
    clinic = data.clinic
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
        f"{chart}/money/invoices/{data.draft_id}",
        f"{chart}/money/invoices/{data.issued_id}",
        f"{chart}/money/invoices/{data.issued_id}/credit",
        f"{chart}/money/invoices/{data.issued_id}/write-off",
        f"{chart}/money/allocate",
        f"{chart}/money/coverages",
        "/reminders",
        "/write-offs",
        f"{chart}/applications",
        "/cash-desk",
        "/figures",
        "/administration",
        f"/administration/people/{data.person_id}",
        "/administration/applications",
        "/administration/audit",
        "/administration/prices",
        "/administration/settings",
        "/operations",
        "/operations/lag",
        "/nothing-here",
    ]
    with signed_in(chromium, world, "admin", viewport=NARROW) as admin:
        for path in paths:
            admin.go(path)
            check(admin.page, path)
        check_bills(admin, data)
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
        edit_too_late(admin, clinic.patient_id)
        check(admin.page, "a conflict")
        admin.go(f"{chart}/money")
        admin.press("Preview the invoice")
        admin.heading("Preview of the invoice")
        check(admin.page, "the preview of an invoice")
        check_cash_day(admin)


def check_bills(admin: Worker, data: Data) -> None:
    """Looks at the forms of money with faults at their fields."""
    money = f"/patients/{data.clinic.patient_id}/money"
    admin.go(f"{money}/allocate")
    admin.page.get_by_label("Invoice", exact=False).first.fill("much")
    admin.press("Record the payment")
    admin.sees("This is not an amount.")
    check(admin.page, "faults of a divided payment")
    admin.go(f"{money}/invoices/{data.issued_id}/credit")
    admin.page.get_by_label("Credit of", exact=False).first.fill("1000")
    admin.press("Write the credit note")
    admin.sees("At most")
    check(admin.page, "faults of a credit note")
    admin.go(f"{money}/coverages")
    admin.press("Add the coverage")
    admin.sees("This is not a percentage.")
    check(admin.page, "faults of a coverage")
    admin.go("/write-offs")
    admin.page.locator("tbody details").first.evaluate("each => { each.open = true }")
    admin.press("Refuse the write-off")
    admin.sees("Say why.")
    check(admin.page, "faults of a refusal")


def check_cash_day(admin: Worker) -> None:
    """Looks at the cash desk with its day open, and counted."""
    admin.go("/cash-desk")
    admin.fill("Cash in the drawer", "100")
    admin.press("Open the day")
    admin.sees("The cash desk was opened.")
    check(admin.page, "the cash desk is open")
    admin.fill("Counted cash", "90")
    admin.press("Count")
    admin.page.get_by_role("button", name="Close the day").wait_for()
    check(admin.page, "the cash is counted")
    admin.press("Close the day")
    admin.sees("The cash desk was closed.")


def test_pages_while_a_service_is_away(chromium: Browser, world: World, data: Data) -> None:
    chart = f"/patients/{data.clinic.patient_id}"
    with signed_in(chromium, world, "admin", viewport=NARROW) as admin:
        admin.page.set_default_timeout(NO_ANSWER_MS)
        admin.go(f"{chart}/money")
        admin.page.get_by_label("Amount").first.fill("1")
        with stopped("billing"):
            admin.press("Record the payment")
            admin.page.get_by_text("Nothing that you typed is lost").wait_for()
            check(admin.page, "a form while billing is away")
            admin.go("/operations")
            check(admin.page, "operations while billing is away")
        admin.go("/patients/new")
        admin.fill("Family name", "Typed before")
        with stopped("patient"):
            admin.press("Register")
            admin.page.get_by_text("Nothing that you typed is lost").wait_for()
            check(admin.page, "a registration while the record is away")
            for path, text in (("/", "did not answer in time"), (chart, "Try again")):
                admin.go(path)
                admin.page.get_by_text(text).first.wait_for()
                check(admin.page, f"{path} while the record is away")


def test_pages_of_a_patient_and_of_nobody(chromium: Browser, world: World, data: Data) -> None:
    clinic = data.clinic
    with signed_in(
        chromium, world, "patient", patient_id=clinic.patient_id, viewport=NARROW
    ) as patient:
        own_bill = f"/my/bills/{data.issued_id}"
        for path in ("/my", "/my/results", "/my/bills", "/my/accesses", "/my/account", own_bill):
            patient.go(path)
            check(patient.page, path)
        patient.press("Sign out")
        patient.go("/")
        check(patient.page, "welcome")
        patient.go("/signed-out")
        check(patient.page, "signed out")
        patient.go("/sign-in/callback?error=access_denied")
        patient.heading("You were not signed in")
        check(patient.page, "a sign-in that failed")


def test_first_paint_needs_one_stylesheet_and_one_script(chromium: Browser, world: World) -> None:
    clinic = make_clinic(world)
    with signed_in(chromium, world, "admin") as admin:
        for path in (
            "/",
            "/patients",
            f"/patients/{clinic.patient_id}",
            f"/patients/{clinic.patient_id}/results/{clinic.observation_id}",
            f"/patients/{clinic.patient_id}/money",
            "/figures",
            "/operations",
            "/nothing-here",
        ):
            asked: dict[str, list[str]] = {"stylesheet": [], "script": []}

            def note(request: Request, asked: dict[str, list[str]] = asked) -> None:
                if request.resource_type in asked:
                    asked[request.resource_type].append(request.url)

            admin.page.on("request", note)
            admin.go(path)
            admin.page.wait_for_load_state("load")
            admin.page.remove_listener("request", note)
            assert [len(urls) for urls in asked.values()] == [1, 1], (path, asked)
            assert all(
                url.startswith(f"{world.url}/static/") for urls in asked.values() for url in urls
            )
