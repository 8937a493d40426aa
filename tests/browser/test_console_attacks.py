"""Nothing that is stored runs in a browser: names, notes, narratives, codes, names of accounts and applications."""

import pytest
from playwright.sync_api import Browser, ConsoleMessage

from tests.browser.console import make_clinic, signed_in
from tests.browser.world import World

pytestmark = pytest.mark.browser
ATTACK = "\"'><script>window.broken=1</script><img src=x onerror=window.broken=1>{{7*7}}"


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
            "/administration",
            "/administration/applications",
        ):
            admin.go(path)
            assert admin.page.evaluate("window.broken") is None, path
            assert "49" not in admin.page.locator("h1").first.inner_text(), path
        admin.go("/patients")
        admin.fill("Find a patient", clinic.family)
        admin.page.locator("#results table").wait_for()
        assert admin.page.evaluate("window.broken") is None
    # The policy had nothing to stop: the markup never became markup.
    assert not [text for text in said if "Content Security Policy" in text]
