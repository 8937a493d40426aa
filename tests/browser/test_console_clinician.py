"""A clinician's day: an encounter, entries in the chart, an amendment, an error, the timeline
and the summary.
"""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.console import make_patient, signed_in, word
from tests.browser.world import World

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_day_of_a_clinician(chromium: Browser, world: World, scripts: bool) -> None:
    patient_id = make_patient(world, word())
    with signed_in(chromium, world, "clinician", java_script_enabled=scripts) as doctor:
        doctor.go(f"/patients/{patient_id}")
        doctor.follow("Start an encounter")
        doctor.page.get_by_label("Kind of encounter").select_option("AMB")
        doctor.fill("Reason", "Cough for two weeks")
        doctor.press("Start")
        doctor.sees("The encounter was started.")
        doctor.sees("Encounter in progress")

        doctor.follow("Vital signs")
        doctor.fill("Blood pressure, systolic (mmHg)", "120")
        doctor.press("Save")
        doctor.sees("Enter both values of the blood pressure.")
        doctor.fill("Blood pressure, diastolic (mmHg)", "80")
        doctor.fill("Body temperature (°C)", "37,4")
        doctor.press("Save")
        doctor.sees("37.4 °C")

        doctor.follow("Add Problems")
        doctor.fill("What", "Asthma")
        doctor.fill("Since", "03/2020")
        doctor.press("Save")
        doctor.sees("This is not a date.")
        doctor.fill("Since", "2020-03")
        doctor.press("Save")
        doctor.sees("The entry was added.")
        doctor.sees("Asthma")

        doctor.follow("Add Allergies")
        doctor.fill("What", "Penicillin")
        doctor.page.get_by_label("Danger").select_option("high")
        doctor.fill("Reaction", "Rash")
        doctor.press("Save")
        expect(doctor.page.locator(".patient .allergies")).to_contain_text("Penicillin")

        doctor.follow("Add Medications")
        doctor.fill("What", "A syrup of the pharmacy's own")
        doctor.fill("Dosage", "Twice a day")
        doctor.press("Save")
        doctor.follow("Add Immunizations")
        doctor.fill("What", "Tdap")
        doctor.press("Save")
        doctor.follow("Add Procedures")
        doctor.fill("What", "Throat culture")
        doctor.press("Save")
        doctor.follow("Write a note")
        doctor.fill("Title", "First visit")
        doctor.fill("Text", "Cough, no fever.\n<script>window.broken = 1</script>")
        doctor.press("Save")
        doctor.sees("First visit")

        # Amended: both versions stay, with who wrote them.
        doctor.follow("A syrup of the pharmacy's own")
        doctor.follow("Amend")
        doctor.fill("Dosage", "Three times a day")
        doctor.press("Save")
        doctor.sees("The entry was amended.")
        doctor.sees("Version 2")
        expect(doctor.page.locator("del").first).to_contain_text("Twice a day")
        expect(doctor.page.locator("ins").first).to_contain_text("Three times a day")
        doctor.press("Mark as entered in error")
        doctor.sees("Entered in error")

        doctor.follow("Timeline")
        doctor.sees("Throat culture")
        doctor.page.get_by_text("Show only").first.click()
        doctor.page.get_by_label("Procedures").check()
        if not scripts:
            doctor.press("Show")
        expect(doctor.page.locator("#days")).not_to_contain_text("Asthma")
        expect(doctor.page.locator("#days")).to_contain_text("Throat culture")
        doctor.follow("Summary")
        doctor.sees("Asthma")
        doctor.sees("Penicillin")

        doctor.follow("Overview")
        doctor.press("Finish the encounter")
        doctor.sees("The encounter was finished.")
        condition = world.admin.get("/fhir/R4/Condition", params={"patient": patient_id}).json()
        resource = condition["entry"][0]["resource"]
        assert resource["code"]["coding"][0]["code"] == "195967001"
        assert resource["recorder"]["display"] == "Test Person"
        assert resource["encounter"]["reference"].startswith("Encounter/")
