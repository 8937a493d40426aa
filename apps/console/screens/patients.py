"""Patients: found by name, record number, birth date or telephone while typing, and the
charts opened last.
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import FHIR, Api, load
from apps.console.neighbours.calls import ApiError
from apps.console.web.people import Person, ScreenRoute, person_of
from apps.console.web.rendering import page
from apps.console.web.sessions import select_recent_patients
from apps.console.web.texts import Texts
from apps.kit.texts import N_
from apps.kit.web import Operation, Policy

PAGE_SIZE = 20
MAX_QUERY_CHARS = 200
SORTS = {
    "": N_("Best match"),
    "family": N_("Family name"),
    "birthdate": N_("Birth date, oldest first"),
    "-birthdate": N_("Birth date, youngest first"),
    "-_lastUpdated": N_("Changed last"),
}
# What a next page may ask for: the rest of a form is not passed on.
PARAMETERS = ("name", "identifier", "birthdate", "phone", "_sort", "_count", "_cursor", "_after")
SEARCH = Policy(
    "Patient.s for all patients",
    lambda principal, request: _is_staff(principal.access_to("Patient", "s")),
)
_PHONE = re.compile(r"\+?[0-9][0-9 ()/.-]{5,}")


def _is_staff(access: Any) -> bool:
    return access is not None and access.only_patient_id is None


def parse_query(text: str, texts: Texts) -> list[tuple[str, str]]:
    """Turns what a person typed into search parameters: dates, numbers, and words of a
    name in any order.
    """
    text = text[:MAX_QUERY_CHARS].strip()
    compact = re.sub(r"[\s-]", "", text)
    if re.fullmatch(r"[0-9]{9}", compact):
        return [("identifier", f"{fhir.MRN_SYSTEM}|{compact}")]
    whole = texts.parse_date(text)
    if whole:
        return [("birthdate", whole.isoformat())]
    if _PHONE.fullmatch(text):
        return [("phone", text)]
    found: list[tuple[str, str]] = []
    for word in re.split(r"[\s,;]+", text):
        day = texts.parse_date(word)
        if day:
            found.append(("birthdate", day.isoformat()))
        elif word:
            # A comma, a dollar or a bar would be FHIR's own sign.
            found.append(("name", re.sub(r"([\\,$|])", r"\\\1", word)))
    return found


def name_of_query(parameters: Iterable[tuple[str, str]]) -> list[str]:
    """Gives the words of a name among the parameters."""
    return [value for name, value in parameters if name == "name"]


async def search(api: Api, parameters: list[tuple[str, str]]) -> tuple[list[Any], str]:
    """Gives a page of patients, and the query of the next page."""
    bundle = await api.search("Patient", parameters, private=True)
    return fhir.entries(bundle), urlencode(fhir.next_query(bundle))


async def match(api: Api, patient: dict[str, Any], count: int = 10) -> list[dict[str, Any]]:
    """Gives the patients that `$match` holds for similar: each with `grade` and `score`
    beside the resource.
    """
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "resource", "resource": {"resourceType": "Patient", **patient}},
            {"name": "count", "valueInteger": count},
        ],
    }
    try:
        answer = await api.send("POST", f"{FHIR}/Patient/$match", body)
    except ApiError as error:
        if error.is_unavailable:
            raise
        # Too little to go by, or no such operation here.
        return []
    found = []
    for entry in fhir.as_list(fhir.as_dict(answer.body).get("entry")):
        details = fhir.as_dict(entry.get("search"))
        grade = next(
            (
                str(each.get("valueCode"))
                for each in fhir.as_list(details.get("extension"))
                if str(each.get("url", "")).endswith("match-grade")
            ),
            "",
        )
        patient_found = fhir.as_dict(entry.get("resource"))
        if patient_found.get("resourceType") == "Patient":
            found.append(
                {"patient": patient_found, "grade": grade, "score": details.get("score", 0)}
            )
    return found


async def load_recent(person: Person, request: Request) -> list[Any]:
    """Gives the patients whose charts the person opened last, newest first."""
    async with request.state.database.connection() as connection:
        ids = await select_recent_patients(connection, person.principal.subject)
    if not ids:
        return []
    bundle = await person.api.search("Patient", {"_id": ",".join(ids), "_count": str(len(ids))})
    found = {patient["id"]: patient for patient in fhir.entries(bundle)}
    return [found[patient_id] for patient_id in ids if patient_id in found]


async def show(request: Request) -> Response:
    """Shows the search, and the charts opened last."""
    person = person_of(request)
    return page(
        request,
        "patients/search.html",
        sorts=SORTS,
        query="",
        sort="",
        searched=False,
        found=None,
        similar=[],
        following="",
        recent=await load(load_recent(person, request)),
    )


async def find(request: Request) -> Response:
    """Searches: by POST, so that no name is in an address or a log."""
    person, form = person_of(request), request.state.form
    text, sort = form.get("q", ""), form.get("sort", "")
    if form.get("next"):
        parameters = [
            pair for pair in parse_qsl(form["next"]) if pair[0].split(":")[0] in PARAMETERS
        ]
    else:
        parameters = parse_query(text, person.texts)
        if parameters and sort in SORTS and sort:
            parameters.append(("_sort", sort))
        if parameters:
            parameters.append(("_count", str(PAGE_SIZE)))
    found = await load(search(person.api, parameters)) if parameters else None
    similar: list[dict[str, Any]] = []
    words = name_of_query(parameters)
    if found and found.value and not found.value[0] and words and not form.get("next"):
        # Nothing begins like this: perhaps a slip of the finger.
        name = {"family": words[-1], "given": words[:-1]} if words[1:] else {"text": words[0]}
        looked_for = {"name": [{**name, "text": " ".join(words)}]}
        birth = [value for key, value in parameters if key == "birthdate"]
        if birth:
            looked_for["birthDate"] = birth[0]
        loaded = await load(match(person.api, looked_for))
        similar = loaded.value or []
    return page(
        request,
        "patients/search.html",
        sorts=SORTS,
        query=text,
        sort=sort,
        searched=bool(parameters),
        found=found,
        similar=similar,
        following=found.value[1] if found and found.value else "",
        recent=None,
    )


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute("/patients", Operation("GET", show, SEARCH), Operation("POST", find, SEARCH)),
    ]
