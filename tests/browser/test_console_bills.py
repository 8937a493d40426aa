"""What happens to a bill after it was issued: one payment over several, credit notes, write-offs
by two people, reminders, coverages.
"""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.console import Worker, bill, charge, draft, issue, make_patient, signed_in, word
from tests.browser.world import World

pytestmark = pytest.mark.browser
SCRIPTS = [True, False]


def row(worker: Worker, text: str) -> Locator:
    return worker.page.get_by_role("row").filter(has_text=text)


def issue_on(world: World, invoice_id: str, day: str) -> str:
    """Issues an invoice of an earlier day, and gives its number."""
    path = f"/billing/v1/invoices/{invoice_id}/issue"
    answer = world.admin.post(path, json={"issuedOn": day}).raise_for_status()
    return str(answer.json()["number"])


@pytest.mark.parametrize("scripts", SCRIPTS)
def test_payment_is_divided_among_chosen_invoices(
    chromium: Browser, world: World, scripts: bool
) -> None:
    patient_id = make_patient(world, word())
    first, second, third = (bill(world, patient_id) for _ in range(3))
    context: dict[str, Any] = {"java_script_enabled": scripts}
    with signed_in(chromium, world, "billing", **context) as biller:
        biller.go(f"/patients/{patient_id}/money")
        biller.follow("Divide a payment among invoices")

        def gets(number: str, amount: str) -> Locator:
            field = biller.page.get_by_label(f"Invoice {number} gets (USD)")
            field.fill(amount)
            return field

        biller.press("Record the payment")
        biller.sees("Say what at least one invoice gets.")
        biller.sees("This is not an amount.")
        # 125.00 are open of each.
        biller.page.get_by_label("Amount received").fill("150")
        gets(first, "125.01")
        wrong = gets(second, "a lot")
        biller.press("Record the payment")
        biller.sees("At most US$125.00.")
        expect(wrong).to_have_value("a lot")
        expect(wrong).to_have_attribute("aria-invalid", "true")
        gets(first, "125")
        gets(second, "25.01")
        biller.press("Record the payment")
        biller.sees("The invoices get more than this together.")
        gets(second, "20.50")
        biller.page.get_by_label("How").select_option(label="Transfer")
        biller.press("Record the payment")
        biller.sees("The payment was recorded.")
        # A receipt may have the number of an invoice.
        expect(row(biller, first).first).to_contain_text("Paid")
        expect(row(biller, second).first).to_contain_text("104.50")
        expect(row(biller, third).first).to_contain_text("125.00")
        credit = biller.page.locator(
            "section", has=biller.page.get_by_role("heading", name="Credit")
        )
        expect(credit).to_contain_text("4.50")


def test_payer_pays_its_own_invoices(chromium: Browser, world: World) -> None:
    patient_id = make_patient(world, word())
    base = charge(world, patient_id, "Visit")
    payer = {"payerId": "insurer-1", "payerName": "Sun Insurance"}
    share = {"share": "COVERAGE_SHARE_PERCENT", "percentBasisPoints": 8000}
    world.admin.put(f"{base}/coverages", json={"coverages": [payer | share]}).raise_for_status()
    bill(world, patient_id)
    with signed_in(chromium, world, "billing") as biller:
        biller.go(f"/patients/{patient_id}/money/allocate")
        biller.page.get_by_label("Who pays?").select_option(label="Sun Insurance")
        biller.press("Show")
        biller.page.get_by_label("Amount received").fill("200")
        biller.page.get_by_label(re.compile("^Invoice")).fill("200")
        biller.press("Record the payment")
        biller.sees("The payment was recorded.")
        owed = biller.page.locator(
            "section", has=biller.page.get_by_role("heading", name="Owed by payers")
        )
        expect(owed).to_contain_text("0.00")


