"""Every page works without JavaScript: people find, register, pay, look at figures and administer
by forms alone.
"""

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.console import bill, make_clinic, signed_in, word
from tests.browser.world import World

pytestmark = pytest.mark.browser
NO_SCRIPTS: dict[str, Any] = {"java_script_enabled": False}


def test_front_desk_finds_and_registers_by_forms_alone(chromium: Browser, world: World) -> None:
    family = word()
    with signed_in(chromium, world, "registrar", **NO_SCRIPTS) as desk:
        desk.go("/patients/new")
        desk.fill("Family name", family)
        desk.fill("Given names", "Ana")
        desk.fill("Birth date", "31/12/1984")
        desk.press("Register")
        desk.sees("The patient was registered.")
        desk.go("/patients")
        desk.fill("Find a patient", f"ana {family}")
        desk.press("Search")
        desk.page.locator("#results").get_by_role("link", name=f"Ana {family}").click()
        # The same person again is asked about, without the list beside the form.
        desk.go("/patients/new")
        desk.fill("Family name", family)
        desk.fill("Given names", "Ana")
        desk.fill("Birth date", "31/12/1984")
        desk.press("Register")
        desk.sees("Same birth date")
        desk.page.get_by_label("I checked: this is another person.").check()
        desk.press("Register")
        desk.sees("The patient was registered.")


def test_money_figures_and_administration_by_forms_alone(chromium: Browser, world: World) -> None:
    clinic = make_clinic(world)
    number = bill(world, clinic.patient_id)
    with signed_in(chromium, world, "admin", **NO_SCRIPTS) as admin:
        admin.go("/cash-desk")
        admin.fill("Who pays?", number)
        admin.press("Find")
        expect(admin.page.get_by_label("Amount").first).to_have_value("125.00")
        admin.press("Record the payment")
        admin.sees("The payment was recorded.")
        admin.go("/figures")
        admin.page.get_by_label("By", exact=True).select_option("month")
        admin.press("Show")
        expect(admin.page.get_by_label("By", exact=True)).to_have_value("month")
        admin.go("/administration/audit")
        admin.fill("From", "31/12/2199")
        admin.press("Show")
        admin.sees("Nothing was found.")
        admin.fill("From", "soon")
        admin.press("Show")
        admin.sees("This is not a date.")
        admin.press("Español")
        admin.heading("Auditoría")


def test_patient_reads_the_own_record_by_links_alone(chromium: Browser, world: World) -> None:
    clinic = make_clinic(world)
    with signed_in(
        chromium, world, "patient", patient_id=clinic.patient_id, **NO_SCRIPTS
    ) as patient:
        patient.go("/")
        patient.heading(clinic.family)
        patient.follow("My results")
        patient.sees("Hemoglobin")
        patient.follow("Who opened my record")
        patient.sees("Written")
        patient.follow("Also what I opened myself")
        patient.sees("I myself")
        patient.press("Sign out")
        patient.sees("You are signed out")
