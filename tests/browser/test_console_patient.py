"""A patient's own pages: the record in plain words, results, bills with PDF, who looked,
everything to take away.
"""

import json

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.console import bill, make_clinic, signed_in
from tests.browser.world import World

pytestmark = pytest.mark.browser


def test_day_of_a_patient(chromium: Browser, world: World) -> None:
    clinic, other = make_clinic(world), make_clinic(world)
    number = bill(world, clinic.patient_id)
    with signed_in(chromium, world, "patient", patient_id=clinic.patient_id) as patient:
        patient.go("/")
        patient.heading(clinic.family)
        patient.sees("What I have")
        patient.sees("Something")
        patient.follow("My results")
        patient.page.get_by_text("Hemoglobin").first.click()
        expect(patient.page.locator("svg.plot").first).to_be_visible()
        patient.follow("My bills")
        patient.sees(number)
        with patient.page.expect_download() as download:
            patient.page.get_by_role("link", name=f"PDF {number}").click()
        assert download.value.path().read_bytes().startswith(b"%PDF")
        patient.follow("Who opened my record")
        patient.sees("Written")
        patient.go("/my")
        with patient.page.expect_download() as download:
            patient.follow("Download everything")
        bundle = json.loads(download.value.path().read_bytes())
        kinds = {entry["resource"]["resourceType"] for entry in bundle["entry"]}
        assert {"Patient", "Condition", "Observation"} <= kinds
        assert other.patient_id not in json.dumps(bundle)

        # Where one is signed in: here.
        patient.follow("Sessions and consents")
        expect(patient.page.get_by_role("button", name="End the session").first).to_be_visible()

        # Nothing of anybody else.
        for path in (
            f"/patients/{other.patient_id}",
            f"/patients/{other.patient_id}/timeline",
            "/patients",
            "/cash-desk",
            "/administration",
        ):
            answer = patient.page.request.get(world.url + path, headers={"Accept": "text/html"})
            assert answer.status in (403, 404), path
            assert other.family not in answer.text()
        for label in ("Patients", "Cash desk", "Figures", "Administration"):
            expect(patient.page.get_by_role("link", name=label, exact=True)).to_have_count(0)