@pytest.mark.parametrize("scripts", SCRIPTS)
def test_part_of_an_invoice_is_credited(chromium: Browser, world: World, scripts: bool) -> None:
    patient_id = make_patient(world, word())
    charge(world, patient_id, "Bandage")
    number = bill(world, patient_id)
    context: dict[str, Any] = {"java_script_enabled": scripts}
    with signed_in(chromium, world, "billing", **context) as biller:
        biller.go(f"/patients/{patient_id}/money")
        biller.follow(number)
        biller.follow("Credit a part")
        biller.press("Write the credit note")
        biller.sees("Enter an amount over all lines, or amounts by line.")
        biller.sees("Say why.")
        biller.page.get_by_label("Credit of Bandage (USD)").fill("125.01")
        biller.fill("Reason", "Not used")
        biller.press("Write the credit note")
        biller.sees("At most US$125.00.")
        biller.page.get_by_label("Credit of Bandage (USD)").fill("25")
        biller.press("Write the credit note")
        biller.sees("The credit note was written.")
        biller.sees("US$225.00")
        biller.sees("Not used")
        # Over all lines: in proportion to what is left of them.
        biller.follow("Credit a part")
        expect(row(biller, "Bandage")).to_contain_text("US$100.00")
        biller.page.get_by_label("Or an amount over all lines").fill("45")
        biller.fill("Reason", "Goodwill")
        biller.press("Write the credit note")
        biller.sees("US$180.00")
        # Written off by others: not offered, and refused when forced.
        expect(biller.page.get_by_role("link", name="Write off")).to_have_count(0)
        biller.go(biller.page.url.partition("?")[0].removeprefix(world.url) + "/write-off")
        biller.heading("You may not do this")


@pytest.mark.parametrize("scripts", SCRIPTS)
def test_large_write_off_takes_two_people(chromium: Browser, world: World, scripts: bool) -> None:
    patient_id = make_patient(world, word())
    number, other = bill(world, patient_id), bill(world, patient_id)
    context: dict[str, Any] = {"java_script_enabled": scripts}
    with (
        signed_in(chromium, world, "billing_manager", **context) as first,
        signed_in(chromium, world, "admin", **context) as second,
    ):
        for each in (number, other):
            first.go(f"/patients/{patient_id}/money")
            first.follow(each)
            first.follow("Write off")
            first.fill("Amount (USD)", "200")
            first.press("Write off")
            first.sees("At most US$125.00.")
            first.sees("Say why.")
            first.fill("Amount (USD)", "110")
            first.fill("Reason", "Insolvent")
            first.press("Write off")
            first.sees("The write-off waits until a second person approves it.")
        first.go("/write-offs")
        expect(row(first, number)).to_contain_text("You")
        expect(row(first, number).get_by_role("button", name="Approve")).to_have_count(0)

        second.go("/cash-desk")
        second.follow("Decide")
        row(second, number).get_by_role("button", name="Approve").click()
        second.sees("The amount was written off.")
        expect(row(second, number)).to_have_count(0)
        waiting = row(second, other)
        waiting.get_by_text("Refuse", exact=False).first.click()
        waiting.get_by_role("button", name="Refuse the write-off").click()
        second.sees("Say why.")
        row(second, other).get_by_label("Reason").fill("Pays by instalments")
        row(second, other).get_by_role("button", name="Refuse the write-off").click()
        second.sees("The write-off was refused.")
        expect(row(second, other)).to_have_count(0)
        second.go(f"/patients/{patient_id}/money")
        expect(row(second, number)).to_contain_text("US$15.00")
        expect(row(second, other)).to_contain_text("US$125.00")
        # A small one needs nobody else.
        second.follow(number)
        second.follow("Write off")
        second.fill("Reason", "Insolvent")
        second.press("Write off")
        second.sees("The amount was written off.")


def test_overdue_invoice_is_among_the_reminders(chromium: Browser, world: World) -> None:
    family = word()
    contact = [{"system": "phone", "value": "+34 600 555 010"}]
    patient_id = make_patient(world, family, telecom=contact)
    late = issue_on(world, draft(world, patient_id), "2020-01-02")
    new = issue(world, draft(world, patient_id))
    with signed_in(chromium, world, "billing") as biller:
        biller.go("/cash-desk")
        biller.follow("Reminders")
        biller.page.get_by_label("At least").select_option(
            label="Third reminder: from 61 days overdue"
        )
        biller.press("Show")
        expect(row(biller, late)).to_contain_text("+34 600 555 010")
        expect(row(biller, late)).to_contain_text("Third")
        expect(row(biller, late)).to_contain_text(family)
        expect(row(biller, new)).to_have_count(0)
        with biller.page.expect_download() as download:
            row(biller, late).get_by_role("link", name=f"PDF {late}").click()
        assert download.value.path().read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("scripts", SCRIPTS)
