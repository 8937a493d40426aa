"""Figures: a period beside the one before, CSV for spreadsheets, and numbers that change
while one looks.
"""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.console import make_patient, signed_in, word
from tests.browser.world import World

pytestmark = pytest.mark.browser


def test_figures_change_while_one_looks(chromium: Browser, world: World) -> None:
    make_patient(world, word())
    with signed_in(chromium, world, "analyst") as analyst:
        analyst.go("/figures")
        section = analyst.page.get_by_role("region", name="Registrations")
        shown = section.locator(".figure")
        expect(shown).not_to_have_text("0")
        before = int(re.sub(r"\D", "", shown.inner_text()))
        make_patient(world, word())
        expect(shown).not_to_have_text(str(before), timeout=15_000)

        with analyst.page.expect_download() as download:
            section.get_by_role("link", name="CSV registrations").click()
        lines = download.value.path().read_text().splitlines()
        assert lines[0] == "start,count" and len(lines) >= 2

        analyst.fill("From", "not a date")
        analyst.page.get_by_label("By", exact=True).select_option("month")
        analyst.press("Show")
        expect(analyst.page.get_by_label("By", exact=True)).to_have_value("month")
        expect(section.locator("svg.plot")).to_be_visible()
        # Sums alone: nothing of a person.
        assert analyst.page.request.get(f"{world.url}/patients").status == 403
