"""A patient's own pages: my record in plain words, my results, my bills, my data, my sessions."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import FHIR, Api, Part, load, load_all
from apps.console.neighbours.calls import ApiError
from apps.console.screens.chart import SECTIONS, arranged, search_path, sort_entries
from apps.console.screens.entries import note_text
from apps.console.screens.money import calls
from apps.console.screens.money.account import KINDS, METHODS, STATUSES, file_response
from apps.console.screens.results import find_observations, group_by_code, series_of
from apps.console.web.people import Person, ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.kit.errors import NotFound
from apps.kit.texts import N_
from apps.kit.web import Operation, Policy

MY_SESSIONS, MY_CONSENTS = "/auth/v1/me/sessions", "/auth/v1/me/consents"
OWN = Policy(
    "a patient's own login",
    lambda principal, request: (
        (access := principal.access_to("Patient", "r")) is not None
        and access.only_patient_id is not None
    ),
)
PLAIN_TITLES = {
    "problems": N_("What I have"),
    "medications": N_("What I take"),
    "allergies": N_("What I do not tolerate"),
    "vitals": N_("My measurements"),
    "immunizations": N_("My vaccinations"),
    "encounters": N_("My visits"),
    "procedures": N_("What was done"),
    "reports": N_("My reports"),
    "documents": N_("Notes about me"),
}
MOST_RESOURCES = 5000


def own_id(person: Person) -> str:
    """Gives the id of the record that the login is bound to."""
    assert person.own_patient_id is not None
    return person.own_patient_id


async def show(request: Request) -> Response:
    """Shows the record in plain words."""
    person = person_of(request)
    patient_id = own_id(person)
    reads = {"patient": f"Patient/{patient_id}"}
    reads |= {each.key: search_path(each, patient_id) for each in SECTIONS}
    found = await person.api.batch(reads)
    patient = found.pop("patient")
    if patient.value is None:
        assert patient.error is not None
        raise patient.error
    parts = {key: sort_entries(part) for key, part in found.items()}
    return page(
        request,
        "my/record.html",
        patient=patient.value.body,
        sections=SECTIONS,
        titles=PLAIN_TITLES,
        note_text=note_text,
        parts={key: arranged(key, part) for key, part in parts.items()},
    )


async def show_results(request: Request) -> Response:
    """Shows the results, each with its values over time."""
    person = person_of(request)
    found = await load(find_observations(person.api, own_id(person), ""))
    groups = group_by_code(found.value or [])
    plots = {fhir.code_of(group[0].get("code")): series_of(group, person.texts) for group in groups}
    return page(request, "my/results.html", found=found, groups=groups, plots=plots)


async def show_bills(request: Request) -> Response:
    """Shows the account: invoices and what is open."""
    person = person_of(request)
    account = await load(calls.find_account(person.api, own_id(person)))
    parts: dict[str, Part[Any]] = {}
    if account.value:
        account_id = account.value["accountId"]
        parts = await load_all(
            balance=calls.find_balance(person.api, account_id),
            invoices=calls.find_invoices(person.api, account_id),
            statement=calls.find_statement(person.api, account_id),
        )
    return page(
        request,
        "my/bills.html",
        account=account,
        parts=parts,
        labels=STATUSES,
        methods=METHODS,
        kinds=KINDS,
    )


async def show_invoice(request: Request) -> Response:
    """Shows one of the own invoices: billing itself refuses others'."""
    person = person_of(request)
    invoice = await calls.read_invoice(person.api, request.path_params["invoice"])
    return page(request, "my/invoice.html", invoice=invoice, labels=STATUSES)


async def send_invoice(request: Request) -> Response:
    """Answers one of the own invoices as PDF."""
    person, invoice = person_of(request), request.path_params["invoice"]
    answer = await person.api.read("Patient", own_id(person))
    fields = {"invoiceId": invoice, "recipientName": fhir.name_of(answer.body)}
    return file_response(
        *await calls.read_document(person.api, f"/invoices/{invoice}/document", "pdf", fields)
    )


async def collect(api: Api, patient_id: str) -> dict[str, Any]:
    """Collects everything that is recorded: by `$everything`, else by a search for each type."""
    try:
        bundle = (await api.get(f"{FHIR}/Patient/{patient_id}/$everything")).body
        found = fhir.entries(bundle)
        while len(found) < MOST_RESOURCES and (query := fhir.next_query(bundle)):
            bundle = (await api.get(f"{FHIR}/Patient/{patient_id}/$everything", query)).body
            found += fhir.entries(bundle)
    except ApiError as error:
        if error.status not in (404, 405, 501):
            raise
        found = [(await api.read("Patient", patient_id)).body]
        for resource_type in sorted({each.resource_type for each in SECTIONS}):
            bundle = await api.search(resource_type, {"patient": patient_id, "_count": "100"})
            found += fhir.entries(bundle)
            while len(found) < MOST_RESOURCES and (query := fhir.next_query(bundle)):
                bundle = await api.search(resource_type, query)
                found += fhir.entries(bundle)
    entries = [{"resource": resource} for resource in found]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


async def download(request: Request) -> Response:
    """Answers everything that is recorded, as a FHIR Bundle."""
    person = person_of(request)
    bundle = await collect(person.api, own_id(person))
    content = msgspec.json.format(msgspec.json.encode(bundle), indent=1)
    return file_response("application/fhir+json", "my-record.json", content)


async def account_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows where one is signed in, and which applications may read the record."""
    api = person_of(request).api
    parts = await load_all(sessions=api.get(MY_SESSIONS), consents=api.get(MY_CONSENTS))
    common: dict[str, Any] = {"unavailable": None}
    return page(request, "my/account.html", status, **{**common, **values}, parts=parts)


async def show_account(request: Request) -> Response:
    return await account_page(request)


async def end(request: Request) -> Response:
    """Ends a session, or takes back what an application may do."""
    kind, item = request.path_params["kind"], request.path_params["item"]
    base = {"sessions": MY_SESSIONS, "consents": MY_CONSENTS}.get(kind)
    if base is None:
        raise NotFound("not_found")
    try:
        await person_of(request).api.send("DELETE", f"{base}/{item}")
    except ApiError as error:
        if not error.is_unavailable:
            raise
        return await account_page(request, error.status, unavailable=error)
    return go_to("/my/account?notice=saved")


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute("/my", Operation("GET", show, OWN)),
        ScreenRoute("/my/results", Operation("GET", show_results, OWN)),
        ScreenRoute("/my/bills", Operation("GET", show_bills, OWN)),
        ScreenRoute("/my/bills/{invoice}", Operation("GET", show_invoice, OWN)),
        ScreenRoute("/my/bills/{invoice}/document.pdf", Operation("GET", send_invoice, OWN)),
        ScreenRoute("/my/download", Operation("GET", download, OWN)),
        ScreenRoute("/my/account", Operation("GET", show_account, OWN)),
        ScreenRoute("/my/account/{kind}/{item}/end", Operation("POST", end, OWN)),
    ]
