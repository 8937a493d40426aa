"""The console as the browser tests use it: people with a role, signed in, and
patients to work with.
"""

import re
import secrets
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.browser.world import World
from tests.console.sessions import PASSWORD, make_users

PAGE_TIMEOUT_MS = 15_000


@dataclass(frozen=True)
class Worker:
    """A person of the clinic or a patient, signed in at a page of their own."""

    page: Page
    world: World
    email: str

    def go(self, path: str) -> None:
        self.page.goto(self.world.url + path)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).first.click()

    def fill(self, label: str, text: str) -> None:
        self.page.get_by_label(re.compile(rf"^{re.escape(label)}( \(required\))?$")).fill(text)

    def sees(self, text: str) -> None:
        expect(self.page.locator("main")).to_contain_text(text)

    def heading(self, text: str) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_contain_text(text)


@contextmanager
def signed_in(
    chromium: Browser, world: World, role: str, patient_id: str = "", **context: Any
) -> Iterator[Worker]:
    """Signs a person in at the console: of the staff, or one made for this patient."""
    if patient_id:
        (email,) = make_users(world.admin, [{"roles": [role], "patientId": patient_id}])
    else:
        email = world.worker(role)
    options = {"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **context}
    browser_context = chromium.new_context(**options)
    browser_context.set_default_timeout(PAGE_TIMEOUT_MS)
    try:
        worker = Worker(browser_context.new_page(), world, email)
        sign_in(worker)
        yield worker
    finally:
        browser_context.close()


def sign_in(worker: Worker, path: str = "/", password: str = PASSWORD) -> None:
    """Signs in from the console's own page, and waits until it is there again."""
    worker.go(path if path != "/" else "/sign-in")
    page = worker.page
    if "/oauth2/" in page.url:
        page.get_by_label("E-mail address").fill(worker.email)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def word() -> str:
    """Makes a family name that nobody else has."""
    return "Q" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(9))


def make_patient(world: World, family: str, **elements: Any) -> str:
    """Registers a patient by the API, and gives the id."""
    resource = {
        "resourceType": "Patient",
        "name": [{"use": "official", "family": family, "given": ["Ana"]}],
        "birthDate": "1984-12-31",
        "gender": "female",
        **elements,
    }
    headers = {"Content-Type": "application/fhir+json", "Prefer": "return=representation"}
    answer = world.admin.post("/fhir/R4/Patient", json=resource, headers=headers)
    return str(answer.raise_for_status().json()["id"])


@dataclass(frozen=True)
class Clinic:
    """A patient with something in every part of the chart."""

    patient_id: str
    family: str
    condition_id: str
    observation_id: str


def make_clinic(world: World, text: str = "") -> Clinic:
    """Makes a patient with a chart; `text` stands wherever text is kept."""
    family = word()
    said = {"family": f"{family} {text}", "given": [text or "Ana"]}
    contact = [{"system": "phone", "value": f"+34 600 {text}"}]
    patient_id = make_patient(
        world,
        family,
        name=[{"use": "official", **said}],
        telecom=contact,
        address=[{"line": [f"1 Street {text}"], "city": f"Town {text}"}],
    )
    subject = {"reference": f"Patient/{patient_id}"}
    made = {}
    concept = {"text": f"Something {text}"}
    for day in (1, 2, 3):
        for resource in (
            {
                "resourceType": "Condition",
                "subject": subject,
                "code": concept,
                "recordedDate": f"2026-05-0{day}",
                "note": [{"text": f"Remark {text}"}],
                "clinicalStatus": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                            "code": "active",
                        }
                    ]
                },
            },
            {
                "resourceType": "Observation",
                "subject": subject,
                "status": "final",
                "code": {
                    "coding": [{"system": "http://loinc.org", "code": "718-7", "display": "Hb"}],
                    "text": f"Hemoglobin {text}",
                },
                "category": [{"coding": [{"code": "laboratory"}]}],
                "effectiveDateTime": f"2026-05-0{day}T10:00:00Z",
                "valueQuantity": {"value": 12.5 + day, "unit": f"g/dL{text}"},
                "referenceRange": [{"low": {"value": 12}, "high": {"value": 16}}],
            },
            {
                "resourceType": "Procedure",
                "subject": subject,
                "status": "completed",
                "code": concept,
                "performedDateTime": f"2026-05-0{day}",
            },
        ):
            headers = {
                "Content-Type": "application/fhir+json",
                "Prefer": "return=representation",
            }
            kind = resource["resourceType"]
            answer = world.admin.post(f"/fhir/R4/{kind}", json=resource, headers=headers)
            made[kind] = answer.raise_for_status().json()["id"]
    return Clinic(patient_id, family, made["Condition"], made["Observation"])


def charge(world: World, patient_id: str, description: str) -> str:
    """Adds a charge to the patient's account, which follows the registration; gives its path."""
    for _ in range(40):
        found = world.admin.get("/billing/v1/accounts", params={"patient": patient_id})
        if found.status_code == 200:
            break
        time.sleep(0.25)
    account = found.raise_for_status().json()
    base = f"/billing/v1/accounts/{account['accountId']}"
    price = {"minorUnits": "12500", "currency": account["currency"]}
    item = {
        "code": "VISIT",
        "description": description,
        "quantityDecimal": "1",
        "unitPrice": price,
        "taxCategory": "exempt",
        "revenueGroup": "encounters",
    }
    world.admin.post(f"{base}/charge-items", json=item).raise_for_status()
    return base


def draft(world: World, patient_id: str, description: str = "Visit") -> str:
    """Drafts an invoice to the patient, and gives its id."""
    base = charge(world, patient_id, description)
    invoice = world.admin.post(f"{base}/invoices", json={}).raise_for_status().json()
    return str(invoice["invoiceId"])


def issue(world: World, invoice_id: str) -> str:
    """Issues a drafted invoice, and gives its number."""
    path = f"/billing/v1/invoices/{invoice_id}/issue"
    return str(world.admin.post(path, json={}).raise_for_status().json()["number"])


def bill(world: World, patient_id: str, description: str = "Visit") -> str:
    """Issues an invoice to the patient, and gives its number."""
    return issue(world, draft(world, patient_id, description))


def edit_too_late(worker: Worker, patient_id: str) -> None:
    """Saves a form after somebody else changed the same record: the conflict is shown."""
    move(worker.world, patient_id, "Madrid")
    worker.go(f"/patients/{patient_id}/edit")
    worker.page.locator("#city").fill("Sevilla")
    move(worker.world, patient_id, "Toledo")
    worker.page.locator("#city").press("Enter")
    worker.page.locator("#conflict-title").wait_for()


def move(world: World, patient_id: str, city: str) -> None:
    """Gives a patient another address by the API."""
    path = f"/fhir/R4/Patient/{patient_id}"
    current = world.admin.get(path).raise_for_status().json()
    current["address"] = [{"city": city, "use": "home"}]
    headers = {"Content-Type": "application/fhir+json"}
    world.admin.put(path, json=current, headers=headers).raise_for_status()
