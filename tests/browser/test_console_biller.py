"""A biller's day: charges, an invoice from preview to PDF, payments, credit, a refund, the
statement, the cash desk.
"""

import re
import time

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.console import Worker, bill, make_patient, signed_in, word
from tests.browser.world import World

pytestmark = pytest.mark.browser
PAYMENT_SECONDS = 15


def wait_for_account(biller: Worker, patient_id: str) -> None:
    """Opens the account, which follows the registration."""
    for _ in range(30):
        biller.go(f"/patients/{patient_id}/money")
        if biller.page.get_by_text("Owed by the patient").count():
            return
        time.sleep(0.3)
    raise AssertionError("no account")


def charge(biller: Worker, what: str, price: str) -> None:
    option = biller.page.locator("#prices option").first.get_attribute("value")
    assert option
    code = option.partition(" · ")[0]
    biller.fill("Service", f"{code} · {what}")
    biller.page.get_by_label("Another price").fill(price)
    biller.page.locator("section", has_text="Add a charge").get_by_role(
        "button", name="Add", exact=True
    ).click()
    biller.sees("The charge was added.")


def test_day_of_a_biller(chromium: Browser, world: World) -> None:
    family = word()
    patient_id = make_patient(world, family)
    with signed_in(chromium, world, "billing_manager") as biller:
        wait_for_account(biller, patient_id)
        biller.fill("Service", "")
        biller.press("Add")
        biller.sees("Choose a service of the price list.")
        charge(biller, "Consultation", "80,00")
        charge(biller, "Bandage", "20.50")

        biller.press("Preview the invoice")
        biller.heading("Preview of the invoice")
        biller.sees("Consultation")
        biller.press("Draft the invoice")
        biller.sees("The invoice was drafted.")
        biller.follow("Draft")
        biller.press("Issue the invoice")
        biller.sees("The invoice was issued.")
        heading = biller.page.get_by_role("heading", level=1).inner_text()
        number = heading.split()[-1]
        assert re.fullmatch(r"[0-9]{4}-[0-9]{6}", number)
        with biller.page.expect_download() as download:
            biller.follow("PDF")
        assert download.value.path().read_bytes().startswith(b"%PDF")

        # At the desk: found by name, paid in a few strokes.
        biller.go("/cash-desk")
        biller.sees(number)
        started_at = time.monotonic()
        biller.fill("Who pays?", family)
        biller.page.keyboard.press("Enter")
        biller.follow(f"Take a payment from Ana {family}")
        biller.page.get_by_label("Amount").fill("60")
        biller.page.get_by_label("How").select_option(label="Card")
        biller.press("Record the payment")
        biller.sees("The payment was recorded.")
        assert time.monotonic() - started_at < PAYMENT_SECONDS
        # By the number on the invoice: what is open of it stands in the form.
        biller.go("/cash-desk")
        biller.fill("Who pays?", number)
        biller.page.keyboard.press("Enter")
        expect(biller.page.get_by_label("Amount").first).to_have_value("40.50")
        biller.page.get_by_label("Amount").first.fill("")

        # More than is open: the rest stays as credit.
        biller.page.get_by_label("Amount").first.fill("60")
        biller.page.get_by_label("How").select_option(label="Transfer")
        biller.press("Record the payment")
        biller.sees("The payment was recorded.")
        row = biller.page.get_by_role("row", name=re.compile(number))
        expect(row.first).to_contain_text("Paid")
        credit = biller.page.locator(
            "section", has=biller.page.get_by_role("heading", name="Credit")
        )
        expect(credit).to_contain_text("19.50")

        biller.page.locator("details summary", has_text="Refund").first.click()
        biller.page.locator("input[name=refund_amount]:visible").fill("19.50")
        biller.page.locator("details[open] input[name=reason]").fill("Paid twice")
        biller.page.locator("details[open]").get_by_role("button", name="Give back").click()
        biller.sees("The payment was refunded.")

        biller.follow("Show the statement")
        for what in ("Invoice", "Payment", "Refund", "Closing balance"):
            biller.sees(what)
        with biller.page.expect_download() as download:
            biller.follow("PDF")
        assert download.value.path().read_bytes().startswith(b"%PDF")

        # The clinical record is not the biller's: nothing of it is offered.
        biller.go(f"/patients/{patient_id}")
        expect(biller.page.get_by_role("link", name="Timeline")).to_have_count(0)
        expect(biller.page.get_by_role("heading", name="Problems")).to_have_count(0)


def test_cash_of_a_day_and_its_difference(chromium: Browser, world: World) -> None:
    patient_id = make_patient(world, word())
    with signed_in(chromium, world, "billing_manager") as biller:
        wait_for_account(biller, patient_id)
        pay_in_cash(biller, "60")
        expect(biller.page.get_by_role("alert")).to_be_visible()
        assert biller.page.get_by_label("Amount").first.input_value() == "60"

        biller.go("/cash-desk")
        biller.fill("Cash in the drawer", "much")
        biller.press("Open the day")
        biller.sees("This is not an amount.")
        biller.fill("Cash in the drawer", "100.00")
        biller.press("Open the day")
        biller.sees("The cash desk was opened.")
        assert fact(biller, "Expected now").endswith("100.00")

        biller.go(f"/patients/{patient_id}/money")
        pay_in_cash(biller, "60")
        biller.sees("The payment was recorded.")
        biller.go("/cash-desk")
        assert fact(biller, "Expected now").endswith("160.00")
        biller.fill("Counted cash", "159.50")
        biller.press("Count")
        biller.sees("The change was saved.")
        assert fact(biller, "Counted").endswith("159.50")
        difference = fact(biller, "Difference")
        assert difference.startswith("-") and difference.endswith("0.50")
        biller.press("Close the day")
        biller.sees("The cash desk was closed.")
        biller.sees("Cash can be taken once it is open.")

        # What was paid before there was an invoice is credit: it pays the invoice that comes.
        bill(world, patient_id)
        biller.go(f"/patients/{patient_id}/money")
        biller.press("Use credit for open invoices")
        biller.sees("The credit was used.")
        row = biller.page.get_by_role("row", name=re.compile("[0-9]{4}-[0-9]{6}"))
        expect(row.first).to_contain_text("65.00")


def pay_in_cash(biller: Worker, amount: str) -> None:
    biller.page.get_by_label("Amount").first.fill(amount)
    biller.page.get_by_label("How").select_option(label="Cash")
    biller.press("Record the payment")


def fact(biller: Worker, name: str) -> str:
    """Reads what stands beside a name in the list of facts."""
    term = biller.page.locator("dt", has_text=re.compile(f"^{name}$"))
    return term.locator("xpath=following-sibling::dd[1]").inner_text()


def test_impossible_amounts_are_named_and_kept(chromium: Browser, world: World) -> None:
    patient_id = make_patient(world, word())
    with signed_in(chromium, world, "billing") as biller:
        wait_for_account(biller, patient_id)
        for amount in ("1e3", "-5", "0", "12.345", "twelve"):
            biller.page.get_by_label("Amount").first.fill(amount)
            biller.press("Record the payment")
            biller.sees("This is not an amount.")
            assert biller.page.get_by_label("Amount").first.input_value() == amount
