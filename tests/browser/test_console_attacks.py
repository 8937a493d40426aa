"""Nothing that is stored runs in a browser: names, notes, narratives, codes, names of accounts
and applications.
"""

import secrets
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, ConsoleMessage

from tests.browser.console import Clinic, bill, make_clinic, signed_in
from tests.browser.world import World

pytestmark = pytest.mark.browser
ATTACK = "\"'><script>window.broken=1</script><img src=x onerror=window.broken=1>{{7*7}}"


@dataclass(frozen=True)
class Account:
    """What an attacker with a role could write: an invoice and a person's name."""

    invoice_id: str
    email: str


def account_with_attacks(world: World, patient_id: str) -> Account:
    """Issues an invoice and cancels it, adds a price and a person, with the attack
    in every text.
    """
    number = bill(world, patient_id, ATTACK)
    account = world.admin.get("/billing/v1/accounts", params={"patient": patient_id}).json()
    invoices = world.admin.get(f"/billing/v1/accounts/{account['accountId']}/invoices").json()
    invoice = next(each for each in invoices["invoices"] if each["number"] == number)
    path = f"/billing/v1/invoices/{invoice['invoiceId']}/cancel"
    world.admin.post(path, json={"reason": ATTACK}).raise_for_status()
    today = date.today().isoformat()
    text = ATTACK.replace('"', '""')
    price = f'own,X{secrets.token_hex(3)},"{text}",1.00,USD,exempt,other,{today},'
    header = (
        "system,code,description,unit_price,currency,tax_category,revenue_group,valid_from,valid_to"
    )
    csv = f"{header}\n{price}\n"
    answer = world.admin.post("/billing/v1/prices", json={"csv": csv})
    assert answer.status_code in (200, 201) and not answer.json()["faults"], answer.text
    email = f"{secrets.token_hex(6)}@example.org"
    body = {"email": email, "name": ATTACK, "roles": ["clinician"]}
    world.admin.post("/auth/v1/users", json=body).raise_for_status()
    return Account(str(invoice["invoiceId"]), email)


def add_narrative(world: World, clinic: Clinic) -> None:
    """Gives the condition a narrative that is valid XHTML and carries markup all the same."""
    path = f"/fhir/R4/Condition/{clinic.condition_id}"
    condition = world.admin.get(path).raise_for_status().json()
    escaped = "&lt;script&gt;window.broken=1&lt;/script&gt;"
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><p><b>bold</b> {escaped}</p></div>'
    condition["text"] = {"status": "additional", "div": div}
    headers = {"Content-Type": "application/fhir+json"}
    world.admin.put(path, json=condition, headers=headers).raise_for_status()


def test_stored_texts_run_nothing(chromium: Browser, world: World) -> None:
    clinic = make_clinic(world, text=ATTACK)
    world.admin.post(
        "/auth/v1/clients",
        json={
            "name": "<script>window.broken=1</script>",
            "grantTypes": ["client_credentials"],
            "scopes": ["system/Patient.rs"],
        },
    ).raise_for_status()
    chart = f"/patients/{clinic.patient_id}"
    account = account_with_attacks(world, clinic.patient_id)
    add_narrative(world, clinic)
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            said.append(message.text)

    with signed_in(chromium, world, "admin") as admin:
        admin.page.on("console", hear)
        for path in (
            "/",
            chart,
            f"{chart}/edit",
            f"{chart}/timeline",
            f"{chart}/results?category=",
            f"{chart}/results/{clinic.observation_id}",
            f"{chart}/summary",
            f"{chart}/entries/Condition/{clinic.condition_id}",
            f"{chart}/entries/Observation/{clinic.observation_id}",
            f"{chart}/entries/Condition/{clinic.condition_id}/amend",
            f"{chart}/money",
            f"{chart}/money/invoices/{account.invoice_id}",
            f"{chart}/money/statement",
            "/cash-desk",
            "/administration",
            f"/administration?q={account.email}",
            "/administration/applications",
            f"/administration/audit?subject={quote(ATTACK)}",
            "/administration/prices",
            "/operations",
        ):
            admin.go(path)
            assert admin.page.evaluate("window.broken") is None, path
            assert "49" not in admin.page.locator("h1").first.inner_text(), path
        admin.go("/patients")
        admin.fill("Find a patient", clinic.family)
        admin.page.locator("#results table").wait_for()
        assert admin.page.evaluate("window.broken") is None
    with signed_in(chromium, world, "patient", patient_id=clinic.patient_id) as patient:
        patient.page.on("console", hear)
        for path in (
            "/my",
            "/my/results",
            "/my/bills",
            f"/my/bills/{account.invoice_id}",
            "/my/accesses",
            "/my/account",
        ):
            patient.go(path)
            assert patient.page.evaluate("window.broken") is None, path
    # The policy had nothing to stop: the markup never became markup.
    assert not [text for text in said if "Content Security Policy" in text]
