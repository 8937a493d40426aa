"""The first page: a way in for whoever is not signed in, and each person's own work
for the others.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api, load_all
from apps.console.screens.money.cash_desk import by_age, find_open
from apps.console.screens.operations import CONSUMERS, find_letters, load_services
from apps.console.screens.patients import load_recent
from apps.console.web.people import Person, ScreenRoute
from apps.console.web.rendering import go_to, page
from apps.kit.errors import NotFound
from apps.kit.web import PUBLIC, Operation

SHOWN = 12


async def find_encounters(api: Api, day: str) -> list[dict[str, Any]]:
    """Gives today's encounters with their patients, the latest first."""
    query = {
        "date": day,
        "_include": "Encounter:patient",
        "_sort": "-date",
        "_count": "50",
    }
    bundle = await api.search("Encounter", query)
    patients = {
        resource.get("id"): resource
        for entry in fhir.as_list(fhir.as_dict(bundle).get("entry"))
        if (resource := fhir.as_dict(entry.get("resource"))).get("resourceType") == "Patient"
    }
    found = fhir.entries(bundle)
    for each in found:
        patient_id = fhir.id_of(each.get("subject"), "Patient")
        each["_patient"] = patients.get(patient_id) or {"id": patient_id}
    return sorted(found, key=fhir.date_of, reverse=True)


async def find_registrations(api: Api, start: str, end: str, timezone: str) -> Any:
    """Gives how many patients were registered this week."""
    query = {"interval": "day", "from": start, "to": end, "timezone": timezone}
    return (await api.get("/analytics/v1/registrations", query)).body


async def find_attention(person: Person, request: Request) -> list[tuple[str, str]]:
    """Gives what an administrator should look at: services that do not answer, events that
    could not be read.
    """
    found = [
        (str(each["name"]), str(each["status"]))
        for each in await load_services(request)
        if each["status"] != "ok"
    ]
    # Not `/lag`, which has the same number: it asks Kafka, and takes its time.
    letters = await load_all(**{name: find_letters(person.api, name) for name in CONSUMERS})
    unread = sum(len(part.value or []) for part in letters.values())
    if unread:
        found.append(("dead-letters", str(unread)))
    return found


async def show(request: Request) -> Response:
    """Shows the page."""
    person: Person | None = request.state.person
    if person is None:
        return page(request, "welcome.html")
    if person.is_patient:
        return go_to("/my")
    texts = person.texts
    now = texts.now()
    today = now.date().isoformat()
    loading: dict[str, Any] = {}
    if person.may("Patient", "s"):
        loading["recent"] = load_recent(person, request)
    if person.may("Encounter", "s"):
        loading["encounters"] = find_encounters(person.api, today)
    if person.has("billing.read"):
        loading["invoices"] = find_open(person.api, now.date())
    if person.has("analytics.read"):
        monday = now.date().fromordinal(now.date().toordinal() - now.weekday()).isoformat()
        zone = str(texts.time_zone)
        loading["registrations"] = find_registrations(person.api, monday, today, zone)
    if person.has("admin"):
        loading["attention"] = find_attention(person, request)
    parts = await load_all(**loading)
    invoices = parts["invoices"].value if "invoices" in parts else None
    return page(
        request, "home.html", parts=parts, ages=by_age(invoices or []), shown=SHOWN, today=today
    )


async def nothing(request: Request) -> Response:
    """Answers every path that no screen has."""
    raise NotFound("not_found")


def routes() -> list[BaseRoute]:
    """Gives the screen's route. Public: it shows nothing to whoever is not signed in."""
    return [ScreenRoute("/", Operation("GET", show, PUBLIC))]


def last_routes() -> list[BaseRoute]:
    """Gives the route of what is left over; it comes after all others."""
    return [
        ScreenRoute(
            "/{path:path}", Operation("GET", nothing, PUBLIC), Operation("POST", nothing, PUBLIC)
        )
    ]
