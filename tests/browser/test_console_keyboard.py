"""The main journeys by keyboard alone: the focus is seen at each step, and no page holds it."""

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.console import Worker, bill, make_patient, signed_in, word
from tests.browser.world import World

pytestmark = pytest.mark.browser
JOURNEY_SECONDS = 90
# More than any of these pages has places for the focus.
MAX_STEPS = 200

# What has the focus, as a person sees it; null between the page and the browser itself.
FOCUSED = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const style = getComputedStyle(element), box = element.getBoundingClientRect();
  const label = element.labels && element.labels.length ? element.labels[0] : null;
  const shown = label && element.matches("[type=checkbox], [type=radio]")
    ? [box, label.getBoundingClientRect()] : [box];
  // Of a link on two lines the first.
  const line = element.getClientRects()[0];
  const top = document.elementFromPoint(line.left + line.width / 2, line.top + line.height / 2);
  window.places = window.places || new Map();
  if (!window.places.has(element)) window.places.set(element, window.places.size);
  return {
    place: window.places.get(element),
    tag: element.outerHTML.slice(0, 150),
    name: (label ? label.innerText : element.getAttribute("aria-label") || element.innerText
      || element.value || "").replace(/\\s+/g, " ").trim(),
    ring: (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2)
      || /0px 0px 0px ([2-9]|\\d\\d)/.test(style.boxShadow),
    seen: shown.every((each) => each.width > 0 && each.height > 0) && box.top < innerHeight
      && box.bottom > 0 && box.left < innerWidth && box.right > 0,
    covered: !!top && top !== element && !element.contains(top) && !top.contains(element)
      && !(label && (label === top || label.contains(top))),
  };
}"""


@dataclass(frozen=True)
class Keyboard:
    """A person at the console without a mouse."""

    worker: Worker

    def focused(self) -> dict[str, Any] | None:
        """Gives what has the focus, which is seen."""
        found: dict[str, Any] | None = self.worker.page.evaluate(FOCUSED)
        if found:
            where = f"{self.worker.page.url} {found['tag']}"
            assert found["ring"], f"no ring around {where}"
            assert found["seen"], f"the focus is out of sight: {where}"
            assert not found["covered"], f"the focus is covered: {where}"
        return found

    def press(self, key: str) -> None:
        self.worker.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.worker.page.keyboard.type(text, delay=10)

    def reach(self, name: str) -> None:
        """Presses Tab until what is called so has the focus."""
        for _ in range(MAX_STEPS):
            found = self.focused()
            # A field's label goes on with its currency and whether it is required.
            if found and re.fullmatch(rf"{re.escape(name)}( \([^)]+\))*", found["name"]):
                return
            self.press("Tab")
        raise AssertionError(f"no {name!r} on {self.worker.page.url}")

    def follow(self, name: str, heading: str) -> None:
        """Reaches a link or a button, uses it, and waits for the page behind it."""
        self.reach(name)
        self.press("Enter")
        self.worker.heading(heading)
        self.worker.page.wait_for_load_state()

    def enter(self, name: str, text: str) -> None:
        self.reach(name)
        self.type(text)

    def walk(self) -> None:
        """Goes through the whole page, forwards and back to where it began: nothing holds
        the focus.
        """
        for key in ("Tab", "Shift+Tab"):
            visited: list[int] = []
            for _ in range(MAX_STEPS):
                self.press(key)
                found = self.focused()
                if found is None or found["place"] in visited:
                    break
                visited.append(found["place"])
            else:
                raise AssertionError(f"no end of {self.worker.page.url} by {key}")
            # The page's own and those of its frame: header, main part and foot.
            assert len(visited) > 5, (self.worker.page.url, key, visited)
            again = found["place"] if found else visited[0]
            assert again == visited[0], f"{self.worker.page.url} holds the focus"


@contextmanager
def keyboard_of(chromium: Browser, world: World, role: str) -> Iterator[Keyboard]:
    """Signs a person in, whose journey takes no longer than a minute and a half."""
    with signed_in(chromium, world, role, reduced_motion="reduce") as worker:
        worker.go("/")
        started_at = time.monotonic()
        yield Keyboard(worker)
        assert time.monotonic() - started_at < JOURNEY_SECONDS


def test_clinician_finds_a_patient_and_writes_a_problem(chromium: Browser, world: World) -> None:
    family = word()
    make_patient(world, family)
    with keyboard_of(chromium, world, "clinician") as doctor:
        page = doctor.worker.page
        doctor.walk()
        doctor.follow("Patients", "Patients")
        expect(page.locator("#q")).to_be_focused()
        doctor.type(family)
        expect(page.locator("#results")).to_contain_text(family)
        doctor.follow(page.locator("#results a").first.inner_text().strip(), family)
        doctor.walk()
        doctor.follow("Start an encounter", "encounter")
        doctor.enter("Reason", "Cough for two weeks")
        doctor.follow("Start", family)
        doctor.worker.sees("The encounter was started.")
        doctor.follow("Add Problems", "Add")
        expect(page.locator("#what")).to_be_focused()
        doctor.walk()
        doctor.enter("What", "Asthma")
        doctor.follow("Save", family)
        doctor.worker.sees("The entry was added.")
        doctor.worker.sees("Asthma")


def test_biller_takes_a_payment(chromium: Browser, world: World) -> None:
    family = word()
    number = bill(world, make_patient(world, family))
    with keyboard_of(chromium, world, "billing") as biller:
        page = biller.worker.page
        biller.follow("Cash desk", "Cash desk")
        expect(page.locator("#q")).to_be_focused()
        biller.walk()
        biller.enter("Who pays?", family)
        biller.press("Enter")
        biller.worker.sees(f"Take a payment from Ana {family}")
        biller.follow(f"Take a payment from Ana {family}", "Money")
        biller.walk()
        biller.enter("Amount", "10")
        biller.enter("How", "Card")
        biller.follow("Record the payment", "Money")
        biller.worker.sees("The payment was recorded.")
        biller.worker.sees(number)


def test_administrator_invites_a_person(chromium: Browser, world: World) -> None:
    with keyboard_of(chromium, world, "admin") as admin:
        admin.follow("Administration", "People")
        admin.walk()
        admin.enter("Name", "New Clinician")
        admin.enter("E-mail address", f"{secrets.token_hex(6)}@example.org")
        admin.reach("Clinician")
        admin.press("Space")
        expect(admin.worker.page.get_by_label("Clinician")).to_be_checked()
        admin.follow("Add", "People")
        admin.worker.sees("The person was added.")
