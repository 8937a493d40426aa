"""A service behind the console is dead, or slow: the page says so, the rest stays, and nothing
typed is lost.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.console import make_clinic, signed_in, word
from tests.browser.world import World

pytestmark = pytest.mark.browser
SLOW_PAGE_SECONDS = 12
STARTED_AGAIN_SECONDS = 40


@contextmanager
def stopped(*names: str) -> Iterator[None]:
    """Holds services up: they take connections and answer nothing."""
    pids = json.loads(Path(os.environ["PLATFORM_PIDS"]).read_text())
    for name in names:
        os.kill(pids[name], signal.SIGSTOP)
    try:
        yield
    finally:
        for name in names:
            os.kill(pids[name], signal.SIGCONT)


def test_slow_record_takes_only_its_own_part_along(chromium: Browser, world: World) -> None:
    with signed_in(chromium, world, "admin") as admin:
        with stopped("patient"):
            started_at = time.monotonic()
            admin.go("/")
            assert time.monotonic() - started_at < SLOW_PAGE_SECONDS
            admin.sees("did not answer in time")
            admin.sees("Registered this week")
            admin.go("/figures")
            admin.sees("Registrations")
        admin.go("/")
        expect(admin.page.get_by_text("did not answer in time")).to_have_count(0)


def test_what_was_typed_stays_while_the_record_is_away(chromium: Browser, world: World) -> None:
    family = word()
    with signed_in(chromium, world, "registrar") as desk:
        desk.go("/patients/new")
        desk.fill("Family name", family)
        desk.fill("Given names", "Ana")
        with stopped("patient"):
            desk.page.set_default_timeout(40_000)
            desk.press("Register")
            expect(desk.page.get_by_role("alert")).to_contain_text(
                "Nothing that you typed is lost", timeout=40_000
            )
            assert desk.page.get_by_label("Family name").input_value() == family
        desk.press("Register")
        expect(desk.page.locator(".patient")).to_contain_text(family)
        # Sent twice, registered once.
        found = world.admin.get("/fhir/R4/Patient", params={"family": family}).json()
        assert len(found["entry"]) == 1


def test_slow_billing_and_figures_are_told(chromium: Browser, world: World) -> None:
    clinic = make_clinic(world)
    with signed_in(chromium, world, "admin") as admin:
        with stopped("billing", "analytics"):
            admin.go(f"/patients/{clinic.patient_id}/money")
            admin.sees("The rest of the page is complete.")
            admin.go("/figures")
            admin.sees("did not answer in time")
            admin.go("/operations")
            admin.sees("Does not answer")


def kill(name: str) -> None:
    """Ends a service at once; whoever runs the platform starts it again within seconds."""
    pids = json.loads(Path(os.environ["PLATFORM_PIDS"]).read_text())
    os.kill(pids[name], signal.SIGKILL)


def test_killed_record_is_told_and_loses_nothing(chromium: Browser, world: World) -> None:
    family = word()
    with signed_in(chromium, world, "registrar") as desk:
        desk.go("/patients/new")
        desk.fill("Family name", family)
        desk.fill("Given names", "Ana")
        kill("patient")
        desk.press("Register")
        expect(desk.page.get_by_role("alert")).to_contain_text("Nothing that you typed is lost")
        expect(desk.page.get_by_role("alert")).to_contain_text("does not answer")
        assert desk.page.get_by_label("Family name").input_value() == family
        deadline = time.monotonic() + STARTED_AGAIN_SECONDS
        while not desk.page.locator(".patient").count():
            assert time.monotonic() < deadline, "the service was not started again"
            desk.press("Register")
            desk.page.wait_for_load_state()
        expect(desk.page.locator(".patient")).to_contain_text(family)
        found = world.admin.get("/fhir/R4/Patient", params={"family": family}).json()
        assert len(found["entry"]) == 1


def test_killed_billing_and_figures_take_only_their_own_part_along(
    chromium: Browser, world: World
) -> None:
    clinic = make_clinic(world)
    with signed_in(chromium, world, "admin") as admin:
        kill("billing")
        admin.go(f"/patients/{clinic.patient_id}/money")
        admin.sees("does not answer")
        expect(admin.page.locator(".patient")).to_contain_text(clinic.family)
        kill("analytics")
        admin.go("/figures")
        admin.sees("does not answer")
        deadline = time.monotonic() + STARTED_AGAIN_SECONDS
        while admin.page.get_by_text("does not answer").count():
            assert time.monotonic() < deadline, "the services were not started again"
            time.sleep(0.5)
            admin.go("/operations")
            admin.page.get_by_role("heading", name="Services").wait_for()


def test_sign_in_that_ends_keeps_what_was_typed(chromium: Browser, world: World) -> None:
    family = word()
    with signed_in(chromium, world, "registrar") as desk:
        desk.go("/patients/new")
        desk.fill("Family name", family)
        desk.page.context.clear_cookies()
        desk.press("Register")
        desk.sees("Nothing that you typed is lost")
        with desk.page.context.expect_page() as opened:
            desk.follow("Sign in in a new tab")
        tab = opened.value
        tab.get_by_label("E-mail address").fill(desk.email)
        tab.get_by_label("Password", exact=True).fill("correct horse battery")
        tab.get_by_role("button", name="Sign in", exact=True).click()
        expect(tab.get_by_role("button", name="Sign out")).to_be_visible()
        desk.press("Send again")
        desk.sees("Please confirm")
        desk.press("Send again")
        expect(desk.page.locator(".patient")).to_contain_text(family)


def test_idle_time_is_warned_of_and_ends_the_session(chromium: Browser, world: World) -> None:
    with signed_in(chromium, world, "registrar") as desk:
        desk.page.clock.install()
        desk.go("/patients")
        seconds = int(desk.page.locator("html").get_attribute("data-idle-seconds") or 0)
        warned = (seconds - 120) * 1000
        dialog = desk.page.get_by_role("dialog", name="Are you still there?")
        desk.page.clock.fast_forward(warned - 1000)
        expect(dialog).to_be_hidden()
        desk.page.clock.fast_forward(2000)
        expect(dialog).to_be_visible()
        desk.press("Stay signed in")
        expect(dialog).to_be_hidden()
        desk.page.clock.fast_forward(warned + 1000)
        expect(dialog).to_be_visible()
        desk.page.clock.fast_forward(120_000)
        desk.page.wait_for_url("**/signed-out?idle=1")
