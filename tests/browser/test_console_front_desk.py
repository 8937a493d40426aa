"""A front desk's day: find and register people, by mouse and by keyboard alone, and
mend a conflict.
"""

import secrets
import time

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.console import edit_too_late, make_patient, signed_in, word
from tests.browser.world import World

pytestmark = pytest.mark.browser
REGISTRATION_SECONDS = 30


def test_day_of_a_front_desk(chromium: Browser, world: World) -> None:
    family = word()
    telephone = f"+34 6{secrets.randbelow(10**8):08}"
    with signed_in(chromium, world, "registrar") as desk:
        desk.follow("Patients")
        desk.fill("Find a patient", family)
        desk.sees("Nobody was found.")
        desk.follow("Register a patient")
        desk.fill("Family name", family)
        desk.fill("Given names", "José María")
        desk.fill("Birth date", "31/12/1984")
        desk.page.get_by_label("Sex").select_option("male")
        desk.fill("Mobile telephone", telephone)
        desk.fill("E-mail address", "no address")
        desk.press("Register")
        # The fault is named beside the field, and what was typed stays.
        desk.sees("This is not an e-mail address.")
        assert desk.page.get_by_label("Given names").input_value() == "José María"
        desk.fill("E-mail address", "jose@example.org")
        desk.press("Register")
        desk.sees("The patient was registered.")
        expect(desk.page.locator(".patient")).to_contain_text(f"José María {family}")
        chart = desk.page.url.partition("?")[0]

        # Found by part of the name without its accents, by birth date, by telephone, by
        # record number, and with one letter wrong.
        number = desk.page.locator(".patient").inner_text()
        mrn = next(part for part in number.split() if part.isdigit() and len(part) == 9)
        slip = f"{family[:5]}{'x' if family[5] != 'x' else 'y'}{family[6:]}"
        queries = (f"jose {family.lower()}", f"{family} 31/12/1984", telephone, mrn, slip)
        for query in queries:
            desk.go("/patients")
            desk.fill("Find a patient", query)
            expect(desk.page.locator("#results")).to_contain_text(family)
        desk.go("/patients")
        desk.sees("Opened last")
        expect(desk.page.locator("#results")).to_contain_text(family)

        # The same person again: shown beside the form, and asked about once.
        desk.go("/patients/new")
        desk.fill("Family name", family)
        desk.fill("Given names", "Jose Maria")
        desk.fill("Birth date", "31/12/1984")
        desk.page.get_by_label("Sex").focus()
        expect(desk.page.locator("#similar")).to_contain_text("Same birth date")
        desk.press("Register")
        desk.sees("I checked: this is another person.")

        # The front desk writes no clinical entries: it is not offered, and refused when forced.
        desk.page.goto(chart)
        expect(desk.page.get_by_role("link", name="Write a note")).to_have_count(0)
        answer = desk.page.request.get(f"{chart}/write/note")
        assert answer.status == 403


def test_registration_by_keyboard_takes_less_than_half_a_minute(
    chromium: Browser, world: World
) -> None:
    family = word()
    with signed_in(chromium, world, "registrar") as desk:
        desk.go("/patients/new")
        keyboard = desk.page.keyboard
        # The browser focuses the first field once the page is laid out; a person
        # waits for that too.
        expect(desk.page.locator("#family")).to_be_focused()
        started_at = time.monotonic()
        for text in (family, "Ana", "31/12/1984", "Fe", "+34 600 123 456"):
            keyboard.type(text, delay=30)
            keyboard.press("Tab")
        keyboard.press("Enter")
        expect(desk.page.locator(".patient")).to_contain_text(family)
        assert time.monotonic() - started_at < REGISTRATION_SECONDS
        expect(desk.page.locator(".patient")).to_contain_text("Female")


def test_conflict_shows_both_versions_and_loses_nothing(chromium: Browser, world: World) -> None:
    patient_id = make_patient(world, word())
    with signed_in(chromium, world, "registrar") as desk:
        edit_too_late(desk, patient_id)
        desk.sees("Somebody else changed this record meanwhile")
        desk.sees("Toledo")
        assert desk.page.get_by_label("City").input_value() == "Sevilla"
        desk.press("Save")
        desk.sees("The change was saved.")
        saved = world.admin.get(f"/fhir/R4/Patient/{patient_id}").json()
        assert saved["address"][0]["city"] == "Sevilla"
