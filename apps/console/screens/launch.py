"""Start SMART applications for the patient at hand (SMART App Launch 2.2, EHR launch)."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import FHIR
from apps.console.screens.chart import load_banner
from apps.console.screens.encounters import find_open_encounter
from apps.console.screens.patients import SEARCH
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.kit.errors import NotFound
from apps.kit.web import Operation

LAUNCHES = "/auth/v1/launches"


async def show(request: Request) -> Response:
    """Shows the applications that this clinic has."""
    banner = await load_banner(request)
    applications = request.state.settings.applications
    return page(request, "chart/applications.html", **banner, applications=applications, ready=None)


async def launch(request: Request) -> Response:
    """Asks for a launch value, and shows the way to the application: it is another site, so a
    link, no redirect.
    """
    person, patient_id = person_of(request), request.path_params["id"]
    settings = request.state.settings
    client = request.path_params["client"]
    application = next((each for each in settings.applications if each.client_id == client), None)
    if application is None:
        raise NotFound("not_found")
    body = {"patientId": patient_id, "clientId": client}
    encounter = (
        await find_open_encounter(person.api, patient_id) if person.may("Encounter", "s") else ""
    )
    if encounter:
        body["encounterId"] = encounter
    answer = await person.api.send("POST", LAUNCHES, body)
    query = {"iss": settings.public_url + FHIR, "launch": answer.body["launch"]}
    sign = "&" if "?" in application.launch_url else "?"
    banner = await load_banner(request)
    return page(
        request,
        "chart/applications.html",
        **banner,
        applications=settings.applications,
        ready=(application.name, application.launch_url + sign + urlencode(query)),
    )


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    base = "/patients/{id}"
    return [
        ScreenRoute(f"{base}/applications", Operation("GET", show, SEARCH)),
        ScreenRoute(f"{base}/launch/{{client}}", Operation("POST", launch, SEARCH)),
    ]