def test_coverages_are_listed_added_and_ended(
    chromium: Browser, world: World, scripts: bool
) -> None:
    patient_id = make_patient(world, word())
    bill(world, patient_id)
    context: dict[str, Any] = {"java_script_enabled": scripts}
    with signed_in(chromium, world, "billing", **context) as biller:
        biller.go(f"/patients/{patient_id}/money")
        biller.follow("Coverages")
        biller.sees("The patient pays alone.")
        biller.press("Add the coverage")
        biller.sees("Choose a payer of the list, or write its id in the record.")
        biller.sees("This is not a percentage.")
        biller.fill("Payer", "insurer-1 · Sun Insurance")
        biller.fill("Percentage", "80")
        biller.fill("First day", "01/02/2026")
        biller.fill("Last day", "31/01/2026")
        biller.press("Add the coverage")
        biller.sees("This is before the first day.")
        expect(biller.page.locator("#payer")).to_have_value("insurer-1 · Sun Insurance")
        biller.page.locator("#valid_to").fill("")
        biller.press("Add the coverage")
        biller.sees("The coverage was added.")
        expect(row(biller, "Sun Insurance")).to_contain_text("80 % of what is left")
        row(biller, "Sun Insurance").get_by_text("End", exact=False).first.click()
        row(biller, "Sun Insurance").get_by_label("Last day").fill("15/03/2026")
        row(biller, "Sun Insurance").get_by_role("button", name="End the coverage").click()
        expect(row(biller, "Sun Insurance")).to_contain_text("Ended")
        expect(row(biller, "Sun Insurance")).to_contain_text("15 Mar 2026")


def test_coverage_of_the_record_is_ended_in_the_record(chromium: Browser, world: World) -> None:
    patient_id = make_patient(world, word())
    bill(world, patient_id)
    headers = {"Content-Type": "application/fhir+json", "Prefer": "return=representation"}
    insurer = {"resourceType": "Organization", "name": "Moon Insurance"}
    made = world.admin.post("/fhir/R4/Organization", json=insurer, headers=headers)
    payor = f"Organization/{made.raise_for_status().json()['id']}"
    resource = {
        "resourceType": "Coverage",
        "status": "active",
        "beneficiary": {"reference": f"Patient/{patient_id}"},
        "payor": [{"reference": payor, "display": "Moon Insurance"}],
        "period": {"start": "2026-01-01"},
    }
    made = world.admin.post("/fhir/R4/Coverage", json=resource, headers=headers)
    coverage_id = made.raise_for_status().json()["id"]
    with signed_in(chromium, world, "billing") as biller:
        for _ in range(40):
            biller.go(f"/patients/{patient_id}/money/coverages")
            if row(biller, "Moon Insurance").count():
                break
            biller.page.wait_for_timeout(250)
        expect(row(biller, "Moon Insurance")).to_contain_text("The record")
        row(biller, "Moon Insurance").get_by_text("End", exact=False).first.click()
        row(biller, "Moon Insurance").get_by_label("Last day").fill("15/03/2026")
        row(biller, "Moon Insurance").get_by_role("button", name="End the coverage").click()
        biller.sees("The account follows within seconds.")
        path = f"/fhir/R4/Coverage/{coverage_id}"
        period = world.admin.get(path).raise_for_status().json()["period"]
        assert period == {"start": "2026-01-01", "end": "2026-03-15"}
        for _ in range(40):
            biller.go(f"/patients/{patient_id}/money/coverages")
            if row(biller, "15 Mar 2026").count():
                break
            biller.page.wait_for_timeout(250)
        expect(row(biller, "Moon Insurance")).to_contain_text("Ended")
