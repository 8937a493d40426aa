"""A clinician starts a SMART application from the chart: it comes up with the patient and the
encounter at hand.
"""

import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from apps.catalogue import SERVICES
from infrastructure.local.state import read_state
from tests.browser.console import make_patient, signed_in, word
from tests.browser.site import Site
from tests.browser.test_applications import FHIRCLIENT, register
from tests.browser.world import World
from tests.fhir.packages import fetch
from tests.ports import free_port

pytestmark = pytest.mark.browser
READY_SECONDS = 90.0
SCOPE = "launch patient/*.rs openid fhirUser"
APP = """
const settings = %s
const show = (text) => { document.title = text;
    document.getElementById('state').textContent = text }
if (location.pathname === '/callback')
  FHIR.oauth2.ready().then((client) => { window.client = client; show('signed in') }, (e) =>
      show(String(e)))
else FHIR.oauth2.authorize(settings)
"""


@contextmanager
def console_with(applications: str) -> Iterator[str]:
    """Runs a console beside the platform's own, on the same database, that knows
    these applications.
    """
    port = free_port()
    environ = {
        **read_state().environments["console"],
        "PORT": str(port),
        "CONSOLE_APPLICATIONS": applications,
    }
    process = subprocess.Popen([sys.executable, "-m", "apps.console"], env=environ)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                if httpx.get(f"{url}{SERVICES['console'].readiness.path}").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def test_application_starts_from_the_chart(chromium: Browser, world: World, site: Site) -> None:
    family = word()
    patient_id, other = make_patient(world, family), make_patient(world, word())
    client_id = register(world, site, *SCOPE.split())
    with tarfile.open(fetch(FHIRCLIENT)) as archive:
        file = archive.extractfile("package/build/fhir-client.min.js")
        assert file is not None
        library = file.read().decode()
    settings = {"clientId": client_id, "scope": SCOPE, "redirectUri": "callback"}
    site.files = {
        "/library.js": ("text/javascript", library),
        "/app.js": ("text/javascript", APP % json.dumps(settings)),
    }
    with (
        console_with(f"{client_id}|Chart viewer|{site.url}/launch") as own,
        signed_in(chromium, world, "clinician") as doctor,
    ):

        def pass_on(route: Route) -> None:
            headers = {**route.request.headers, "origin": world.url}
            url = route.request.url.replace(world.url, own)
            answer = route.fetch(url=url, headers=headers, max_redirects=0)
            route.fulfill(response=answer)

        # The browser stays at the platform's address; its charts come from the console that knows
        # the application.
        doctor.page.context.route(f"{world.url}/patients/**", pass_on)
        doctor.go(f"/patients/{patient_id}/encounters/new")
        doctor.press("Start")
        doctor.sees("The encounter was started.")
        doctor.go(f"/patients/{patient_id}/applications")
        doctor.press("Start Chart viewer")
        doctor.sees("is ready for this patient")
        with doctor.page.context.expect_page() as opened:
            doctor.follow("Open Chart viewer in a new tab")
        tab = opened.value
        tab.get_by_role("button", name="Allow", exact=True).click()
        expect(tab.locator("#state")).to_have_text("signed in")
        assert tab.evaluate("client.patient.id") == patient_id
        read = "client.patient.read().then((it) => it.name[0].family)"
        assert tab.evaluate(read) == family
        encounter = tab.evaluate("client.encounter.id")
        found = world.admin.get(f"/fhir/R4/Encounter/{encounter}").raise_for_status().json()
        assert found["subject"]["reference"] == f"Patient/{patient_id}"
        # Launched for this patient, it reaches no other.
        reach = (
            f"client.request('Patient/{other}').then(() => 200, (e) => e.statusCode || e.status)"
        )
        assert tab.evaluate(reach) in (403, 404)
        # Another application that nobody set up here is not started.
        forced = doctor.page.request.post(
            f"{world.url}/patients/{patient_id}/launch/nobody",
            form={"csrf": doctor.page.locator("input[name=csrf]").first.input_value()},
        )
        assert forced.status in (403, 404)
